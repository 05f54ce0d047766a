"""LambdaCallback: a callback made of functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from kgraph.errors import ConfigError, check_keys
from kgraph.training.callbacks.callback import Callback

Hook: TypeAlias = Callable[..., object]

HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))


class LambdaCallback(Callback):
    """Calls a function where a callback has a method.

    Args:
        on_epoch_begin, on_epoch_end: functions of `(epoch, logs)`.
        on_train_begin, on_train_end: functions of `(logs)`.
        on_train_batch_begin, on_train_batch_end: functions of `(batch, logs)`.
        **more: functions for the other hooks of `Callback`, by name. What does not begin with `on_`
            becomes an attribute of the callback, as in Keras.

    Raises:
        ConfigError: a name that begins with `on_` is no hook, or its value no function.

    >>> printer = LambdaCallback(on_epoch_end=lambda epoch, logs: print(logs["loss"]))
    """

    def __init__(
        self,
        on_epoch_begin: Hook | None = None,
        on_epoch_end: Hook | None = None,
        on_train_begin: Hook | None = None,
        on_train_end: Hook | None = None,
        on_train_batch_begin: Hook | None = None,
        on_train_batch_end: Hook | None = None,
        **more: object,
    ) -> None:
        hooks = {name: more.pop(name) for name in list(more) if name.startswith("on_")}
        check_keys("LambdaCallback", hooks, HOOKS)
        vars(self).update(more)
        given = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
            **hooks,
        }
        for name, function in given.items():
            if function is None:
                continue
            if not callable(function):
                raise ConfigError(
                    f"LambdaCallback needs a function as {name}", received=repr(function)
                )
            setattr(self, name, function)
