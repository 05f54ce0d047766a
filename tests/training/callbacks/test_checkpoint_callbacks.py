"""BackupAndRestore and OrbaxCheckpoint: Keras' names on kgraph's checkpoints."""

from __future__ import annotations

import re

import numpy as np
import pytest

from kgraph import Input, Model, layers
from kgraph.errors import ConfigError, ModelFileError, StateError
from kgraph.models import model_from_json
from kgraph.saving.checkpoints import Checkpoint
from kgraph.training.callbacks import Callback
from kgraph.training.callbacks.backup_and_restore import BackupAndRestore
from kgraph.training.callbacks.orbax_checkpoint import OrbaxCheckpoint

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((22, 3)).astype("f"), RNG.standard_normal((22, 1)).astype("f")


def compiled(units=4):
    inputs = Input((3,))
    hidden = layers.Dropout(0.3)(layers.Dense(units, activation="relu", name="hidden")(inputs))
    model = Model(inputs, layers.Dense(1, name="out")(hidden))
    for i, weight in enumerate(model.weights):
        weight.assign(np.random.default_rng(i).standard_normal(weight.shape).astype("f"))
    model.compile("adam", "mse")
    return model


def fit(model, *callbacks, epochs=3, **options):
    return model.fit(
        X, Y, batch_size=4, epochs=epochs, verbose=0, callbacks=list(callbacks), seed=1, **options
    )


class StopAt(Callback):
    """Raises at a batch of an epoch, as a kill would end the training there."""

    def __init__(self, epoch, batch):
        self.at, self.epoch = (epoch, batch), 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            raise KeyError("stopped")


def same_weights(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights()))


@pytest.mark.parametrize("save_freq", ["epoch", 4])
def test_a_training_started_again_ends_as_if_it_had_never_stopped(tmp_path, save_freq):
    whole = compiled()
    history = fit(whole)
    with pytest.raises(KeyError, match="stopped"):
        fit(compiled(), BackupAndRestore(tmp_path / "b", save_freq), StopAt(1, 3))
    left = Checkpoint(tmp_path / "b").steps()
    assert left == ([6] if save_freq == "epoch" else [8])  # 6 batches an epoch

    again = compiled(units=4)
    backup = BackupAndRestore(tmp_path / "b", save_freq)
    found = fit(again, backup)
    assert same_weights(again, whole)
    assert found.history == history.history
    assert not (tmp_path / "b").exists()
    assert not backup.checkpoint.is_open


def test_a_backup_may_stay_and_a_second_copy_helps(tmp_path):
    options = {"double_checkpoint": True, "delete_checkpoint": False}
    whole = compiled()
    fit(whole, BackupAndRestore(tmp_path, **options))
    checkpoint = Checkpoint(tmp_path)
    assert checkpoint.steps() == [12, 18]
    path = tmp_path / "step_000000018" / "meta.json"
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))
    again = compiled()
    with pytest.warns(UserWarning, match=r"Step 18 .* is damaged"):
        fit(again, BackupAndRestore(tmp_path, **options))
    assert same_weights(again, whole)


def test_a_backup_belongs_to_fit(tmp_path):
    backup = BackupAndRestore(tmp_path / "b")
    with pytest.raises(StateError, match="not in force"):
        backup.on_train_begin()
    assert BackupAndRestore.checkpoint_among([None, [backup]]) is backup.checkpoint
    assert BackupAndRestore.checkpoint_among(None) is None
    with pytest.raises(ConfigError, match=r"one BackupAndRestore[\s\S]*2"):
        BackupAndRestore.checkpoint_among([backup, backup])
    for bad in (0, True, "batch", False):
        with pytest.raises(ConfigError, match=f"save_freq[\\s\\S]*received +{bad!r}"):
            BackupAndRestore(tmp_path / "b", save_freq=bad)
    with pytest.raises(ConfigError, match="needs a folder"):
        BackupAndRestore("")


def test_orbax_checkpoint_saves_epochs_and_restores_all_of_the_training(tmp_path):
    model = compiled()
    callback = OrbaxCheckpoint(tmp_path, max_to_keep=2)
    fit(model, callback)
    assert callback.checkpoint.steps() == [1, 2]
    assert not callback.checkpoint.is_open

    other = compiled()
    assert OrbaxCheckpoint(tmp_path).restore(other) == 2
    assert same_weights(other, model)
    fit(model, epochs=1)
    fit(other, epochs=1)  # optimizer state, step and epoch are the same too
    assert same_weights(other, model)

    described = model_from_json(callback.checkpoint.read_meta()["model"])
    assert [w.shape for w in described.weights] == [w.shape for w in model.weights]
    assert OrbaxCheckpoint(tmp_path).restore(other, step=1) == 1
    fit(model, callback, epochs=1)  # the numbers go on
    assert callback.checkpoint.steps() == [2, 3]


def test_orbax_checkpoint_counts_batches(tmp_path):
    callback = OrbaxCheckpoint(
        tmp_path, save_freq=4, max_to_keep=None, save_weights_only=True, save_on_background=False
    )
    model = compiled()
    fit(model, callback)
    assert callback.checkpoint.steps() == [4, 8, 12, 16]
    arrays, meta = callback.checkpoint.restore(16)
    assert sorted(arrays) == ["weights"]
    assert meta == {"step": 16, "has_training": False, "model": None}
    uncompiled = Model(model.inputs, model.outputs)
    assert callback.restore(uncompiled, 8) == 8


def test_orbax_checkpoint_keeps_what_is_better(tmp_path):
    callback = OrbaxCheckpoint(
        tmp_path, monitor="loss", save_best_only=True, max_to_keep=None,
        save_weights_only=True, initial_value_threshold=5.0,
    )  # fmt: skip
    callback.set_model(compiled())
    callback.on_train_begin()
    for epoch, loss in enumerate((9.0, 4.0, 4.5, float("nan"), 3.0)):
        callback.on_epoch_end(epoch, {"loss": loss})
    with pytest.warns(UserWarning, match="monitors 'loss', which the logs of this epoch lack"):
        callback.on_epoch_end(5, {})
    callback.wait_until_finished()
    callback.on_train_end()
    assert callback.checkpoint.steps() == [1, 4]


def test_orbax_checkpoint_refuses_what_does_not_fit(tmp_path):
    for bad in (0, True, "batch"):
        with pytest.raises(ConfigError, match=f"save_freq[\\s\\S]*received +{bad!r}"):
            OrbaxCheckpoint(tmp_path, save_freq=bad)
    callback = OrbaxCheckpoint(tmp_path)
    fit(compiled(), callback, epochs=1)
    with pytest.raises(ModelFileError) as caught:
        callback.restore(compiled(units=5))
    assert re.search(
        r"weights/hidden%2Fkernel  \[3, 5\] float32 wanted, \[3, 4\]", str(caught.value)
    )
    plain = compiled()
    with pytest.raises(StateError, match="must be compiled before"):
        callback.restore(Model(plain.inputs, plain.outputs))
