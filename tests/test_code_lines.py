"""The counter of code lines, with which the size of kgraph is reported."""

from __future__ import annotations

from pathlib import Path

from benchmarks.code_lines import by_folder, code_lines

MODULE = '''"""A docstring
of two lines."""

import math  # counts once


# A comment.
def area(
    radius: float,
) -> float:
    """One more."""
    text = """a value,
    not a docstring"""
    return math.pi * radius**2


limit = 3
"""What a field means."""
'''


def test_lines_of_code_are_those_with_a_token_that_is_no_comment_and_no_docstring():
    assert code_lines(MODULE) == 8


def test_lines_are_added_up_by_folder(tmp_path: Path):
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "one.py").write_text(MODULE)
    (tmp_path / "part" / "two.py").write_text(MODULE)
    (tmp_path / "top.py").write_text("x = 1\n")
    assert by_folder(tmp_path) == {"part": 16, "top.py": 1}
