"""Hostile files, generated from tables: zip tricks, JSON tricks, graphs, options and arrays.

Each case is a function from a Draft of a good file to the bytes of a bad one. Digests are repaired
where the fault lies deeper than they reach, as somebody would who means harm.
"""

from __future__ import annotations

from corpus_arrays import array_tables, headers, manifests
from corpus_graph import graphs, training, written_out
from corpus_model import classes, options
from corpus_zip import files, texts, zips
from drafts import Case

TABLES = (
    files, zips, texts, manifests, array_tables, headers, classes, options, graphs, training,
    written_out,
)  # fmt: skip


def cases() -> dict[str, dict[str, Case]]:
    """Returns every case by table and name."""
    found: dict[str, dict[str, Case]] = {}
    for table in TABLES:
        own = found.setdefault(table.__name__, {})
        for name, case in table():
            while name in own:
                name += "'"
            own[name] = case
    return found
