"""Each reader is given files that hypothesis has damaged."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
import reader_fuzz

import kgraph

ROOT = Path(kgraph.__file__).parents[1]
COUNT = 5000 if os.environ.get("KGRAPH_THOROUGH") else 80


@pytest.mark.slow
@pytest.mark.parametrize("reader", reader_fuzz.READERS)
def test_damaged_files_are_refused_or_hold_the_same(reader: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, reader_fuzz.__file__, reader, str(COUNT), str(tmp_path)],
        capture_output=True, text=True, timeout=10 * COUNT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert done.returncode == 0, f"code {done.returncode}: {done.stderr[-3000:]}"
    outcomes = ast.literal_eval(done.stdout.splitlines()[-1])
    print(reader, outcomes)
    assert outcomes["refused"] > COUNT // 10, outcomes
