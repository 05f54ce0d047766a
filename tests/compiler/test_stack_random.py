"""Random chains of blocks compute the same stacked as one by one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stacked_models import KEY, WIDTH, Noisy, assert_close, batch_for, observed, residual_block

import kgraph
from kgraph import Input, Model
from kgraph.compiler import run_passes
from kgraph.compiler.passes import stack_blocks
from kgraph.layers import Add, BatchNormalization, Dense, Dropout


@st.composite
def chains(draw: st.DrawFn) -> Model:
    """Draws a model of runs: each some blocks of a few random layers with random wiring."""
    inputs = x = Input((WIDTH,))
    shared = {"dense": Dense(WIDTH, "tanh"), "drop": Dropout(0.5)}
    makers: dict[str, Callable] = {
        "dense": lambda a, b: Dense(WIDTH, "tanh")(a),
        "norm": lambda a, b: BatchNormalization()(a),
        "drop": lambda a, b: Dropout(0.5)(a),
        "add": lambda a, b: Add()([a, b]),
        "shared dense": lambda a, b: shared["dense"](a),
        "shared drop": lambda a, b: shared["drop"](b),
        "noisy": lambda a, b: Noisy()(a),
        "side": lambda a, b: a * side,
        "residual": lambda a, b: residual_block(b),
    }
    seen = [x]
    for _ in range(draw(st.integers(1, 3))):
        side = x
        names = draw(st.lists(st.sampled_from(sorted(makers)), min_size=1, max_size=4))
        picks = draw(st.lists(st.integers(1, 3), min_size=2 * len(names), max_size=2 * len(names)))
        odd = draw(st.integers(-4, 5))
        for block in range(draw(st.integers(2, 5))):
            own = [x]
            for i, name in enumerate(names):
                a, b = (own[-min(p, len(own))] for p in picks[2 * i : 2 * i + 2])
                own.append(makers["norm" if block == odd and i == 0 else name](a, b))
            x = own[-1]
            seen.append(x)
    outputs = draw(st.lists(st.sampled_from(seen[1:]), min_size=1, max_size=3))
    return Model(inputs, [x, *outputs])


@pytest.mark.slow
@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(model=chains())
def test_random_chains_compute_the_same(model):
    batch = batch_for(model)
    stacked, plain = kgraph.lower(model, stack=True), kgraph.lower(model, stack=False)
    variables = plain.init(KEY)
    assert_close(observed(stacked, variables, batch), observed(plain, variables, batch))
    again = run_passes(stacked.graph, (stack_blocks(),))[-1][1]
    assert again == stacked.graph
