"""The passes that every program goes through, in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kgraph.compiler.passes import (
    drop_noise,
    drop_unused,
    fold_norms,
    inline_models,
    merge_equal,
    use_cpu_forms,
)
from kgraph.errors import GraphError
from kgraph.graph.graph import Graph
from kgraph.graph.verify import verify

Pass = Callable[[Graph], Graph]

DEFAULT_PASSES: tuple[Pass, ...] = (
    inline_models,  # first: the others then see every call
    drop_unused,  # before merging, which would look at each dead call
    merge_equal,
)

INFERENCE_PASSES: tuple[Pass, ...] = (
    inline_models,
    drop_noise,  # before the others: what it stood between is then side by side
    drop_unused,
    merge_equal,  # before folding, which would have each copy of a layer folded
    fold_norms,
)
"""The passes of programs that only predict."""

CPU_PASSES: tuple[Pass, ...] = (use_cpu_forms,)
"""Passes that models add to these where JAX computes on a CPU."""

INFERENCE_ONLY: tuple[Pass, ...] = (drop_noise, fold_norms)
"""Passes that do not keep what a model does in training."""


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
