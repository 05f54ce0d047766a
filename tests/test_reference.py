"""The reference of the public names is built from the docstrings, without a warning."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

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
    spec = importlib.util.spec_from_file_location("reference", BUILD)
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    pages = 0
    for module in reference.public_modules():
        page = tmp_path / f"{module.__name__.replace('.', '/')}.html"
        ids = set(re.findall(r'id="([\w.]+)"', page.read_text()))
        modules = {
            name for name in dir(module) if isinstance(getattr(module, name, None), type(sys))
        }
        assert set(reference.public_names(module)) - modules <= ids, module.__name__
        pages += 1
    assert pages > 40
    names = {name for name in kgraph.__all__ if isinstance(getattr(kgraph, name), type(sys))}
    assert all((tmp_path / "kgraph" / f"{name}.html").exists() for name in names)
    assert "kgraph.layers.Dense" in (tmp_path / "search.js").read_text()
