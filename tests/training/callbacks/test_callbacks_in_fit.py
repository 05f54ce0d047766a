"""Callbacks in a real `fit`, and in the same `fit` of Keras: same data, weights and order."""

from __future__ import annotations

import contextlib
import csv

import jax
import keras
import numpy as np
import pytest

import kgraph
from kgraph.training import callbacks as ours

theirs = keras.callbacks
RTOL = 2e-5  # float32 sums in another order, over some dozens of small steps


def make_data():
    """Returns data on which training overfits: validation has the opposite relation."""
    draw = np.random.default_rng(0).normal
    x, held = draw(size=(12, 4)).astype("float32"), draw(size=(8, 4)).astype("float32")
    slope = np.array([[1.0], [-2.0], [0.5], [0.0]], "float32")
    return x, x @ slope, held, held @ -slope + 3.0


def model_of(library, rate):
    inputs = library.Input((4,))
    model = library.Model(inputs, library.layers.Dense(1)(inputs))
    model.set_weights([np.full((4, 1), 0.3, "float32"), np.full(1, 2.0, "float32")])
    model.compile(optimizer=library.optimizers.SGD(rate), loss="mse", metrics=["mae"])
    return model


def fit(library, callbacks, rate=0.02, epochs=12):
    x, y, held, held_y = make_data()
    with promotion_for(library):
        model = model_of(library, rate)
        history = model.fit(
            x, y, batch_size=5, epochs=epochs, verbose=0, shuffle=False, callbacks=callbacks,
            validation_data=(held, held_y),
        )  # fmt: skip
    return model, history


def promotion_for(library):
    """Keras needs the lenient promotion that users have; ours works under the strict one."""
    stack = contextlib.ExitStack()
    if library is keras:
        stack.enter_context(jax.numpy_dtype_promotion("standard"))
        stack.enter_context(jax.numpy_rank_promotion("allow"))
    return stack


def fit_both(make, **options):
    mine = fit(kgraph, make(ours), **options)
    other = fit(keras, make(theirs), **options)
    assert mine[1].epoch == other[1].epoch
    assert list(mine[1].history) == list(other[1].history)
    for key, values in other[1].history.items():
        np.testing.assert_allclose(mine[1].history[key], values, rtol=RTOL, err_msg=key)
    for a, b in zip(mine[0].get_weights(), other[0].get_weights()):
        np.testing.assert_allclose(a, b, rtol=RTOL, atol=1e-5)
    return mine, other


@pytest.mark.parametrize("restore", [False, True])
@pytest.mark.parametrize("monitor", ["val_loss", "val_mae"])
def test_early_stopping(monitor, restore):
    made = {}

    def make(library):
        made[library] = library.EarlyStopping(monitor, patience=2, restore_best_weights=restore)
        return [made[library]]

    (_, history), _ = fit_both(make)
    assert len(history.epoch) < 12
    assert made[ours].best_epoch == made[theirs].best_epoch
    assert made[ours].stopped_epoch == made[theirs].stopped_epoch > 0


def test_reduce_lr_on_plateau_and_what_training_makes_of_the_rate():
    (model, history), (other, _) = fit_both(
        lambda library: [library.ReduceLROnPlateau(factor=0.5, patience=2, cooldown=1, min_lr=2e-3)]
    )
    assert len(set(history.history["learning_rate"])) > 2
    assert model.optimizer.learning_rate == pytest.approx(float(other.optimizer.learning_rate))


def test_learning_rate_scheduler():
    (_, history), _ = fit_both(
        lambda library: [library.LearningRateScheduler(lambda epoch, rate: rate * 0.7)], epochs=4
    )
    assert history.history["learning_rate"] == pytest.approx([0.02 * 0.7**n for n in range(1, 5)])


@pytest.mark.filterwarnings("ignore:The loss is")
def test_terminate_on_nan(capsys):
    stopped = {
        library: fit(library, [callbacks.TerminateOnNaN()], rate=1e9)[1]
        for library, callbacks in ((kgraph, ours), (keras, theirs))
    }
    assert stopped[kgraph].epoch == stopped[keras].epoch
    assert len(stopped[kgraph].epoch) < 12
    assert "training ends" in capsys.readouterr().out


def test_csv_logger(tmp_path):
    fit_both(
        lambda library: [
            library.ReduceLROnPlateau(),
            library.CSVLogger(tmp_path / library.__name__),
        ],
        epochs=3,
    )
    mine, other = (
        list(csv.reader((tmp_path / library.__name__).read_text().splitlines()))
        for library in (ours, theirs)
    )
    assert mine[0] == other[0]
    np.testing.assert_allclose(np.array(mine[1:], float), np.array(other[1:], float), rtol=RTOL)


@pytest.mark.parametrize("save_freq", ["epoch", 4])
@pytest.mark.parametrize("best", [False, True])
def test_model_checkpoint_writes_the_files_that_keras_writes(tmp_path, best, save_freq):
    pytest.importorskip("h5py")
    monitor = "val_loss" if save_freq == "epoch" else "loss"

    def make(library):
        suffix = "h5" if library is theirs else "kgraph"
        name = tmp_path / library.__name__ / f"{{epoch:02d}}-{{loss:.2f}}.weights.{suffix}"
        return [
            library.ModelCheckpoint(
                name, monitor, save_best_only=best, save_weights_only=True, save_freq=save_freq,
                mode="min",
            )
        ]  # fmt: skip

    if save_freq != "epoch":  # Keras looks for the direction at the end of an epoch only
        plain = make

        def make(library):
            made = plain(library)
            if library is theirs:
                made[0]._set_monitor_op()
            return made

    (model, _), _ = fit_both(make, epochs=5)
    mine, other = (
        sorted(path.stem for path in (tmp_path / library.__name__).iterdir())
        for library in (ours, theirs)
    )
    assert mine == other
    assert mine
    model.load_weights(tmp_path / ours.__name__ / f"{mine[0]}.kgraph")


def test_a_saved_model_is_the_one_of_its_epoch(tmp_path):
    model, _ = fit(kgraph, [ours.ModelCheckpoint(tmp_path / "{epoch}.kgraph")], epochs=2)
    second = kgraph.saving.load_model(tmp_path / "2.kgraph")
    for a, b in zip(second.get_weights(), model.get_weights()):
        np.testing.assert_array_equal(a, b)
    first = kgraph.saving.load_model(tmp_path / "1.kgraph")
    assert not np.array_equal(first.get_weights()[0], model.get_weights()[0])


def test_weights_can_be_set_in_any_epoch():
    class Reset(ours.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.set_weights([np.zeros_like(w) for w in self.model.get_weights()])

    model, history = fit(kgraph, [Reset()], epochs=3)
    assert all(not w.any() for w in model.get_weights())
    assert history.history["loss"][1] == history.history["loss"][2]


def test_a_listener_sees_every_batch_and_changes_nothing():
    seen = []

    class Listener(ours.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append((batch, sorted(logs or {})))

    _, history = fit(kgraph, [Listener()], epochs=2)
    _, quiet = fit(kgraph, [], epochs=2)
    assert seen == [(n, ["loss", "mae"]) for n in (0, 1, 2)] * 2
    assert history.history == quiet.history


def test_an_unknown_monitor_stops_before_the_first_epoch():
    began = []
    told = ours.LambdaCallback(on_epoch_begin=lambda epoch, logs: began.append(epoch))
    with pytest.raises(kgraph.errors.ConfigError, match="'val_score' should rise or fall"):
        fit(kgraph, [told, ours.EarlyStopping("val_score")])
    assert began == []


def test_fit_prints_one_line_per_epoch_to_what_is_no_terminal(capsys):
    x, y, *_ = make_data()
    model_of(kgraph, 0.02).fit(x, y, epochs=2, batch_size=5)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Epoch 1/2"
    assert lines[1].startswith("3/3 - ")
    assert "step - loss: " in lines[1]
    assert len(lines) == 4


def test_the_end_of_training_gets_the_logs_of_the_last_epoch():
    seen = []
    told = kgraph.callbacks.LambdaCallback(on_train_end=lambda logs: seen.append(logs))
    model = kgraph.Sequential([kgraph.Input((1,)), kgraph.layers.Dense(1)])
    model.compile("sgd", "mse")
    ones = np.ones((4, 1), np.float32)
    history = model.fit(
        ones, ones, epochs=2, verbose=0, callbacks=[told], validation_data=(ones, ones)
    ).history
    assert seen == [{key: values[-1] for key, values in history.items()}]
