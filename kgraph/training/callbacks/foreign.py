"""Callbacks that are no subclass of ours: Keras' own, those made for Keras, and duck-typed ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kgraph.declared import comes_from
from kgraph.training.callbacks.callback import BATCH_HOOKS, Callback, Mode

if TYPE_CHECKING:
    from kgraph.models.model import Model


HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))


def is_foreign(thing: object) -> bool:
    """Tells whether an object has a callback's methods without being one of ours."""
    is_object = not isinstance(thing, (type, Callback)) and callable(
        getattr(thing, "set_model", None)
    )
    return is_object and any(callable(getattr(thing, hook, None)) for hook in HOOKS)


class ForeignCallback(Callback):
    """Passes on what the loops tell to a callback that is no subclass of ours.

    Args:
        callback: has some of the hooks of `Callback`, and `set_model`.
    """

    def __init__(self, callback: Any) -> None:
        self.callback = callback
        for hook in HOOKS:
            method = getattr(callback, hook, None)
            if callable(method):
                setattr(self, hook, method)

    def set_params(self, params: dict[str, object]) -> None:
        super().set_params(params)
        if callable(getattr(self.callback, "set_params", None)):
            self.callback.set_params(params)

    def set_model(self, model: Model) -> None:
        super().set_model(model)
        self.callback.set_model(model)

    def wants_batches(self, mode: Mode) -> bool:
        return any(_is_written(self.callback, hook) for hook in BATCH_HOOKS[mode])


def _is_written(callback: Any, hook: str) -> bool:
    """Tells whether a hook is more than the empty one of Keras' base class."""
    if hook in vars(callback):
        return True
    classes = type(callback).__mro__
    owner = next((cls for cls in classes if hook in vars(cls)), None)
    base = next((cls for cls in reversed(classes) if comes_from(cls, "keras")), None)
    return owner is not None and owner is not base
