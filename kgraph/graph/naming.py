"""Names of layers, given by the graph they are in.

Explicit names win and must be unique. A name that an earlier graph gave a layer is kept where it is
free. All others get their class in snake case, numbered in the order in which the layers were
made, so the same code gives the same names however often it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kgraph.errors import GraphError
from kgraph.source import Source


def give_names(layers: Sequence[Any], sources: dict[int, Source | None]) -> dict[int, str]:
    """Returns a unique name for each layer, by id.

    Raises:
        GraphError: two different layers carry the same explicit name.
    """
    names: dict[int, str] = {}
    owners: dict[str, Any] = {}
    for layer in layers:
        name = layer._kgraph.explicit_name
        if name is None:
            continue
        if name in owners:
            calls = [(x, sources.get(id(x))) for x in (owners[name], layer)]
            raise GraphError(
                f"Two layers of this model are named {name!r}",
                at=[f"{type(x).__name__} called at {place}" for x, place in calls if place] or None,
                expected="a name of its own for each layer (or one layer, called twice)",
                hint=f"pass another name=, or leave it out: {type(layer).__name__}(...)",
            )
        owners[name] = layer
        names[id(layer)] = name
    unnamed = sorted(
        (x for x in layers if x._kgraph.explicit_name is None), key=lambda x: x._kgraph.order
    )
    taken = set(owners)
    for layer in unnamed:
        if layer._kgraph.kept_name is not None and layer._kgraph.kept_name not in taken:
            names[id(layer)] = layer._kgraph.kept_name
            taken.add(layer._kgraph.kept_name)
    counters: dict[str, int] = {}
    for layer in unnamed:
        if id(layer) in names:
            continue
        base = layer._kgraph_base_name
        n = counters.get(base, 0)
        while (name := f"{base}_{n}" if n else base) in taken:
            n += 1
        counters[base] = n + 1
        names[id(layer)] = name
        taken.add(name)
    for layer in layers:
        layer._kgraph.keep_name(names[id(layer)])
    return names
