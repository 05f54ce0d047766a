"""Freezing: cuts, pass-through outputs, nested structures, and any depth."""

from __future__ import annotations

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import kgraph
from kgraph import Input, Model
from kgraph.graph import verify
from kgraph.layers import Activation, Add, Dense

KEY = jax.random.key(0)
ONES = np.ones((2, 3), np.float32)


def test_a_model_can_be_cut_from_intermediate_tensors():
    x = Input((3,))
    a = Dense(4, name="a")(x)
    b = Dense(5, name="b")(a)
    c = Dense(6, name="c")(b)
    whole, middle = Model(x, c), Model(a, b)
    assert [node.layer for node in middle.graph.calls] == ["b"]
    assert middle.input_shape == (None, 4)
    hidden = Model(x, a)(ONES)
    np.testing.assert_allclose(Model(b, c)(middle(hidden)), whole(ONES), rtol=1e-6, atol=1e-6)


def test_features_come_from_the_outputs_of_layers():
    x = Input((3,))
    y = Activation("relu", name="second")(Dense(4, name="first")(x))
    model = Model(x, y)
    features = Model(model.input, [layer.output for layer in model.layers])
    found = features(ONES)
    assert [f.shape for f in found] == [(2, 3), (2, 4), (2, 4)]
    np.testing.assert_array_equal(found[2], np.maximum(found[1], 0))


def test_a_cut_in_the_middle_of_two_branches_needs_the_other_input():
    x = Input((3,))
    a = Dense(3, name="a")(x)
    y = Add()([a, x])
    assert Model([a, x], y).graph.input_names == ("input_layer_1", "input_layer")


def test_outputs_may_be_inputs():
    x, y = Input((3,), name="x"), Input((3,), name="y")
    model = Model([x, y], [y, x, x])
    assert model.graph.output_names == ("y", "x", "x_1")
    for found, wanted in zip(model([ONES, 2 * ONES]), (2 * ONES, ONES, ONES)):
        np.testing.assert_array_equal(found, wanted)


def test_an_input_that_nothing_reads_is_kept():
    x, unused = Input((3,), name="x"), Input((2,), name="unused")
    model = Model([x, unused], Activation("relu")(x))
    verify(model.graph)
    assert model.input_names == ["x", "unused"]
    np.testing.assert_array_equal(model([ONES, np.ones((2, 2))]), ONES)


Point = collections.namedtuple("Point", "x y")


@pytest.mark.parametrize(
    "outputs",
    [
        lambda a, b: [a, b],
        lambda a, b: (a, b),
        lambda a, b: {"first": a, "rest": [b, {"again": a}]},
        lambda a, b: Point(a, b),
    ],
)
def test_outputs_come_in_the_structure_in_which_they_were_given(outputs):
    x = Input((3,))
    model = Model(x, outputs(x + 1.0, x * 2.0))
    found, wanted = model(ONES), outputs(ONES + 1, ONES * 2)
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    jax.tree.map(np.testing.assert_array_equal, found, wanted)


@pytest.mark.parametrize("kind", [list, tuple])
def test_one_output_in_a_list_comes_as_one_array_as_in_keras(kind):
    x = Input((3,))
    np.testing.assert_array_equal(Model(x, kind([x * 2.0]))(ONES), ONES * 2)


def test_inputs_may_be_a_dict_and_are_fed_by_key_or_by_name():
    a, b = Input((3,), name="left"), Input((3,), name="right")
    model = Model({"b": b, "a": a}, a - b)
    for fed in ({"a": 3 * ONES, "b": ONES}, {"right": ONES, "left": 3 * ONES}):
        np.testing.assert_array_equal(model(fed), 2 * ONES)


def test_layers_take_and_give_structures():
    class Split(kgraph.Layer):
        def call(self, inputs):
            return {"sum": inputs["a"] + inputs["b"], "both": (inputs["a"], inputs["b"])}

    a, b = Input((3,)), Input((3,))
    made = Split()({"a": a, "b": b})
    assert isinstance(made["both"], tuple)
    model = Model([a, b], [made["sum"], made["both"][1]])
    total, second = model([ONES, 2 * ONES])
    np.testing.assert_array_equal(total, 3 * ONES)
    np.testing.assert_array_equal(second, 2 * ONES)


def test_a_list_and_a_tuple_stay_what_they_are_however_often_they_are_inferred():
    x = Input((3,))
    identity = kgraph.layers.Identity
    assert isinstance(identity()([x, x]), list)
    assert isinstance(identity()((x, x)), tuple)


@pytest.mark.slow
def test_ten_thousand_layers_in_a_row_build_and_lower():
    depth = 10_000
    x = Input((1,))
    y = x
    for _ in range(depth):
        y = Dense(1, use_bias=False)(y)
    model = Model(x, y)
    assert len(model.graph.nodes) == depth + 1
    assert model.graph.nodes[-1].name == f"dense_{depth - 1}"
    assert len(model.graph.content_hash) == 64
    program = kgraph.lower(model, stack=False)
    variables = {
        "params": {
            f"dense_{i}" if i else "dense": {"kernel": jnp.ones((1, 1))} for i in range(depth)
        },
        "state": {},
    }
    jaxpr = jax.make_jaxpr(lambda v, x: program.apply(v, x)[0])(variables, jnp.ones((1, 1)))
    assert sum(e.primitive.name == "dot_general" for e in jaxpr.eqns) == depth
