"""Which part of a description cannot be made, once it is known that the whole cannot."""

from __future__ import annotations

from typing import Any

from kgraph.registry import restore
from kgraph.saving.kgraph_format.document_check import objects_in


def culprit(document: Any, error: Exception) -> tuple[str, Exception]:
    """Returns the place of the innermost object whose constructor fails, and how it fails.

    Args:
        document: what was checked by `check_document`.
        error: what making the whole of it gave; returned for `model` if each object can be made.
    """
    described = [
        (path, item)
        for path, item in objects_in(document["model"], "model")
        if set(item) == {"kind", "class_name", "config"} and "layers" not in item["config"]
    ]
    for path, item in reversed(described):
        try:
            restore(item)
        except Exception as found:
            return path, found
    return "model", error
