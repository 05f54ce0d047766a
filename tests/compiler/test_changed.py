"""Options that are set anew after a layer was made: no pass goes by what they were before."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
import pytest

import kgraph
from kgraph import Input, Layer, Model, activations
from kgraph.compiler import run_passes
from kgraph.compiler.changed import new_options, without_changed
from kgraph.compiler.passes import merge_equal
from kgraph.layers import (
    Activation,
    BatchNormalization,
    Dense,
    Dropout,
    TimeDistributed,
)

KEY = jax.random.key(1)
X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
RELU, TANH = activations.get("relu"), activations.get("tanh")


def chain(*layers: Layer) -> Model:
    inputs = x = Input((4,))
    for layer in layers:
        x = layer(x)
    return Model(inputs, x)


def test_options_are_compared_with_those_that_a_layer_was_made_with():
    layer = Dense(4, TANH, kernel_regularizer="l2")
    layer.build((None, 4))
    assert new_options(layer) == {}
    layer.activation = RELU
    assert new_options(layer) == {"activation": RELU}
    layer.activation = TANH
    assert new_options(layer) == {}


def test_one_new_layer_shows_what_equal_options_become(monkeypatch):
    model, made = chain(*(Dense(4) for _ in range(5)), Dense(5), Dense(4, TANH)), []
    init = Dense.__init__
    monkeypatch.setattr(
        Dense,
        "__init__",
        lambda self, *args, **kwargs: (made.append(args), init(self, *args, **kwargs))[1],
    )
    assert without_changed(model.graph, model._kgraph.layers) is model.graph
    assert made == [(4,), (5,), (4, TANH)]
    model.layers[3].activation = RELU
    graph = without_changed(model.graph, model._kgraph.layers)
    assert [spec.own for spec in graph.layers.values()].count(False) == 1


def test_a_graph_without_changes_is_returned_as_it_is():
    inner = chain(Dropout(0.5), Dense(4))
    model = chain(inner, Dense(3))
    assert without_changed(model.graph, model._kgraph.layers) is model.graph
    inner.layers[1].rate = 0.1
    graph = without_changed(model.graph, model._kgraph.layers)
    found = graph.layers[inner.name].graph
    assert [spec.own for spec in found.layers.values()] == [True, False, True]


def test_a_block_with_a_new_option_is_not_stacked_with_others():
    blocks = [Dense(4), Dropout(0.5)], [Dense(4), Dropout(0.5)], [Dense(4), Dropout(0.5)]
    model = chain(*(layer for block in blocks for layer in block))
    model.layers[6].rate = 0.1
    programs = [kgraph.lower(model, stack=stack) for stack in (True, False)]
    assert [stack.plan.count for stack in programs[0].stacks.values()] == [2]
    variables = programs[1].init(KEY)
    found = [p.apply(variables, X, training=True, key=KEY)[0] for p in programs]
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-6)
    model.layers[2].rate, model.layers[4].rate = 0.1, 0.9
    assert not kgraph.lower(model, stack=True).stacks
    model.layers[4].rate = 0.1
    assert kgraph.lower(model, stack=True).stacks  # the same new option everywhere


def test_a_block_with_frozen_statistics_is_not_stacked_with_others():
    norms = [BatchNormalization(center=False, scale=False) for _ in range(3)]
    norms[2].trainable = False  # it has no weight that would tell
    model = chain(*(layer for norm in norms for layer in (norm, Dense(4))))
    stacked, plain = (kgraph.lower(model, stack=stack) for stack in (True, False))
    variables = plain.init(KEY)
    found = [p.apply(variables, X, training=True)[1] for p in (stacked, plain)]
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), *found)


class Scale(Layer):
    """A user's layer that no option tells of."""

    factor = 1.0

    def call(self, inputs):
        return inputs * self.factor


def test_layers_are_merged_only_if_they_are_equal_now_and_inside():
    inputs = Input((2, 4))
    layers = [Activation("relu"), Activation("relu"), *(TimeDistributed(Scale()) for _ in "ab")]
    model = Model(inputs, [layer(inputs) for layer in layers])
    layers[1].activation, layers[3].layer.factor = TANH, 2.0
    graph = without_changed(model.graph, model._kgraph.layers)
    assert len(run_passes(graph, (merge_equal,))[-1][1].nodes) == 5
    x = -np.ones((3, 2, 4), np.float32)
    found = [float(y[0, 0, 0]) for y in model.predict(x, verbose=0)]
    assert found == pytest.approx([0, np.tanh(-1), -1, -2])


def test_compile_takes_up_what_was_changed():
    """As in Keras, where it makes new functions: a head is often exchanged in this way."""
    model = chain(Dense(3, "softmax"))
    model(X)
    model.layers[1].activation = TANH
    model.compile("sgd", "mse")
    wanted = np.tanh(X @ model.layers[1].kernel.numpy())
    np.testing.assert_allclose(model(X), wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.predict(X, verbose=0), wanted, rtol=1e-5, atol=1e-6)
    targets = np.full((6, 3), 0.25, np.float32)
    model.compile("sgd", "categorical_crossentropy")
    loss = kgraph.losses.categorical_crossentropy(targets, wanted)
    assert model.evaluate(X, targets, verbose=0) == pytest.approx(float(np.mean(loss)), rel=1e-4)


def test_statistics_frozen_after_a_call_stay_as_they_are():
    norm = BatchNormalization(center=False, scale=False)
    model = chain(norm)
    model(X, training=True)
    before = norm.moving_mean.numpy()
    assert before.any()
    norm.trainable = False
    model(X, training=True)
    np.testing.assert_array_equal(norm.moving_mean.numpy(), before)
