"""Nothing changes a graph: not a pass, not another model, not the user's arrays, not training."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import jax
import numpy as np
import pytest

import kgraph
from kgraph import Input, Model
from kgraph.layers import Activation, BatchNormalization, Dense, Dropout


def recomputed(graph):
    """Returns the hash of a graph as it is now, whatever was remembered."""
    return type(graph)(
        **{name: getattr(graph, name) for name in graph.__dataclass_fields__}
    ).content_hash


def make_model() -> Model:
    x = Input((4,))
    y = Dense(4, "relu")(x)
    y = BatchNormalization()(y)
    return Model(x, Dense(2, "softmax")(Dropout(0.5)(y)))


def test_fields_cannot_be_set():
    graph = make_model().graph
    with pytest.raises(FrozenInstanceError):
        graph.nodes = ()
    with pytest.raises(FrozenInstanceError):
        graph.nodes[0].name = "other"


@pytest.mark.parametrize("pass_", kgraph.compiler.DEFAULT_PASSES)
def test_a_pass_leaves_its_input_as_it_was(pass_):
    graph = make_model().graph
    before = recomputed(graph)
    pass_(graph)
    assert recomputed(graph) == before


def test_lowering_running_and_freezing_leave_the_graph_as_it_was():
    model = make_model()
    before = recomputed(model.graph)
    program = kgraph.lower(model)
    variables = program.init(jax.random.key(0))
    program.apply(variables, np.ones((2, 4), np.float32), training=True, key=jax.random.key(1))
    model(np.ones((2, 4), np.float32))
    model.trainable = False
    assert recomputed(model.graph) == before


def test_a_second_model_on_the_same_layers_leaves_the_first_as_it_was():
    x = Input((4,), name="x")
    hidden = Dense(3, name="hidden")
    h = hidden(x)
    first = Model(x, Dense(2)(h))
    before = recomputed(first.graph)
    other = Input((4,))
    second = Model(other, Activation("tanh")(hidden(other)))
    Model(h, Activation("relu")(h))
    assert recomputed(first.graph) == before
    assert second.get_layer("hidden") is hidden


def test_a_changed_array_does_not_reach_the_graph():
    offset = np.ones(3, np.float32)
    x = Input((3,))
    model = Model(x, x + offset[None])
    before = recomputed(model.graph)
    offset[:] = 5.0
    assert recomputed(model.graph) == before
    np.testing.assert_array_equal(model(np.zeros((1, 3))), [[1.0, 1.0, 1.0]])


def test_a_changed_list_of_arguments_does_not_reach_the_graph():
    x = Input((3,))
    axes = [0, 1]
    y = kgraph.ops.transpose(x, axes)
    model = Model(x, y)
    axes.reverse()
    assert model.graph.nodes[-1].args[1] == [0, 1]
