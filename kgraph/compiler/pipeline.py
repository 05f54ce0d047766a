"""Runs passes over a graph, and verifies it after each."""

from __future__ import annotations

from collections.abc import Sequence

from kgraph.compiler.passes import CPU_PASSES, Pass
from kgraph.errors import GraphError
from kgraph.graph.graph import Graph
from kgraph.graph.verify import verify


def platform_passes(platform: str) -> tuple[Pass, ...]:
    """Returns the passes that serve one platform, such as "cpu"."""
    return CPU_PASSES if platform == "cpu" else ()


def run_passes(graph: Graph, passes: Sequence[Pass]) -> list[tuple[str, Graph]]:
    """Returns the graph after each pass, with the pass's name; the graph is verified each time."""
    verify(graph)
    history = [("model", graph)]
    for pass_ in passes:
        history.append(run_pass(history[-1][1], pass_))
    return history


def run_pass(graph: Graph, pass_: Pass) -> tuple[str, Graph]:
    """Returns the name of a pass and the graph after it, verified."""
    name, after = getattr(pass_, "__name__", repr(pass_)), pass_(graph)
    try:
        if after is not graph:
            verify(after)
    except GraphError as error:
        raise GraphError(f"The pass {name!r} broke the graph. {error}") from error
    return name, after
