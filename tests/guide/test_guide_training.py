"""Rows 9 to 17 of the guide: data, compile, fit, evaluate, save and load.

The images are kgraph's own digits, enlarged and made noisy: as many as in MNIST and of the same
kind, so the guide's numbers of steps hold, and its accuracies are a band to be in.
"""

from __future__ import annotations

import contextlib
import io
import re
from types import SimpleNamespace

import numpy as np
import pytest
from guide_code import mnist_model

import kgraph as keras


def load_data():
    """Returns arrays of the shapes and dtypes of `keras.datasets.mnist.load_data()`."""
    random = np.random.default_rng(0)

    def drawn(images, labels, count):
        rows = random.integers(len(images), size=count)
        small = (images[rows] * 15).astype("uint8")
        large = np.pad(small.repeat(3, 1).repeat(3, 2), ((0, 0), (2, 2), (2, 2)))
        noise = random.integers(0, 16, large.shape, dtype="uint8")
        return large + noise, labels[rows]

    train, test = keras.datasets.digits.load_data()
    return drawn(*train, 60000), drawn(*test, 10000)


@pytest.fixture(scope="module")
def guide():
    """The guide's run, once for all tests of it: data, model, history, scores, printed text."""
    keras.utils.set_random_seed(0)
    (x_train, y_train), (x_test, y_test) = load_data()
    assert (x_train.shape, x_train.dtype) == ((60000, 28, 28), "uint8")
    x_train = x_train.reshape(60000, 784).astype("float32") / 255
    x_test = x_test.reshape(10000, 784).astype("float32") / 255
    model = mnist_model()
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        optimizer=keras.optimizers.RMSprop(),
        metrics=["accuracy"],
    )
    fitted, evaluated = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(fitted):
        history = model.fit(x_train, y_train, batch_size=64, epochs=2, validation_split=0.2)
    with contextlib.redirect_stdout(evaluated):
        scores = model.evaluate(x_test, y_test, verbose=2)
    return SimpleNamespace(
        model=model, history=history, scores=scores, x=x_test, y=y_test, x_train=x_train,
        y_train=y_train, fitted=fitted.getvalue(), evaluated=evaluated.getvalue(),
    )  # fmt: skip


def test_row_9_the_loader_of_the_guide_is_there():
    """What it loads is tested in tests/datasets, by a server that plays the network."""
    assert callable(keras.datasets.mnist.load_data)


def test_row_10_the_optimizer_has_the_defaults_of_keras():
    rmsprop = keras.optimizers.RMSprop()
    config = rmsprop.get_config()
    assert float(rmsprop.learning_rate) == pytest.approx(0.001)
    assert (config["rho"], config["epsilon"]) == (0.9, 1e-7)


def test_row_10_accuracy_of_whole_number_labels_counts_the_largest_logit(guide):
    predicted = guide.model.predict(guide.x, verbose=0).argmax(-1)
    assert guide.scores[1] == pytest.approx(np.mean(predicted == guide.y), abs=1e-6)


def test_row_11_epochs_have_750_steps_and_four_keys(guide):
    assert len(re.findall(r"^750/750 ", guide.fitted, re.MULTILINE)) == 2
    assert list(guide.history.history) == ["accuracy", "loss", "val_accuracy", "val_loss"]


def test_row_11_the_last_fifth_is_validated_on(guide):
    tail = guide.model.evaluate(
        guide.x_train[48000:], guide.y_train[48000:], batch_size=64, verbose=0, return_dict=True
    )
    last = {key: values[-1] for key, values in guide.history.history.items()}
    assert tail["loss"] == pytest.approx(last["val_loss"], rel=1e-5)
    assert tail["accuracy"] == pytest.approx(last["val_accuracy"], abs=1e-6)


def test_row_12_training_is_as_good_as_in_the_guide(guide):
    logs = guide.history.history
    assert logs["accuracy"][0] > 0.9035
    assert logs["val_loss"][1] < 0.1366
    assert guide.scores[1] > 0.94  # of 359 images that were never seen


def test_row_13_the_line_of_an_epoch_has_its_keys_in_order(guide):
    line = guide.fitted.splitlines()[1]
    pattern = (
        r"750/750 .*ms/step - accuracy: 0\.\d{4} - loss: 0\.\d{4}"
        r" - val_accuracy: 0\.\d{4} - val_loss: 0\.\d{4}"
    )
    assert re.match(pattern, line.replace("us/step", "ms/step"))


def test_row_14_several_epochs_have_headers(guide):
    lines = guide.fitted.splitlines()
    assert [lines[0], lines[2]] == ["Epoch 1/2", "Epoch 2/2"]


def test_row_15_fit_returns_a_history(guide):
    assert isinstance(guide.history, keras.callbacks.History)
    assert guide.history.epoch == [0, 1]
    assert all(len(values) == 2 for values in guide.history.history.values())


def test_row_16_evaluate_takes_313_steps_and_returns_a_list(guide):
    assert re.fullmatch(
        r"313/313 - \d+s - \S+/step - accuracy: 0\.\d{4} - loss: 0\.\d{4}[^\n]*\n", guide.evaluated
    )
    assert isinstance(guide.scores, list)
    loss, accuracy = guide.scores
    assert 0 < loss < 1
    assert 0 < accuracy < 1


@pytest.mark.parametrize("name", ["path_to_my_model", "model.kgraph"])
def test_row_17_a_saved_model_is_whole_without_its_code(guide, tmp_path, name):
    path = tmp_path / name
    guide.model.save(path)
    model = keras.models.load_model(path)
    assert model.name == "mnist_model"
    np.testing.assert_array_equal(
        model.predict(guide.x[:100], verbose=0), guide.model.predict(guide.x[:100], verbose=0)
    )
    assert model.evaluate(guide.x, guide.y, verbose=0) == guide.scores


def test_row_17_training_goes_on_with_the_optimizers_state(tmp_path):
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    x, y = random.random((64, 784), "float32"), random.integers(10, size=64)
    model = mnist_model()
    model.compile("rmsprop", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, verbose=0, shuffle=False)
    model.save(tmp_path / "model.kgraph")
    again = keras.models.load_model(tmp_path / "model.kgraph")
    for trained in (model, again):
        trained.fit(x, y, verbose=0, shuffle=False)
    for ours, theirs in zip(model.weights, again.weights):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
