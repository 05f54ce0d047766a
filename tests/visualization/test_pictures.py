"""Pictures by matplotlib: what they show, and how they refuse what cannot be shown."""

import matplotlib as mpl
import numpy as np
import pytest

import kgraph as keras
from kgraph import layers
from kgraph.errors import ConfigError, DataError
from kgraph.visualization import activations, filters, plot_confusion_matrix

mpl.use("agg")


def written(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_a_confusion_matrix_counts_and_names():
    true, found = [0, 0, 1, 2, 2, 2], [0, 1, 1, 2, 2, 0]
    figure = plot_confusion_matrix(true, found, labels=["cat", "dog", "owl"])
    assert written(figure) == list("110010102")
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["cat", "dog", "owl"]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("predicted", "true")
    parts = written(plot_confusion_matrix(true, found, normalize=True))
    assert parts[:3] == ["0.50", "0.50", "0.00"]
    assert parts[-1] == "0.67"


def test_predictions_are_taken_as_a_model_gives_them(tmp_path):
    scores = np.eye(3)[[0, 1, 1, 2, 2, 0]] * 0.8
    true = np.array([[0], [0], [1], [2], [2], [2]])
    assert written(plot_confusion_matrix(true, scores)) == list("110010102")
    assert written(plot_confusion_matrix(np.eye(3)[true[:, 0]], scores)) == list("110010102")
    binary = plot_confusion_matrix(
        [0, 1, 1], np.array([[0.2], [0.9], [0.4]]), path=tmp_path / "m.png"
    )
    assert written(binary) == list("1011")
    assert (tmp_path / "m.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("true", "found", "labels", "text"),
    [
        ([0, 1], [0], None, "prediction for each label"),
        ([], [], None, "at least one row"),
        ([0, 2], [0, 1], ["a", "b"], "class has no name"),
        (np.zeros((2, 2, 2)), [0, 1], None, "neither classes nor a row"),
    ],
)
def test_labels_that_do_not_fit_are_refused(true, found, labels, text):
    with pytest.raises(DataError, match=text):
        plot_confusion_matrix(true, found, labels)


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(20, 3, name="seen")(inputs)
    x = layers.GlobalMaxPooling2D(name="pooled")(x)
    return keras.Model(inputs, layers.Dense(4, name="head")(x))


def test_activations_are_those_of_the_layers(model):
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    figure = activations(model, x)
    titles = [a.get_title(loc="left") for a in figure.axes if a.get_title(loc="left")]
    assert titles == ["seen", "head"]
    assert len(figure.axes) == 16 + 1
    seen = keras.Model(model.inputs, model.get_layer("seen").output).predict(x, verbose=0)
    shown = figure.axes[3].images[0].get_array()
    np.testing.assert_allclose(shown, seen[0, ..., 3], rtol=1e-5, atol=1e-5)
    assert len(activations(model, x, layers=["pooled"]).axes) == 1
    with pytest.raises(ConfigError, match=r"no 'haed'[\s\S]*'head'"):
        activations(model, x, layers=["haed"])


def test_filters_are_drawn_in_colour_where_they_have_three_channels(model):
    figure = filters(model.get_layer("seen"), most=10)
    assert len(figure.axes) == 10
    image = np.asarray(figure.axes[0].images[0].get_array())
    assert image.shape == (3, 3, 3)
    kernel = model.get_layer("seen").kernel.numpy()
    scaled = (kernel[..., 0] - kernel[..., :10].min()) / np.ptp(kernel[..., :10])
    np.testing.assert_allclose(image, scaled, rtol=1e-4, atol=1e-5)
    with pytest.raises(ConfigError, match=r"'head' .* has no filters"):
        filters(model.get_layer("head"))


def test_classes_may_be_floats_and_nothing_else_is_taken_for_them():
    figure = plot_confusion_matrix(np.array([0.0, 1.0, 2.0]), np.array([0, 2, 2]))
    shown = np.asarray(figure.axes[0].images[0].get_array())
    np.testing.assert_array_equal(shown, [[1, 0, 0], [0, 0, 1], [0, 0, 1]])
    figure = plot_confusion_matrix([0, 1], np.array([[0.4], [0.6]]))
    np.testing.assert_array_equal(np.asarray(figure.axes[0].images[0].get_array()), np.eye(2))
    for wrong in ([-1, 0], [0.5, 1.5], [np.nan, 0.0]):
        with pytest.raises(DataError, match="neither classes nor probabilities"):
            plot_confusion_matrix([0, 1], wrong)


def test_a_model_without_weights_has_no_activations_to_show():
    model = keras.Sequential([keras.Input((3,)), keras.layers.ReLU()])
    with pytest.raises(ConfigError, match="no layer with weights"):
        activations(model, np.ones((1, 3), "float32"))
