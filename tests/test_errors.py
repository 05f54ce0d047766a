"""One way to raise: every error of kgraph gets its facts as keywords, and puts them in order."""

from __future__ import annotations

import ast
from pathlib import Path

import kgraph
from kgraph.errors import DataError, KGraphError

ROOT = Path(kgraph.__file__).parent
TREES = {path.relative_to(ROOT): ast.parse(path.read_text()) for path in ROOT.rglob("*.py")}
FACTS = ("at", "made", "expected", "received", "hint")


def names_of_errors() -> set[str]:
    """Returns the names of KGraphError and of all that derive from it, however far."""
    classes = [node for tree in TREES.values() for node in ast.walk(tree)]
    bases = {
        c.name: {ast.unparse(b) for b in c.bases} for c in classes if isinstance(c, ast.ClassDef)
    }
    known: set[str] = set()
    found = {"KGraphError"}
    while found != known:
        known = found
        found = known | {name for name, above in bases.items() if above & known}
    return known


ERRORS = names_of_errors()
SITES = [
    (f"{path}:{call.lineno}", call)
    for path, tree in TREES.items()
    for call in ast.walk(tree)
    if isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] in ERRORS
]


def fault(call: ast.Call) -> str | None:
    """Returns what is wrong with the making of an error, or None."""
    if len(call.args) != 1:
        return "what is wrong is the only positional argument"
    if isinstance(call.args[0], ast.Call) and "message" in ast.unparse(call.args[0].func):
        return "the class formats the message"
    if "\\n  " in ast.unparse(call.args[0]):
        return "facts are keywords, not lines of the text"
    names = [keyword.arg for keyword in call.keywords if keyword.arg in FACTS]
    return None if names == sorted(names, key=FACTS.index) else "the facts are out of order"


def test_every_site_says_what_is_wrong_and_names_its_facts_in_order():
    assert {"DataError", "LearningRateError"} <= ERRORS
    assert len(SITES) > 500
    assert [(place, fault(call)) for place, call in SITES if fault(call)] == []


def test_facts_come_in_one_order_whatever_order_they_are_given_in():
    error = DataError("No", hint="a", received="b", inside="c", expected="d", made=None, at="e")
    assert str(error).splitlines() == [
        "No", "  at        e", "  inside    c", "  expected  d", "  received  b", "  try       a",
    ]  # fmt: skip


def test_the_users_line_is_added_first():
    error = KGraphError("No", received="b").located(at="train.py:1", made=["'a'", "'b'"])
    assert isinstance(error, KGraphError)
    assert str(error).splitlines()[1:] == [
        "  at        train.py:1", "  made      'a'", "            'b'", "  received  b",
    ]  # fmt: skip
