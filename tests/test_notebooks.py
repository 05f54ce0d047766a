"""The notebooks: they run from top to bottom, and are stored without traces of a run."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CLEAN = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path):
    return nbformat.read(path, as_version=4)


def test_a_notebook_is_stored_without_traces_of_a_run(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.metadata == CLEAN
    for cell in notebook.cells:
        assert cell.metadata == {}, cell.id
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None), cell.id
    names = [cell.id for cell in notebook.cells]
    assert len(set(names)) == len(names)


def test_a_notebook_names_no_place_on_a_machine(path):
    text = path.read_text()
    for trace in ("/home/", "/root/", "/tmp/", "/Users/", "C:\\\\", "localhost"):
        assert trace not in text


def test_a_notebook_installs_kgraph_only_where_it_is_missing(path):
    first = next(cell for cell in read(path).cells if cell.cell_type == "code")
    assert 'if importlib.util.find_spec("kgraph") is None:' in first.source
    assert re.search(r'    %pip install -q "?\.\.', first.source)  # the clone it stands in


@pytest.mark.slow
def test_a_notebook_runs_from_top_to_bottom(path, tmp_path):
    notebook = read(path)
    environment = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
    known = [str(ROOT), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, known))
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute(env=environment)  # raises CellExecutionError with the traceback of the cell
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            warned = output.output_type == "stream" and output.name == "stderr"
            assert not warned, (cell.id, output.text)
