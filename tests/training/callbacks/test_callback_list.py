"""CallbackList and LambdaCallback: who is told what, and when a loop must stop at each batch."""

from __future__ import annotations

import inspect
import math

import jax.numpy as jnp
import keras
import pytest
from callback_stand_in import StandInModel, replay

from kgraph.errors import ConfigError, StateError
from kgraph.training import callbacks as ours
from kgraph.training.callbacks.callback import BATCH_HOOKS

HOOKS = [name for name in vars(keras.callbacks.Callback) if name.startswith("on_")]


def recorder(library, seen):
    def hook(name):
        def called(self, *args, **kwargs):
            seen.append((name, args[0] if "epoch" in name or "batch" in name else None))

        return called

    return type("Recorder", (library.Callback,), {name: hook(name) for name in HOOKS})()


def test_there_are_the_hooks_of_keras_with_their_arguments():
    for name in (*HOOKS, "set_params", "set_model"):
        mine = inspect.signature(getattr(ours.Callback, name))
        assert list(mine.parameters) == list(
            inspect.signature(getattr(keras.callbacks.Callback, name)).parameters
        ), name
        assert hasattr(ours.CallbackList, name)


def test_every_hook_reaches_every_callback_as_in_keras():
    calls = {}
    for library in (ours, keras.callbacks):
        seen = calls[library] = []
        told = library.CallbackList([recorder(library, seen), recorder(library, seen)])
        for name in HOOKS:
            if name.endswith(("train_begin", "test_begin", "predict_begin")):
                getattr(told, name)()
        for name in HOOKS:
            if "batch" in name or "epoch" in name:
                getattr(told, name)(3)
        for name in HOOKS:
            if name.endswith(("train_end", "test_end", "predict_end")):
                getattr(told, name)()
    assert calls[ours] == calls[keras.callbacks]
    assert len(calls[ours]) == 2 * len(HOOKS)


def test_the_older_batch_hooks_are_called_in_training():
    seen = []
    hooks = {"on_batch_begin": lambda b, logs: seen.append(b), "on_batch_end": lambda b, logs: None}
    told = ours.CallbackList(ours.LambdaCallback(**hooks))
    told.on_train_batch_begin(4)
    told.on_test_batch_begin(5)
    assert seen == [4]


def test_only_overridden_batch_hooks_make_a_loop_stop_at_batches():
    for mode, hooks in BATCH_HOOKS.items():
        for hook in hooks:
            cls = type("Listener", (ours.Callback,), {hook: lambda self, batch, logs=None: None})
            for callback in (cls(), ours.LambdaCallback(**{hook: lambda batch, logs: None})):
                told = ours.CallbackList([ours.History(), [callback]])
                assert [m for m in BATCH_HOOKS if told.wants_batches(m)] == [mode], hook


@pytest.mark.parametrize(
    ("callback", "wants"),
    [
        (ours.EarlyStopping(), False),
        (ours.ReduceLROnPlateau(), False),
        (ours.ProgbarLogger(), False),
        (ours.ModelCheckpoint("m.kgraph"), False),
        (ours.ModelCheckpoint("m.kgraph", save_freq=10), True),
        (ours.TerminateOnNaN(), True),
        (ours.LambdaCallback(on_epoch_end=print), False),
        (type("Mine", (ours.ModelCheckpoint,), {})("m.kgraph"), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_which_callbacks_of_ours_listen_to_batches(callback, wants):
    assert ours.CallbackList([callback]).wants_batches("train") is wants


def test_what_one_callback_logs_the_later_ones_and_the_caller_see():
    history = ours.History()
    adder = ours.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(extra=7.0))
    told = ours.CallbackList([adder, history], StandInModel())
    told.on_train_begin()
    logs = {"loss": jnp.float32(0.5)}
    told.on_epoch_end(0, logs)
    assert history.history == {"loss": [0.5], "extra": [7.0]}
    assert type(logs["loss"]) is float
    assert logs["extra"] == 7.0


def test_model_and_params_reach_the_callbacks_before_the_first_hook():
    callback, model = ours.Callback(), StandInModel()
    told = ours.CallbackList([callback], model, {"epochs": 2}, add_history=True, steps=3)
    assert callback.model is model
    assert callback.params == {"epochs": 2, "steps": 3}
    assert model.history is told.history
    assert not told.shows_progress
    assert ours.CallbackList(add_progbar=True).shows_progress


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (ours.EarlyStopping, r"the class EarlyStopping[\s\S]*EarlyStopping\(\.\.\.\)"),
        ([print], r"built-in function print[\s\S]*LambdaCallback\(on_epoch_end="),
    ],
)
def test_what_is_no_callback_is_refused_with_advice(wrong, text):
    with pytest.raises(ConfigError, match=text):
        ours.CallbackList(wrong)


def test_a_callback_describes_itself_by_its_arguments():
    stopper = ours.EarlyStopping("val_accuracy", patience=3)
    again = ours.EarlyStopping.from_config(stopper.get_config())
    assert again.get_config() == stopper.get_config()
    assert (again.monitor, again.patience) == ("val_accuracy", 3)


def test_terminate_on_nan_can_raise():
    with pytest.raises(StateError, match="loss is nan after batch 0"):
        replay(ours.CallbackList, [ours.TerminateOnNaN(True)], [{"loss": math.nan}])
