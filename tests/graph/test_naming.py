"""Names are local to a graph, explicit ones win, and the same code gives the same names."""

from __future__ import annotations

import jax
import pytest

import kgraph
from kgraph import Input, Model, Sequential
from kgraph.errors import ConfigError, GraphError
from kgraph.layers import Activation, Conv2D, Dense


def names(model: Model) -> list[str]:
    return [node.name for node in model.graph.nodes]


def small_model() -> Model:
    x = Input((8, 8, 1))
    y = Conv2D(2, 3)(x)
    y = Conv2D(2, 3)(y)
    return Model(x, Activation("relu")(y))


def test_automatic_names_are_numbered_in_the_order_of_making():
    assert names(small_model()) == ["input_layer", "conv2d", "conv2d_1", "activation"]


def test_running_a_cell_again_gives_the_same_names():
    assert names(small_model()) == names(small_model())


def test_an_explicit_name_wins_over_an_automatic_one():
    x = Input((3,))
    automatic = Dense(3)(x)
    model = Model(x, Dense(3, name="dense")(automatic))
    assert names(model) == ["input_layer", "dense_1", "dense"]


def test_two_layers_with_one_explicit_name_are_refused_with_both_lines():
    x = Input((3,))
    y = Dense(3, name="head")(x)
    z = Dense(3, name="head")(y)
    with pytest.raises(GraphError, match="Two layers of this model are named 'head'") as caught:
        Model(x, z)
    text = str(caught.value)
    assert 'y = Dense(3, name="head")(x)' in text
    assert 'z = Dense(3, name="head")(y)' in text
    assert "try" in text


def test_a_layer_keeps_the_name_that_its_first_model_gave():
    x = Input((3,))
    first, second = Dense(3), Dense(3)
    Model(x, second(first(x)))
    other = Input((3,))
    model = Model(other, second(other))
    assert names(model) == ["input_layer", "dense_1"]
    assert second.name == "dense_1"


def test_where_two_kept_names_clash_the_later_layer_gets_a_new_one():
    x, y = Input((3,)), Input((3,))
    one, two = Dense(3), Dense(3)
    Model(x, one(x))
    Model(y, two(y))
    assert one.name == two.name == "dense"
    z = Input((3,))
    both = Model(z, two(one(z)))
    assert names(both)[1:] == ["dense", "dense_1"]
    assert both.get_layer("dense") is one
    assert both.get_layer("dense_1") is two
    assert list(kgraph.lower(both).init(jax.random.key(0))["params"]) == ["dense", "dense_1"]


def test_later_calls_of_a_shared_layer_are_numbered():
    x = Input((3,))
    shared = Dense(3)
    assert names(Model(x, shared(shared(x)))) == ["input_layer", "dense", "dense:1"]


def test_a_nested_model_has_a_name_of_its_own():
    inner = Sequential([Input((3,)), Dense(3)], name="encoder")
    x = Input((3,))
    assert names(Model(x, inner(x))) == ["input_layer", "encoder"]


@pytest.mark.parametrize("name", ["a/b", "a:1", "", 3])
def test_a_name_that_would_break_paths_is_refused(name):
    with pytest.raises(ConfigError, match="cannot be named"):
        Dense(3, name=name)
