"""CallbackList: several callbacks as one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kgraph.declared import is_own
from kgraph.errors import ConfigError
from kgraph.interrupts import heard
from kgraph.training.callbacks.callback import (
    Callback,
    Logs,
    Mode,
    Outputs,
    hears,
    wants_batches,
)
from kgraph.training.callbacks.foreign import ForeignCallback, is_foreign
from kgraph.training.callbacks.history import History
from kgraph.training.callbacks.lambda_callback import LambdaCallback
from kgraph.training.callbacks.progbar_logger import ProgbarLogger

_FIRST_HOOKS = ("on_train_begin", "on_epoch_begin", "on_train_batch_begin", "on_batch_begin")
_OF_THEIRS = (ForeignCallback, LambdaCallback)


class CallbackList(Callback):
    """Passes each hook on to several callbacks, in their order.

    All of them get the same `logs` dict, so `learning_rate`, which two of them add, reaches the
    later ones and the caller. Zero-dimensional arrays in it become Python numbers.

    Args:
        callbacks: a Callback, a (nested) list of them, or None. Keras' own, and other objects with
            its methods, work too.
        model: the model they act on.
        params: dict they can read: `verbose`, `epochs`, `steps`.
        add_history: appends a History unless one is there.
        add_progbar: appends a ProgbarLogger unless one is there.
        **more_params: further entries of `params`.

    Raises:
        ConfigError: something in the list is no Callback object.
    """

    def __init__(
        self,
        callbacks: object = None,
        model: Any = None,
        params: dict[str, object] | None = None,
        *,
        add_history: bool = False,
        add_progbar: bool = False,
        **more_params: Any,
    ) -> None:
        self.callbacks: list[Callback] = list(_flat(callbacks))
        if add_history and self._first(History) is None:
            self.callbacks.append(History())
        if add_progbar and self._first(ProgbarLogger) is None:
            self.callbacks.append(ProgbarLogger())
        self.set_params({**(params or {}), **more_params})
        if model is not None:
            self.set_model(model)

    @property
    def history(self) -> Any:
        """The History among the callbacks, or None."""
        return self._first(History)

    @property
    def shows_progress(self) -> bool:
        """Whether a callback shows the progress, so that the loop should not."""
        return self._first(ProgbarLogger) is not None

    def _first(self, cls: type) -> Callback | None:
        return next((c for c in self.callbacks if isinstance(c, cls)), None)

    def append(self, callback: Callback) -> None:
        """Adds a callback at the end."""
        self.callbacks.extend(_flat(callback))

    def set_params(self, params: dict[str, object]) -> None:
        super().set_params(params)
        for callback in self.callbacks:
            callback.set_params(params)

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        if self.history is not None:
            model.history = self.history
        for callback in self.callbacks:
            callback.set_model(model)

    def wants_batches(self, mode: Mode) -> bool:
        """Tells whether any callback listens to single batches of `mode`."""
        return any(wants_batches(callback, mode) for callback in self.callbacks)

    @property
    def acts_first(self) -> bool:
        """Whether code of the user's runs before the first block, and may change what is traced."""
        theirs = (c for c in self.callbacks if not is_own(type(c)) or isinstance(c, _OF_THEIRS))
        return any(hears(callback, hook) for callback in theirs for hook in _FIRST_HOOKS)

    def asked_to(self, stop: str) -> bool:
        """Tells, once, whether a callback has set this attribute of the model to True."""
        attributes = {} if self.model is None else vars(self.model)
        if attributes.get(stop) is not True:
            return False
        attributes[stop] = False
        return True

    def _tell(self, hook: str, *about: Any) -> None:
        *index, logs = about
        logs = {} if logs is None else _as_numbers(logs)
        for callback in self.callbacks:
            with heard():
                getattr(callback, hook)(*index, logs)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._tell("on_train_begin", logs)

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._tell("on_train_end", logs)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._tell("on_epoch_begin", epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._tell("on_epoch_end", epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._tell("on_train_batch_begin", batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._tell("on_train_batch_end", batch, logs)

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._tell("on_batch_begin", batch, logs)

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._tell("on_batch_end", batch, logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._tell("on_test_begin", logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        self._tell("on_test_end", logs)

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._tell("on_test_batch_begin", batch, logs)

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._tell("on_test_batch_end", batch, logs)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._tell("on_predict_begin", logs)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self._tell("on_predict_end", logs)

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._tell("on_predict_batch_begin", batch, logs)

    def on_predict_batch_end(self, batch: int, logs: Outputs | None = None) -> None:
        self._tell("on_predict_batch_end", batch, logs)


def _flat(callbacks: Any) -> Iterator[Callback]:
    if callbacks is None:
        return
    if isinstance(callbacks, (list, tuple)):
        for callback in callbacks:
            yield from _flat(callback)
    elif isinstance(callbacks, Callback):
        yield callbacks
    elif is_foreign(callbacks):
        yield ForeignCallback(callbacks)
    else:
        is_class = isinstance(callbacks, type) and issubclass(callbacks, Callback)
        raise ConfigError(
            "This is not a callback",
            expected="Callback objects",
            received=f"the class {callbacks.__name__}" if is_class else repr(callbacks),
            hint=f"{callbacks.__name__}(...)"
            if is_class
            else "wrap a function: LambdaCallback(on_epoch_end=...)",
        )


def _as_numbers(logs: Logs) -> Logs:
    """Returns the same dict, its zero-dimensional arrays replaced by numbers."""
    value: Any
    for key, value in logs.items():
        if getattr(value, "ndim", None) == 0:
            logs[key] = value.item()
    return logs
