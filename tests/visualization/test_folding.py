"""Large drawings: blocks and what is repeated are one box; operations and calls are told apart."""

import re

import pytest

import kgraph as keras
from kgraph import layers, ops
from kgraph.visualization import model_to_dot, model_to_svg, to_mermaid
from kgraph.visualization.drawing import Options, draw
from kgraph.visualization.folding import FEW, drawn, folded, folds


def transformer(blocks, name=None):
    tokens = keras.Input((16,), dtype="int32")
    x = layers.Embedding(50, 8)(tokens)
    for i in range(blocks):
        named = {} if name is None else {"name": f"{name}_{i}_attention"}
        attended = layers.LayerNormalization()(x)
        attended = layers.MultiHeadAttention(2, 4, **named)(attended, attended)
        x = layers.Add()([x, attended])
        hidden = layers.LayerNormalization()(x)
        hidden = layers.Dense(8)(layers.Dense(16, activation="gelu")(hidden))
        x = layers.Add()([x, hidden])
    return keras.Model(tokens, layers.Dense(3)(layers.GlobalAveragePooling1D()(x)))


def titles(model, **options):
    return [box.title for box in drawn(model, Options(**options)).boxes]


def test_blocks_that_are_alike_are_one_box():
    model = transformer(24)
    ends = ["GlobalAveragePooling1D", "Dense"]
    assert titles(model) == ["InputLayer", "Embedding", "24 x 7 layers", *ends]
    edges = [(edge.source, edge.target) for edge in drawn(model, Options()).edges]
    assert edges == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert len(titles(model, fold=False)) == len(draw(model, Options()).boxes) == 172
    box = drawn(model, Options(show_shapes=True)).boxes[2]
    assert box.lines[0] == "layer_normalization ... add_47"
    assert box.lines[-1] == "output: (None, 16, 8)"
    assert box.params == 24 * sum(sum(w.size for w in layer.weights) for layer in model.layers[2:9])


def test_small_drawings_are_left_alone_unless_asked_for():
    model = transformer(3)
    assert len(titles(model)) == len(model.layers) <= FEW
    assert titles(model, fold=True)[2] == "3 x 7 layers"


def test_blocks_that_differ_are_not_put_together():
    x = inputs = keras.Input((8,))
    for units in (8, 8, 4, 4):
        x = layers.Dropout(0.1)(layers.Dense(units)(x))
    drawing = draw(keras.Model(inputs, x), Options())
    # The third reads 8 features, so its weights differ from those of the fourth.
    assert [(fold.boxes, fold.blocks) for fold in folds(drawing)] == [((1, 2, 3, 4), 2)]


def test_names_that_users_gave_make_blocks_and_automatic_ones_none():
    x = inputs = keras.Input((8,))
    for stage in ("stem", "body"):
        for i in range(20):
            x = layers.Dense(4 + i, name=f"{stage}_dense_{i}")(x)
    shown = drawn(keras.Model(inputs, x), Options())
    assert [box.title for box in shown.boxes] == ["InputLayer", "20 layers", "20 layers"]
    assert shown.boxes[1].lines == ("stem_dense_0 ... stem_dense_19", "Dense")
    x = inputs
    for i in range(45):
        x = layers.Dense(4 + i)(x)
    assert len(titles(keras.Model(inputs, x))) == 46


def test_without_names_what_branches_is_a_block():
    x = inputs = keras.Input((8, 8, 3))
    for filters in range(2, 14):
        ways = [layers.Conv2D(filters, size, padding="same")(x) for size in (1, 3, 5)]
        x = layers.Concatenate()(ways)
    shown = titles(keras.Model(inputs, x))
    assert shown == ["InputLayer", *["4 layers"] * 12]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ResNet50", "EfficientNetB0"])
def test_networks_fit_on_a_screen(name):
    model = getattr(keras.applications, name)(weights=None)
    width, height = re.search(r'width="(\d+)" height="(\d+)"', model_to_svg(model)).groups()
    assert int(width) < 500
    assert int(height) < 2100
    assert "3 x 1" in " ".join(titles(model))


def test_a_fold_of_everything_keeps_edges_to_itself_out():
    drawing = draw(transformer(2), Options())
    shown = folded(drawing, folds(drawing))
    assert all(edge.source != edge.target for edge in shown.edges)


def test_all_formats_fold():
    model = transformer(24)
    assert model_to_dot(model).to_string().count("24 x 7 layers") == 1
    assert to_mermaid(model).count("24 x 7 layers") == 1
    assert model_to_svg(model).count(">24 x 7 layers<") == 1


def test_operations_are_called_what_they_do():
    x, y = keras.Input((4,)), keras.Input((4,))
    made = ops.tanh(x) + y * 2
    made = ops.concatenate([made, x[:, :2]], axis=1)
    shown = titles(keras.Model([x, y], ops.sum(-(1 - made), axis=-1)))
    ends = ["x * 2", "x + y", "x[...]", "concatenate", "1 - x", "-x", "sum"]
    assert sorted(shown) == sorted(["InputLayer", "InputLayer", "tanh", *ends])


def test_a_shared_model_that_is_called_twice_has_both_arrows():
    inner = keras.Input((8,))
    shared = keras.Model(inner, layers.Dense(4)(inner), name="shared")
    a, b = keras.Input((8,), name="a"), keras.Input((8,), name="b")
    model = keras.Model([a, b], layers.Concatenate()([shared(a), shared(b)]))
    pairs = [(edge.source, edge.target) for edge in draw(model, Options()).edges]
    assert len(pairs) == 4
    assert len(set(pairs)) == 3
    paths = re.findall(r'<path d="(M[^"]+)" fill="none"', model_to_svg(model))
    assert len(set(paths)) == 4
    same = keras.Model(a, layers.MultiHeadAttention(1, 2)(*[layers.Reshape((2, 4))(a)] * 2))
    assert len(draw(same, Options()).edges) == 2  # one call that reads it several times


def test_no_title_of_a_frame_is_crossed_in_dot():
    inner = keras.Input((8,))
    frame = keras.Model(inner, layers.Dense(4)(inner), name="frame")
    outer = keras.Input((8,))
    text = model_to_dot(keras.Model(outer, frame(outer)), expand_nested=True).to_string()
    assert "labeljust" not in text  # edges run across the label of a cluster
    assert re.search(r"title1 \[label=<frame \(Functional\)>", text)
