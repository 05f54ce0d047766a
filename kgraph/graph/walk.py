"""Finds the calls between inputs and outputs and puts them in order, without recursion."""

from __future__ import annotations

from collections.abc import Sequence

from kgraph.graph.structure import Slot, sorted_leaves
from kgraph.graph.symbol import Call, SymbolicTensor


def key(symbol: SymbolicTensor) -> tuple[int, int]:
    """Returns what identifies a tensor: its call and its place among the call's outputs."""
    return id(symbol.call), symbol.index


def parents(call: Call, stops: dict[tuple[int, int], Call]) -> list[Call]:
    """Returns the calls that a call reads from; a tensor in `stops` counts as made there.

    Masks need no edges of their own here: whatever made a mask is an ancestor of the tensors that
    carry it.
    """
    order = [x.index for x in sorted_leaves([call.args, call.kwargs]) if isinstance(x, Slot)]
    return [stops.get(key(s), s.call) for s in (call.inputs[i] for i in order)]


def reachable(
    outputs: Sequence[Call], stops: dict[tuple[int, int], Call]
) -> tuple[list[Call], dict[int, int]]:
    """Walks back from the outputs, depth first.

    Returns the calls with parents before children, and for each layer (by id) the number at which
    it was first seen, which is Keras' tie-breaker between layers at the same depth.
    """
    finished: dict[int, Call] = {}
    started: set[int] = set()
    seen: dict[int, int] = {}
    cut = {id(call) for call in stops.values()}
    stack = list(reversed(outputs))
    while stack:
        call = stack[-1]
        if id(call) in finished:
            stack.pop()
        elif id(call) in started:
            finished[id(call)] = call
            stack.pop()
        else:
            started.add(id(call))
            seen.setdefault(id(call.layer), len(seen))
            if id(call) not in cut:
                stack += [p for p in reversed(parents(call, stops)) if id(p) not in finished]
    return list(finished.values()), seen


def sources(symbol: SymbolicTensor) -> list[SymbolicTensor]:
    """Returns the tensors of `Input` that a tensor is computed from."""
    calls, _ = reachable([symbol.call], {})
    symbols = {id(x.call): x for call in calls for x in call.inputs} | {id(symbol.call): symbol}
    return [symbols[id(call)] for call in calls if not call.inputs]


def keras_order(
    outputs: Sequence[Call], stops: dict[tuple[int, int], Call], inputs: Sequence[Call]
) -> list[Call]:
    """Returns the calls in the order in which Keras lists them.

    Sorted by distance from the outputs, the farthest first; all calls of one layer count as far as
    its farthest call seen so far; at equal distance the layer met first on the way back comes
    first.
    """
    calls, seen = reachable(outputs, stops)
    cut = {id(call) for call in stops.values()}
    depth: dict[int, int] = {}
    layer_depth: dict[int, int] = {}
    for call in reversed(calls):
        own = max(depth.get(id(call), 0), layer_depth.get(id(call.layer), 0))
        depth[id(call)] = layer_depth[id(call.layer)] = own
        if id(call) not in cut:
            for parent in parents(call, stops):
                depth[id(parent)] = max(depth.get(id(parent), 0), own + 1)
    for call in inputs:
        if id(call) not in depth:  # an input that no output depends on
            depth[id(call)] = 0
            seen[id(call.layer)] = -1
            calls.append(call)
    return sorted(calls, key=lambda c: (-depth[id(c)], seen[id(c.layer)], c.order))
