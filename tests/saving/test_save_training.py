"""A loaded model goes on training as if it had never been saved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from saved_models import assert_same_weights

import kgraph as keras
from kgraph import layers, saving
from kgraph.errors import ConfigError

ROWS = np.random.default_rng(1).normal(size=(22, 4)).astype("float32")
LABELS = np.random.default_rng(2).integers(0, 3, 22)


def _model() -> Any:
    keras.utils.set_random_seed(3)
    x = keras.Input((4,))
    h = layers.BatchNormalization()(layers.Dense(5, activation="relu")(x))
    return keras.Model(x, layers.Dense(3)(layers.Dropout(0.4)(h)))


def _compiled(optimizer: Any) -> Any:
    model = _model()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def _fit(model: Any, epochs: int = 1) -> dict[str, list[float]]:
    return model.fit(ROWS, LABELS, batch_size=8, epochs=epochs, verbose=0, shuffle=True).history


OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.01),
    "accumulating": lambda: keras.optimizers.SGD(
        keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5),
        momentum=0.9,
        use_ema=True,
        gradient_accumulation_steps=2,
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_goes_on_bit_for_bit(name, tmp_path):
    whole = _compiled(OPTIMIZERS[name]())
    _fit(whole)
    broken = _compiled(OPTIMIZERS[name]())  # seeds anew, so it is trained like the first
    _fit(broken)
    broken.save(tmp_path / "m.kgraph")
    loaded = saving.load_model(tmp_path / "m.kgraph")
    assert_same_weights(whole, loaded)
    for _ in range(2):
        assert _fit(whole) == _fit(loaded)
    assert_same_weights(whole, loaded)


def test_the_learning_rate_that_was_set_is_kept(tmp_path):
    model = _compiled("adam")
    _fit(model)
    model.optimizer.learning_rate = 0.125
    _fit(model)
    model.save(tmp_path / "m.kgraph")
    loaded = saving.load_model(tmp_path / "m.kgraph")
    assert loaded.optimizer.learning_rate == 0.125


def test_compile_false_and_include_optimizer_false_leave_the_model_uncompiled(tmp_path):
    model = _compiled("adam")
    _fit(model)
    model.save(tmp_path / "m.kgraph")
    loaded = saving.load_model(tmp_path / "m.kgraph", compile=False)
    assert not loaded.compiled
    assert_same_weights(model, loaded)
    model.save(tmp_path / "n.kgraph", include_optimizer=False)
    assert not saving.load_model(tmp_path / "n.kgraph").compiled


def test_a_compiled_model_that_was_not_trained_comes_back_compiled(tmp_path):
    model = _compiled("adam")
    model.save(tmp_path / "m.kgraph")
    loaded = saving.load_model(tmp_path / "m.kgraph")
    assert loaded.compiled
    assert loaded._kgraph.trainer.state() is None
    assert set(_fit(loaded)) == {"loss", "accuracy"}


def test_a_state_of_other_trainable_weights_is_left_out_with_a_warning(tmp_path):
    model = _compiled("adam")
    _fit(model)
    model.layers[1].trainable = False
    with pytest.warns(UserWarning, match="without its training state[\\s\\S]*compile it again"):
        model.save(tmp_path / "m.kgraph")
    loaded = saving.load_model(tmp_path / "m.kgraph")
    assert loaded.compiled
    assert loaded._kgraph.trainer.state() is None


class Saver(keras.callbacks.Callback):
    """Saves inside fit, after each epoch."""

    def __init__(self, path: Any) -> None:
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.save(self.path / f"{epoch}.kgraph")


def test_a_save_inside_fit_is_the_training_at_that_moment(tmp_path):
    model = _compiled("adam")
    model.fit(ROWS, LABELS, batch_size=8, epochs=2, verbose=0, callbacks=[Saver(tmp_path)])
    loaded = saving.load_model(tmp_path / "0.kgraph")
    assert int(loaded._kgraph.trainer.state()["step"]) == 3
    _fit(loaded)
    assert_same_weights(loaded, saving.load_model(tmp_path / "1.kgraph"))
    assert_same_weights(loaded, model)


def squares(program, variables, batch, key):
    outputs, state = program.apply(variables, batch.x, training=key is not None, key=key)
    loss = ((outputs - batch.y) ** 2).mean()
    return loss, {"state": state, "outputs": outputs}


def test_a_loss_fn_and_how_steps_run_are_saved(tmp_path):
    x = keras.Input((4,))
    model = keras.Model(x, layers.Dense(3, name="units")(x))
    how = {"stack": False, "remat": ["units"], "steps_per_execution": 2}
    model.compile("sgd", loss_fn=squares, **how)
    with pytest.warns(UserWarning, match=r"registered: squares[\s\S]*register_keras_serializable"):
        model.save(tmp_path / "m.kgraph")
    saving.register_keras_serializable("save_training")(squares)
    model.save(tmp_path / "m.kgraph")
    loaded = saving.load_model(tmp_path / "m.kgraph")
    assert loaded.get_compile_config() == model.get_compile_config()
    assert {name: loaded.get_compile_config()[name] for name in how} == how
    targets = np.ones((22, 3), np.float32)
    assert loaded.evaluate(ROWS, targets, verbose=0) == model.evaluate(ROWS, targets, verbose=0)
    with pytest.raises(ConfigError, match="a loss_fn"):
        model.save(tmp_path / "m.keras")
