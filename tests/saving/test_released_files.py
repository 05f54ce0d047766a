"""Files that an earlier version wrote are read: equal predictions, and training goes on in them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from released_models import MODELS, ROWS, checkpoint, compiled, inputs, train
from saved_models import Coded

import kgraph as keras

NEAR = {"rtol": 1e-4, "atol": 1e-5}  # another XLA, or one that optimizes less, rounds otherwise
pytestmark = pytest.mark.filterwarnings(
    "ignore:The checkpoint belongs to a training that differs in its version"
)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("released")
    with zipfile.ZipFile(Path(__file__).with_name("released.zip")) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def expected(released: Path) -> dict[str, np.ndarray]:
    return dict(np.load(released / "expected.npz"))


def predictions(model: keras.Model, name: str) -> np.ndarray:
    return np.asarray(model.predict(inputs(name), verbose=0))


@pytest.mark.parametrize("name", MODELS)
def test_saved_models_predict_as_they_did_and_train_on(released, expected, name):
    names = [f"{name}.kgraph", name] + ([] if name == "subclassed" else [f"{name}.keras"])
    for file in names:
        model = keras.models.load_model(released / file, custom_objects={"Coded": Coded})
        np.testing.assert_allclose(
            predictions(model, name), expected[f"{name} predictions"], **NEAR, err_msg=file
        )
        if file.endswith(".keras") and name == "sequential":
            continue  # Keras' files have no place for the key, which dropout needs to go on
        train(model, shuffle=False)
        after = expected[f"{name} predictions after training on"]
        np.testing.assert_allclose(predictions(model, name), after, **NEAR, err_msg=file)


@pytest.mark.parametrize("name", MODELS)
def test_saved_weights_give_the_same_predictions(released, expected, name):
    for suffix in ("weights.h5", "weights.kgraph", "safetensors"):
        model = compiled(name, seed=8)
        model.load_weights(released / f"{name}.{suffix}")
        found = predictions(model, name)
        np.testing.assert_allclose(found, expected[f"{name} predictions"], **NEAR, err_msg=suffix)


def test_a_folder_of_shards_is_read(released, expected):
    model = keras.models.load_model(released / "spread")
    np.testing.assert_allclose(predictions(model, "shared"), expected["spread predictions"], **NEAR)


def test_a_training_goes_on_from_its_checkpoint(released, expected):
    assert checkpoint(released / "checkpoint").steps() == [3, 6]
    model = compiled("stacked", seed=8)
    train(model, 4, checkpoint=checkpoint(released / "checkpoint"))
    after = expected["checkpoint predictions after training on"]
    np.testing.assert_allclose(predictions(model, "stacked"), after, **NEAR)


def test_a_step_of_orbax_checkpoint_is_restored(released, expected):
    model = compiled("functional", seed=8)
    saved = keras.callbacks.OrbaxCheckpoint(released / "orbax")
    assert saved.restore(model) == 1
    found = model.predict(ROWS, verbose=0)
    np.testing.assert_allclose(found, expected["orbax predictions"], **NEAR)
