"""What every pass keeps, on random graphs; and what each pass does."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest
from graphs import KEY, assert_same_arrays, data_for, make_deep, make_nested, models, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kgraph
from kgraph import Input, Layer, Model
from kgraph.compiler import DEFAULT_PASSES, run_passes
from kgraph.compiler.passes import drop_unused, expose_logits, inline_models, merge_equal
from kgraph.graph import Graph, verify
from kgraph.layers import LSTM, Activation, BatchNormalization, Dense, Dropout, Embedding

PASSES = [inline_models, drop_unused, merge_equal]
RANDOM = settings(
    max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


def fresh_copy(graph: Graph) -> Graph:
    return replace(graph)


@pytest.mark.parametrize("pass_", PASSES)
@RANDOM
@given(model=models(), training=st.booleans())
def test_a_pass_changes_nothing_observable(pass_, model, training):
    before = fresh_copy(model.graph).content_hash
    once = pass_(model.graph)
    verify(once)
    assert pass_(once) is once  # so it is not verified again
    assert fresh_copy(model.graph).content_hash == before
    plain, passed = kgraph.lower(model, ()), kgraph.lower(model, (pass_,))
    assert_same_arrays(passed.init(KEY), plain.init(KEY))
    assert_same_arrays(run(passed, model, training), run(plain, model, training))


@RANDOM
@given(model=models())
def test_all_passes_together_change_nothing_observable(model):
    assert_same_arrays(run(kgraph.lower(model), model), run(kgraph.lower(model, ()), model))


@RANDOM
@given(model=models())
def test_equal_code_makes_equal_graphs_after_each_pass(model):
    copy = kgraph.models.clone_model(model)
    for (_, one), (_, two) in zip(
        run_passes(model.graph, DEFAULT_PASSES), run_passes(copy.graph, DEFAULT_PASSES)
    ):
        assert one == two


def layer_names(graph: Graph) -> list[str]:
    return [node.name for node in graph.calls]


# --- merge_equal


def test_equal_calls_are_computed_once():
    x = Input((3,))
    one, two = Activation("relu")(x), Activation("relu")(x)
    graph = merge_equal(Model(x, [one, two, kgraph.ops.tanh(one), kgraph.ops.tanh(two)]).graph)
    assert layer_names(graph) == ["activation", "tanh"]
    assert graph.outputs[0] == graph.outputs[1]
    assert graph.outputs[2] == graph.outputs[3]


def test_a_shared_layer_on_one_tensor_is_computed_once():
    x = Input((3,))
    shared = Dense(3)
    assert layer_names(merge_equal(Model(x, shared(x) + shared(x)).graph)) == ["dense", "add"]


@pytest.mark.parametrize(
    "make",
    [
        lambda x: (Dense(3)(x), Dense(3)(x)),
        lambda x: (Dropout(0.5)(x), Dropout(0.5)(x)),
        lambda x: (Activation("relu")(x), Activation("tanh")(x)),
        lambda x: (x * 2.0, x * 3.0),
        lambda x: (x * 2.0, x * 2),
        lambda x: (x[:, 0], x[:, 1]),
        lambda x: (kgraph.ops.tanh(x), kgraph.ops.sin(x)),
    ],
    ids=["weights", "random", "option", "constant", "type", "index", "function"],
)
def test_calls_that_differ_are_not_merged(make):
    x = Input((3,))
    graph = Model(x, list(make(x))).graph
    assert merge_equal(graph) == graph


def test_two_dropouts_of_one_layer_draw_twice():
    x = Input((64,))
    drop = Dropout(0.5)
    program = kgraph.lower(Model(x, [drop(x), drop(x)]))
    (one, two), _ = program.apply(
        {"params": {}, "state": {}}, np.ones((1, 64)), training=True, key=KEY
    )
    assert not np.array_equal(one, two)


def test_a_state_update_happens_as_often_as_it_was_called():
    x = Input((3,))
    norm = BatchNormalization()
    graph = Model(x, [norm(x), norm(x)]).graph
    assert merge_equal(graph) == graph


def test_layers_of_the_users_are_not_merged_for_equal_options():
    class Times(Layer):
        factor = 1.0

        def call(self, inputs):
            return inputs * self.factor

    two, three = Times(), Times()
    two.factor, three.factor = 2.0, 3.0
    x = Input((1,))
    found = Model(x, [two(x), three(x)])(np.ones((1, 1)))
    assert [float(value[0, 0]) for value in found] == [2.0, 3.0]


# --- drop_unused


def test_what_no_output_needs_is_dropped_and_its_weights_stay():
    x = Input((3,))
    nested = make_nested()
    model = Model(x, nested({"l": x, "r": x})[1])
    graph = drop_unused(inline_models(model.graph))
    assert layer_names(graph) == ["functional/batch_normalization"]
    assert sorted(kgraph.lower(model).init(KEY)["params"]["functional"]) == [
        "batch_normalization",
        "dense",
    ]


def test_a_node_with_an_effect_is_kept():
    x = Input((3,))
    nested = make_nested()
    model = Model(x, nested({"l": x, "r": x})[0])
    assert "functional/batch_normalization" in layer_names(drop_unused(inline_models(model.graph)))

    class Costs(Layer):
        def call(self, inputs):
            self.add_loss(inputs)
            return inputs

    a = Input((3,))
    inner = Model(a, [Costs()(a), a * 2.0])
    model = Model(x, inner(x)[1])
    program = kgraph.lower(model)
    assert len(program.run({"params": {}, "state": {}}, np.ones((2, 3))).losses) == 1


# --- inline_models


def test_nested_models_are_inlined_to_any_depth():
    x = Input((3,))
    graph = inline_models(Model(x, make_deep()(x)).graph)
    assert all(spec.graph is None for spec in graph.layers.values())
    assert "functional/functional/dense" in [node.layer for node in graph.nodes]


def test_inlining_keeps_paths_and_random_keys():
    x = Input((3,))
    nested = make_nested()
    one = nested({"l": x, "r": x})[0]
    model = Model(x, nested({"l": one, "r": x})[0])
    assert_same_arrays(run(kgraph.lower(model), model), run(kgraph.lower(model, ()), model))
    assert "functional:1/dropout" in [node.name for node in inline_models(model.graph).nodes]


def test_a_dict_of_arguments_is_paired_by_key():
    a, b = Input((2,), name="a"), Input((2,), name="b")
    minus = Model({"a": a, "b": b}, a - b)
    p, q = Input((2,)), Input((2,))
    model = Model([p, q], minus({"b": q, "a": p}))
    data = [np.full((1, 2), 5.0), np.full((1, 2), 3.0)]
    for passes in ((), None):
        found = kgraph.lower(model, passes).apply({"params": {}, "state": {}}, data)[0]
        np.testing.assert_array_equal(found, [[2.0, 2.0]])


@pytest.mark.parametrize("call", [lambda m, x: m(x, False), lambda m, x: m(x, training=False)])
def test_a_call_with_training_off_stays_off(call):
    a = Input((64,))
    inner = Model(a, Dropout(0.5)(a))
    x = Input((64,))
    model = Model(x, call(inner, x))
    for passes in ((), None):
        found, _ = kgraph.lower(model, passes).apply(
            {"params": {}, "state": {}}, np.ones((1, 64)), training=True, key=KEY
        )
        np.testing.assert_array_equal(found, np.ones((1, 64)))


@pytest.mark.parametrize(("shape", "dtype"), [((4,), "float32"), ((4, 1), "int32")])
def test_a_call_whose_inputs_are_adapted_stays_a_call(shape, dtype):
    a = Input((4, 1))
    inner = Model(a, kgraph.ops.sum(a / 2.0, axis=(1, 2)))
    x = Input(shape, dtype=dtype)
    model = Model(x, inner(x))
    assert inline_models(model.graph) == model.graph
    found = kgraph.lower(model).apply({"params": {}, "state": {}}, np.ones((1, *shape)))[0]
    np.testing.assert_array_equal(found, [2.0])


def test_a_call_on_masked_tensors_stays_a_call():
    a = Input((None, 3))
    inner = Model(a, LSTM(3)(a))
    words = Input((None,), dtype="int32")
    x = Embedding(5, 3, mask_zero=True)(words)
    model = Model(words, inner(x))
    assert inline_models(model.graph) == model.graph
    short, long = np.array([[2, 1]]), np.array([[2, 1, 0, 0]])
    np.testing.assert_allclose(model(short), model(long), rtol=1e-6)


# --- expose_logits


def logits_and_outputs(model: Model, index: int = 0):
    program = kgraph.lower(model, (*DEFAULT_PASSES, expose_logits([index])))
    plain = kgraph.lower(model)
    variables = plain.init(KEY)
    assert_same_arrays(program.init(KEY), variables)
    ran = program.run(variables, data_for(model))
    wanted = plain.run(variables, data_for(model)).outputs
    assert_same_arrays(ran.outputs[: len(wanted)], wanted)
    return ran.outputs[len(wanted) :], wanted[index]


@pytest.mark.parametrize(
    ("last", "function"),
    [
        (lambda x: Dense(4, "softmax")(x), jax.nn.softmax),
        (lambda x: Dense(1, "sigmoid")(x), jax.nn.sigmoid),
        (lambda x: Activation("softmax")(Dense(4)(x)), jax.nn.softmax),
        (lambda x: Activation("sigmoid")(x), jax.nn.sigmoid),
        (lambda x: kgraph.layers.Softmax()(x), jax.nn.softmax),
    ],
)
def test_logits_of_a_last_activation_are_added(last, function):
    x = Input((3,))
    logits, outputs = logits_and_outputs(Model(x, last(x)))
    assert len(logits) == 1
    np.testing.assert_allclose(function(logits[0]), outputs, rtol=1e-6)
    assert not np.array_equal(logits[0], outputs)


def test_logits_of_the_wanted_output_only():
    x = Input((3,))
    model = Model(x, [Dense(2, "softmax")(x), Dense(4, "softmax")(x)])
    logits, _ = logits_and_outputs(model, 1)
    assert [array.shape for array in logits] == [(4, 4)]


@pytest.mark.parametrize("kind", ["relu", "shared", "axis", "regularized", "user"])
def test_what_cannot_be_split_is_left_alone(kind):
    x = Input((3, 3))
    shared = Dense(3, "softmax")
    user = type("Dense", (Dense,), {"__module__": "elsewhere", "call": Dense.call})
    outputs = {
        "relu": lambda: Dense(3, "relu")(x),
        "shared": lambda: shared(shared(x)),
        "axis": lambda: kgraph.layers.Softmax(axis=1)(x),
        "regularized": lambda: Dense(3, "softmax", activity_regularizer="l2")(x),
        "user": lambda: user(3, "softmax")(x),
    }[kind]()
    graph = Model(x, outputs).graph
    assert expose_logits([0])(graph) == graph


def test_exposing_logits_leaves_the_graph_as_it_was():
    x = Input((3,))
    graph = Model(x, Dense(2, "softmax")(x)).graph
    before = fresh_copy(graph).content_hash
    verify(expose_logits([0])(graph))
    assert fresh_copy(graph).content_hash == before


def test_readers_of_a_split_layer_still_read_the_probabilities():
    x = Input((3,))
    y = Dense(3, "softmax")(x)
    model = Model(x, [y, y * 2.0])
    logits, _ = logits_and_outputs(model)
    assert len(logits) == 1
