"""What an editor says of a user's program: the types of its objects, and its mistakes."""

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("program.txt")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("pyright") is None, reason="pyright is not installed")
def test_an_editor_knows_the_types_and_refuses_the_mistakes(tmp_path: Path):
    lines = PROGRAM.read_text().splitlines()
    (tmp_path / "program.py").write_text("\n".join(lines))
    settings: dict[str, object] = {"extraPaths": [str(PROGRAM.parents[2])]}
    settings |= {"reportUnusedExpression": "none", "pythonVersion": "3.11"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--outputjson", "-p", str(tmp_path)]
    command += ["--pythonpath", sys.executable]
    found = subprocess.run(command, capture_output=True, text=True, timeout=240)
    revealed: dict[int, str] = {}
    refused: dict[int, str] = {}
    for said in json.loads(found.stdout)["generalDiagnostics"]:
        line = said["range"]["start"]["line"]
        type_is = re.match(r'Type of ".*" is "(.*)"', said["message"], re.S)
        if said["severity"] == "information" and type_is:
            revealed[line] = type_is[1]
        else:
            refused[line] = said["message"]
    marks = [(n, re.search(r"# reveals: (.*)", line)) for n, line in enumerate(lines)]
    assert revealed == {n: mark[1] for n, mark in marks if mark}
    assert sorted(refused) == [n for n, line in enumerate(lines) if line.endswith("# refused")]
