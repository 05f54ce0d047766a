"""Random small models for the tests of passes (hypothesis)."""

from __future__ import annotations

import jax
import numpy as np
from hypothesis import strategies as st

import kgraph
from kgraph import Input, Model, SymbolicTensor
from kgraph.compiler import Program
from kgraph.layers import Activation, Add, BatchNormalization, Concatenate, Dense, Dropout

WIDTH = 3
KEY = jax.random.key(7)


def make_nested() -> Model:
    """Returns a model with two inputs, two outputs, randomness and state."""
    a, b = Input((WIDTH,), name="left"), Input((WIDTH,), name="right")
    h = Dropout(0.5)(Dense(WIDTH, "tanh")(a))
    return Model({"l": a, "r": b}, (Add()([h, b]), BatchNormalization()(b)))


def make_deep() -> Model:
    """Returns a model that holds a model."""
    x = Input((WIDTH,))
    return Model(x, make_nested()({"r": x, "l": Activation("relu")(x)})[0])


@st.composite
def models(draw: st.DrawFn) -> Model:
    """Draws a model of up to 12 calls, wired at random, with shared layers and nested models."""
    inputs = [Input((WIDTH,)) for _ in range(draw(st.integers(1, 3)))]
    tensors: list[SymbolicTensor] = list(inputs)
    shared = {
        "dense": Dense(WIDTH),
        "norm": BatchNormalization(),
        "drop": Dropout(0.5),
        "nested": make_nested(),
        "deep": make_deep(),
    }

    def pick() -> SymbolicTensor:
        return draw(st.sampled_from(tensors))

    makers = {
        "Dense": lambda: Dense(WIDTH, draw(st.sampled_from([None, "relu"])))(pick()),
        "Activation": lambda: Activation(draw(st.sampled_from(["relu", "tanh"])))(pick()),
        "Add": lambda: Add()([pick(), pick()]),
        "Concatenate": lambda: Concatenate()([pick(), pick()])[:, :WIDTH],
        "Dropout": lambda: Dropout(0.5)(pick()),
        "BatchNormalization": lambda: BatchNormalization()(pick()),
        "operator": lambda: pick() * draw(st.sampled_from([2.0, 0.5])),
        "ops": lambda: kgraph.ops.maximum(pick(), pick()),
        "shared dense": lambda: shared["dense"](pick()),
        "shared norm": lambda: shared["norm"](pick()),
        "shared dropout": lambda: shared["drop"](pick()),
        "nested": lambda: draw(st.sampled_from(shared["nested"]({"r": pick(), "l": pick()}))),
        "deep": lambda: shared["deep"](pick()),
        "without training": lambda: shared["nested"]({"l": pick(), "r": pick()}, training=False)[0],
    }
    for _ in range(draw(st.integers(1, 11))):
        tensors.append(makers[draw(st.sampled_from(sorted(makers)))]())
    outputs = draw(st.lists(st.sampled_from(tensors), min_size=1, max_size=3))
    return Model(inputs, outputs)


def data_for(model: Model) -> list[np.ndarray]:
    """Returns a batch for a drawn model."""
    random = np.random.default_rng(0)
    return [random.normal(size=(4, WIDTH)).astype(np.float32) for _ in model.inputs]


def run(program: Program, model: Model, training: bool = True):
    """Returns outputs and new state of a program, computed one operation at a time."""
    return program.apply(program.init(KEY), data_for(model), training=training, key=KEY)


def assert_same_arrays(found, wanted) -> None:
    """Fails unless two structures hold the same arrays, bit for bit."""
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted)):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
