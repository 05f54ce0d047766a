"""Every layer of the library has costs, and rules say about what XLA says."""

from __future__ import annotations

import pytest
from cases import Case, all_cases

from kgraph import Input, Model, layers
from kgraph.compiler.costs.dims import known_sizes, with_sizes
from kgraph.compiler.costs.rules import work_by_rule
from kgraph.compiler.costs.traced import trace_call
from kgraph.graph.dims import dim_names

UNLIKE = ("dropout", "noise", "embedding")
"""Rules leave out the arithmetic of random bits and of indices, which XLA counts."""
CASES = sorted(
    (case for case in all_cases() if not any(tensor.mask for tensor in case.inputs)),
    key=lambda case: case.id,
)[::4]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_costs_of_a_layer(case: Case):
    inputs = [Input(tensor.shape, dtype=tensor.dtype) for tensor in case.inputs]
    args, kwargs = case.arrange(inputs)
    model = Model(inputs, case.make(layers)(*args, **kwargs))
    sizes = {name: 6 for tensor in case.inputs for name in dim_names(tensor.shape)}
    costs = model.cost(3, sizes)
    assert costs.total.parameters == model.count_params()
    node = list(model.graph.calls)[-1]
    values = known_sizes(model.graph, 3, sizes)
    read = [with_sizes(model.graph.spec(ref), values) for ref in node.inputs]
    made = [with_sizes(spec, values) for spec in node.outputs]
    layer = model._kgraph.layers[node.layer]
    work = work_by_rule(layer, read, made)
    if work is None:
        assert costs[-1].counted_by == "XLA"
    elif not any(word in case.id for word in UNLIKE):
        traced = trace_call(layer, node, read, [None] * len(read), True, True)
        small = 50 + 2 * max(len(read), 1) * sum(made[0].dims)  # sums over broadcast axes
        assert work.forward == pytest.approx(traced.forward, rel=0.5, abs=small)
