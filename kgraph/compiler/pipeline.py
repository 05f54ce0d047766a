"""The passes that every program goes through, in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kgraph.compiler.passes import drop_unused, inline_models, merge_equal
from kgraph.errors import GraphError
from kgraph.graph.graph import Graph
from kgraph.graph.verify import verify

Pass = Callable[[Graph], Graph]

DEFAULT_PASSES: tuple[Pass, ...] = (
    inline_models,  # first: the others then see every call
    drop_unused,  # before merging, which would look at each dead call
    merge_equal,
)


def run_passes(graph: Graph, passes: Sequence[Pass]) -> list[tuple[str, Graph]]:
    """Returns the graph after each pass, with the pass's name; the graph is verified each time."""
    verify(graph)
    history = [("model", graph)]
    for pass_ in passes:
        graph = pass_(graph)
        name = getattr(pass_, "__name__", repr(pass_))
        try:
            verify(graph)
        except GraphError as error:
            raise GraphError(f"The pass {name!r} broke the graph. {error}") from error
        history.append((name, graph))
    return history
