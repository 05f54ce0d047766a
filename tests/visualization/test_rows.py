"""The rows of a summary against the graph, and against Keras' own layers."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import pytest
from guide_models import GUIDE, nested, oracle, siamese, ticket, toy_resnet

import kgraph
from kgraph.errors import ConfigError
from kgraph.visualization import summary_rows
from kgraph.visualization.rows import is_branching

pytestmark = pytest.mark.usefixtures("relaxed")  # Keras' own layers rely on rank promotion


@pytest.mark.slow
@pytest.mark.parametrize("name", GUIDE)
def test_rows_are_the_layers_of_keras(name):
    """Names, classes, order, parameter counts, and shapes of layers that Keras calls once."""
    rows, layers = summary_rows(GUIDE[name](kgraph)), oracle(GUIDE[name])._operations
    ours = [(row.name, row.type, row.params) for row in rows]
    theirs = [(x.name, type(x).__name__, x.count_params()) for x in layers]
    assert ours == theirs
    for row, layer in zip(rows, layers):
        assert row.outputs[0][0].shape == keras.tree.flatten(layer.output)[0].shape


def test_parameters_are_those_of_the_graph():
    model = toy_resnet(kgraph)
    counts = {name: spec.parameters for name, spec in model.graph.layers.items()}
    assert {row.name: row.params for row in summary_rows(model)} == counts
    assert sum(counts.values()) == oracle(toy_resnet).count_params()


def test_connections_name_call_and_output():
    rows = {row.name: row for row in summary_rows(siamese(kgraph))}
    assert set(rows["shared"].connected_to) == {"left[0][0]", "right[0][0]", "shared[0][0]"}
    assert len(rows["shared"].outputs) == 3
    assert len(set(rows["concatenate"].connected_to)) == 2
    assert all(entry.startswith("shared[") for entry in rows["concatenate"].connected_to)
    assert rows["left"].connected_to == ()


def test_a_second_output_has_its_own_index():
    class Halves(kgraph.Layer):
        def call(self, inputs):
            return inputs * 2.0, inputs * 3.0

    first, second = Halves()(inputs := kgraph.Input((4,)))
    model = kgraph.Model(inputs, kgraph.layers.Add()([second, first]))
    rows = {row.name: row for row in summary_rows(model)}
    assert rows["add"].connected_to == ("halves[0][1]", "halves[0][0]")
    assert len(rows["halves"].outputs[0]) == 2


def _chain(k):
    x = k.layers.Dense(3)(inputs := k.Input((3,)))
    return k.Model(inputs, k.layers.Dense(3)(x))


def _tapped_chain(k):
    x = k.layers.Dense(3)(inputs := k.Input((3,)))
    return k.Model(inputs, [x, k.layers.Dense(3)(x)])


def _called_twice(k):
    dense = k.layers.Dense(3)
    return k.Model(inputs := k.Input((3,)), dense(dense(inputs)))


def _two_ends(k):
    inputs = k.Input((3,))
    return k.Model(inputs, [k.layers.Dense(3)(inputs), k.layers.Dense(3)(inputs)])


def _same_tensor_twice(k):
    return k.Model(inputs := k.Input((3,)), k.layers.Add()([inputs, inputs]))


def _sequential(k):
    return k.Sequential([k.Input((3,)), k.layers.Dense(3), k.layers.Dense(3)])


SHAPES = (_chain, _tapped_chain, _called_twice, _two_ends, _same_tensor_twice, _sequential)


LARGE = [pytest.param(make, marks=pytest.mark.slow) for make in GUIDE.values() if make != siamese]


@pytest.mark.parametrize("make", [*SHAPES, siamese, *LARGE], ids=lambda make: make.__name__)
def test_branching_is_decided_as_in_keras(make):
    printed: list[str] = []
    oracle(make).summary(print_fn=printed.append)
    assert is_branching(make(kgraph)) == ("Connected to" in "".join(printed))


def test_a_sequential_model_has_no_input_row():
    ours, theirs = _sequential(kgraph), oracle(_sequential)
    assert [row.name for row in summary_rows(ours)] == [layer.name for layer in theirs.layers]


def test_every_functional_model_is_called_functional():
    class Special(kgraph.Model):
        pass

    inner = Special(x := kgraph.Input((3,)), kgraph.layers.Dense(3)(x), name="inner")
    model = kgraph.Model(inputs := kgraph.Input((3,)), _sequential(kgraph)(inner(inputs)))
    types = {row.name: row.type for row in summary_rows(model)}
    assert types["inner"] == "Functional"
    assert types["sequential"] == "Sequential"


def test_nested_models_are_listed_below_their_row():
    rows = summary_rows(nested(kgraph), expand_nested=True)
    levels = [(row.name, row.level) for row in rows]
    expected = []
    for layer in oracle(nested).layers:
        expected.append((layer.name, 0))
        expected += [(inner.name, 1) for inner in getattr(layer, "layers", [])]
    # Keras counts names through the whole session, a graph counts its own.
    assert [level for _, level in levels] == [level for _, level in expected]
    assert levels[:3] == [("img", 0), ("encoder", 0), ("original_img", 1)]
    inner = [row.params for row in rows if row.level]
    assert sum(inner) == oracle(nested).count_params()


def test_deep_nesting_needs_no_recursion_of_its_own():
    model = kgraph.Model(x := kgraph.Input((2,)), kgraph.layers.Dense(2)(x))
    for _ in range(20):
        model = kgraph.Model(x := kgraph.Input((2,)), model(x))
    assert max(row.level for row in summary_rows(model, expand_nested=True)) == 20


def test_trainable_is_said_of_layers_with_weights():
    model = nested(kgraph)
    model.get_layer("encoder").trainable = False
    rows = {row.name: row for row in summary_rows(model, expand_nested=True)}
    assert rows["encoder"].trainable is False
    assert rows["conv2d"].trainable is False
    assert rows["decoder"].trainable is True
    assert rows["max_pooling2d"].trainable is None


def test_masks_are_followed_from_start_to_end():
    notes = {row.name: row.mask for row in summary_rows(ticket(kgraph, mask_zero=True))}
    assert notes["embedding"] == "mask starts here"
    assert notes["lstm"] == "uses mask"
    assert notes["embedding_1"] is None
    assert notes["lstm_1"] is None


def test_a_layer_that_stops_a_mask_says_so():
    class Plain(kgraph.Layer):
        def call(self, inputs):
            return inputs * 2.0

    x = kgraph.layers.Embedding(10, 4, mask_zero=True)(inputs := kgraph.Input((None,)))
    x = kgraph.layers.Dropout(0.5)(x)
    with pytest.warns(UserWarning, match="the mask of its input ends here"):
        x = Plain(name="plain")(x)
    notes = [row.mask for row in summary_rows(kgraph.Model(inputs, x))]
    assert notes == [None, "mask starts here", "masked", "mask ends here"]


def test_a_subclassed_model_lists_its_children():
    class Mlp(kgraph.Model):
        def __init__(self):
            super().__init__()
            self.first, self.second = kgraph.layers.Dense(8), kgraph.layers.Dense(2)

        def call(self, inputs):
            return self.second(self.first(inputs))

    rows = summary_rows(Mlp())
    assert [(row.outputs, row.params) for row in rows] == [((), None), ((), None)]


@pytest.mark.parametrize(
    "ends", [("conv2d_1", "conv2d_3"), ("conv2d_3$", "conv2d_1$"), ("conv2d", "add"), ("i", "d")]
)
def test_layer_range_means_what_it_means_in_keras(ends):
    rows = summary_rows(toy_resnet(kgraph), layer_range=ends)
    layers = oracle(toy_resnet)._operations
    bound = keras.src.utils.summary_utils.get_layer_index_bound_by_layer_name(layers, list(ends))
    assert [row.name for row in rows] == [layer.name for layer in layers[slice(*bound)]]


@pytest.mark.parametrize(
    ("ends", "text"),
    [
        (("nowhere", "add"), r"no layer that matches 'nowhere'[\s\S]*expected  img, conv2d"),
        (("add",), r"`layer_range` as two texts"),
        ("ad", r"`layer_range` as two texts"),
        (("a(", "add"), r"cannot read the regular expression 'a\('"),
    ],
)
def test_a_wrong_layer_range_is_refused(ends, text):
    with pytest.raises(ConfigError, match=text):
        summary_rows(toy_resnet(kgraph), layer_range=ends)


def test_a_model_of_ten_thousand_layers_has_ten_thousand_rows():
    layer = kgraph.layers.Identity
    x = inputs = kgraph.Input((1,))
    for _ in range(10_000):
        x = layer()(x)
    rows = summary_rows(kgraph.Model(inputs, x))
    assert len(rows) == 10_001
    assert rows[-1].connected_to == ("identity_9998[0][0]",)


def test_a_stand_in_without_keras_names_is_enough():
    """The part reads a model through few names, so it does not need the Model class."""
    model = _chain(kgraph)
    stand_in = SimpleNamespace(
        _kgraph_inner_graph=model.graph, _kgraph=model._kgraph, trainable=True
    )
    assert summary_rows(stand_in) == summary_rows(model)
