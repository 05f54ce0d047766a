"""The reference of the public names is built from the docstrings, without a warning."""

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import kgraph

BUILD = Path(__file__).parents[1] / ".ci" / "reference.py"


@pytest.mark.slow
def test_every_public_name_has_its_place(tmp_path):
    pytest.importorskip("pdoc")
    run = subprocess.run(
        [sys.executable, str(BUILD), str(tmp_path)], capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr
    for module in (kgraph, kgraph.layers, kgraph.optimizers):
        page = (tmp_path / f"{module.__name__.replace('.', '/')}.html").read_text()
        ids = set(re.findall(r'id="([\w.]+)"', page))
        names = {n for n in module.__all__ if not isinstance(getattr(module, n), ModuleType)}
        assert names <= ids, module.__name__
    assert 'id="tanh"' in (tmp_path / "kgraph" / "ops.html").read_text()
    modules = {n for n in kgraph.__all__ if isinstance(getattr(kgraph, n), ModuleType)}
    assert all((tmp_path / "kgraph" / f"{name}.html").exists() for name in modules)
    assert "kgraph.layers.Dense" in (tmp_path / "search.js").read_text()
