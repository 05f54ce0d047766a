"""Callback: an object that the loops tell about what happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import numpy as np

from kgraph.declared import method_of
from kgraph.registry import Recorded

if TYPE_CHECKING:
    from kgraph.models.model import Model


Logs: TypeAlias = dict[str, float]
Outputs: TypeAlias = dict[str, list[np.ndarray]]
Mode: TypeAlias = Literal["train", "test", "predict"]

BATCH_HOOKS: dict[str, tuple[str, ...]] = {
    "train": (
        "on_train_batch_begin",
        "on_train_batch_end",
        "on_batch_begin",
        "on_batch_end",
    ),
    "test": ("on_test_batch_begin", "on_test_batch_end"),
    "predict": ("on_predict_batch_begin", "on_predict_batch_end"),
}
"""The hooks that are called for each batch, by what the loop does."""


class Callback(Recorded):
    """Base of callbacks: a subclass overrides the hooks it needs.

    `logs` is a dict of Python floats, shared by all callbacks of a call in their order: what one
    adds, the later ones see. Epochs and batches are counted from 0. A hook for batches makes the
    loop stop at each batch and fetch its metrics; hooks for epochs cost nothing in between.

    Attributes:
        model: the model that is trained, evaluated or predicted with. In `fit` its weights can be
            read and set in any hook.
        params: dict with what the loop knows: `verbose`, `epochs` and `steps`, where they apply.

    >>> class Stop(Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         self.model.stop_training = logs["loss"] < 0.1
    """

    _kgraph_kind: ClassVar[str] = "callback"
    state_attributes: ClassVar[tuple[str, ...]] = ()
    params: dict[str, Any] | None = None
    _model: Any = None

    @property
    def model(self) -> Any:
        return self._model

    @model.setter
    def model(self, model: Model) -> None:
        self._model = model

    def set_params(self, params: dict[str, object]) -> None:
        """Takes what the loop knows, before the first hook."""
        self.params = params

    def set_model(self, model: Model) -> None:
        """Takes the model, before the first hook."""
        self._model = model

    def wants_batches(self, mode: Mode) -> bool:
        """Tells whether this callback listens to single batches of `mode`."""
        # A class whose frequency is "epoch" does not slow the steps; a subclass may listen to them.
        frequency = vars(type(self)).get("_kgraph_frequency")
        if frequency is not None and getattr(self, frequency) == "epoch":
            return False
        return any(hears(self, hook) for hook in BATCH_HOOKS[mode])

    def get_state(self) -> dict[str, Any]:
        """Returns what this callback needs to go on in a training that is continued.

        Plain data, and arrays in any nesting: the attributes named in `state_attributes`, which a
        subclass lists. `fit(checkpoint=...)` saves it.
        """
        return {name: getattr(self, name) for name in _state_attributes(self)}

    def set_state(self, state: dict[str, object]) -> None:
        """Takes back what `get_state` returned; called after `on_train_begin`."""
        for name in _state_attributes(self):
            if name in state:
                setattr(self, name, state[name])

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Called once when `fit` starts."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Called once when `fit` ends without an error."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Called before the first batch of an epoch."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Called after validation, with the metrics of the epoch (`val_...` for validation)."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before each batch of training."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after each batch of training, with the metrics of the epoch so far."""
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Older name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Older name of `on_train_batch_end`."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Called when an evaluation starts, that of `fit` included."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Called when an evaluation ends, with its metrics."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before each batch of an evaluation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after each batch of an evaluation, with its metrics so far."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Called when `predict` starts."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Called when `predict` ends."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before each batch of `predict`."""

    def on_predict_batch_end(self, batch: int, logs: Outputs | None = None) -> None:
        """Called after each batch of `predict`; `logs["outputs"]` holds its outputs."""


def _state_attributes(callback: Callback) -> tuple[str, ...]:
    """Returns what the class lists; a user may have given the name to something else."""
    for cls in type(callback).__mro__:
        listed = vars(cls).get("state_attributes")
        if isinstance(listed, (tuple, list)) and all(isinstance(name, str) for name in listed):
            return tuple(listed)
    return ()


def wants_batches(callback: Callback, mode: Mode) -> bool:
    """Tells whether a callback listens to single batches of `mode`."""
    return method_of(callback, "wants_batches", 1)(mode)


def state_of(callback: Callback) -> dict[str, Any]:
    """Returns what a callback needs to go on in a training that is continued."""
    return method_of(callback, "get_state", 0)()


def give_state(callback: Callback, state: dict[str, object]) -> None:
    """Gives a callback back what `state_of` returned."""
    method_of(callback, "set_state", 1)(state)


def hears(callback: Callback, hook: str) -> bool:
    """Tells whether a hook does something."""
    method = getattr(callback, hook)  # of the object: LambdaCallback keeps its hooks there
    return getattr(method, "__func__", method) is not getattr(Callback, hook)
