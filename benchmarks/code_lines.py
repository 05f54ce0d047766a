"""Counts lines of code by folder: `python -m benchmarks.code_lines [FOLDER]`.

A line counts if a token of code stands on it. Comments, blank lines and docstrings (every string
that is a statement of its own) do not.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections import Counter
from pathlib import Path

SILENT = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENCODING, tokenize.ENDMARKER,
}  # fmt: skip


def code_lines(source: str) -> int:
    """Returns how many lines of a module hold code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in SILENT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def by_folder(root: Path) -> Counter[str]:
    """Returns the lines of code of each part below a folder."""
    counts: Counter[str] = Counter()
    for path in root.rglob("*.py"):
        counts[path.relative_to(root).parts[0]] += code_lines(path.read_text(encoding="utf-8"))
    return counts


if __name__ == "__main__":
    counts = by_folder(Path(sys.argv[1] if len(sys.argv) > 1 else "kgraph"))
    for part, count in sorted(counts.items()):
        print(f"{count:6}  {part}")
    print(f"{counts.total():6}  in all")
