"""Pairs what users give for each output (targets, losses, weights) with the outputs, by name.

Names are the only key: a dict is matched by output names, or by the keys of the dict that the model
returns, and never by sorted order. A list is matched by position.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kgraph.errors import ConfigError, DataError, nearest
from kgraph.graph.graph import Graph
from kgraph.graph.structure import Slot


def output_keys(graph: Graph) -> tuple[str, ...]:
    """Returns the key of each output: of a model that returns a dict its keys, else the names."""
    structure = graph.output_structure
    if isinstance(structure, dict) and all(isinstance(v, Slot) for v in structure.values()):
        by_index = {slot.index: str(key) for key, slot in structure.items()}
        return tuple(by_index[i] for i in range(len(by_index)))
    return graph.output_names


def by_output(
    graph: Graph, given: object, what: str, error: type[ConfigError] | type[DataError] = ConfigError
) -> list[Any]:
    """Returns one entry for each output; None where nothing was given.

    Args:
        graph: the model's graph.
        given: a dict by output name, or a list or tuple with an entry for each output.
        what: what is being paired, for messages.
        error: the class to raise.
    """
    names = output_keys(graph)
    if isinstance(given, Mapping):
        aliases = dict(zip(graph.output_names, names))
        for key in given:
            if key not in names and key not in aliases:
                raise error(
                    f"The {what} name an output that the model does not have: {key!r}",
                    expected=", ".join(map(repr, names)),
                    received=", ".join(map(repr, given)),
                    hint=nearest(key, names) or "outputs are named after the layers that make them",
                )
        found = {aliases.get(key, key): value for key, value in given.items()}
        return [found.get(name) for name in names]
    if isinstance(given, (list, tuple)):
        if len(given) != len(names):
            raise error(
                f"The {what} do not fit the outputs of the model",
                expected=f"{len(names)} of them, for {', '.join(map(repr, names))}",
                received=f"{len(given)}",
            )
        return list(given)
    if len(names) > 1 and given is not None:
        raise error(
            f"The {what} are given for one output, and the model has {len(names)}",
            expected=f"a list, or a dict with the keys {', '.join(map(repr, names))}",
            received=type(given).__name__,
        )
    return [given]
