"""The name `kgraph` on the package index is another project's: nobody is told to install that."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TEXTS = [
    path
    for pattern in ("*.md", "*.toml", "kgraph/**/*.py", "notebooks/*", "kgraph/*.md", ".ci/*")
    for path in ROOT.glob(pattern)
    if path.is_file()
]
EXTRAS = "|".join(PROJECT["optional-dependencies"])
ANOTHER = re.compile(rf"pip install[^\n`&]*[ \"']kgraph(?![-./\w])|(?<![-\w])kgraph\[({EXTRAS})\b")


def test_every_hint_installs_this_project():
    assert PROJECT["name"] == "kgraph-jax"
    found = [(str(path.relative_to(ROOT)), said.group()) for path in TEXTS
             for said in ANOTHER.finditer(path.read_text())]  # fmt: skip
    assert found == []


def test_the_search_finds_such_hints():
    for hint in ("pip install kgraph", 'pip install -q "kgraph[tpu]"', "the extra kgraph[keras]"):
        assert ANOTHER.search(hint), hint
    for fine in ('pip install "kgraph-jax[tpu]"', "pip install -e .", "import kgraph", "kgraph[x]"):
        assert not ANOTHER.search(fine), fine
