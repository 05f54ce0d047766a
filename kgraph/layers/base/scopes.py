"""Scopes of Keras': names in front of paths, the device of new arrays, and recomputation."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar, Token
from typing import ParamSpec, TypeVar

import jax

from kgraph.errors import ConfigError, check_choice

P = ParamSpec("P")
R = TypeVar("R")

_remat: ContextVar[RematScope | None] = ContextVar("kgraph_remat", default=None)


class RematScope:
    """Layers that are made inside are computed again in the backward pass, to save memory.

    `compile(remat=...)`, if it is given, decides for the whole model. No result depends on it.

    Args:
        mode: "full", for all layers; "activations", for those with an activation; "larger_than",
            for those with outputs of more numbers (of one row) than the threshold;
            "list_of_layers", for those of the names; None for none.
        output_size_threshold: of "larger_than".
        layer_names: of "list_of_layers".

    Raises:
        ConfigError: the mode is unknown.
    """

    def __init__(
        self,
        mode: str | None = "full",
        output_size_threshold: int = 1024,
        layer_names: Sequence[str] | None = None,
    ) -> None:
        check_choice("RematScope", "mode", mode, _MODES)
        self.mode, self.output_size_threshold = mode, output_size_threshold
        self.layer_names = list(layer_names or ())
        self._entered: list[Token[RematScope | None]] = []

    def __enter__(self) -> RematScope:
        self._entered.append(_remat.set(self))
        return self

    def __exit__(self, *_: object) -> None:
        _remat.reset(self._entered.pop())


_MODES = ("full", "activations", "larger_than", "list_of_layers", None)


def remat_scope() -> RematScope | None:
    """Returns the scope that layers are made in now, if there is one."""
    return _remat.get()


_names: ContextVar[tuple[str, ...]] = ContextVar("kgraph_name_scope", default=())


@contextlib.contextmanager
def name_scope(name: str) -> Iterator[None]:
    """Puts a name in front of the paths of variables and layers that are made inside.

    Operations of JAX that run inside carry it too, in profiles and compiled programs.

    Raises:
        ConfigError: it is no text, or has a "/".

    >>> from kgraph import Variable
    >>> with name_scope("tower"):
    ...     Variable(1.0, name="scale").path
    'tower/scale'
    """
    if not isinstance(name, str) or not name or "/" in name:
        raise ConfigError("A name scope has a name without '/'", received=repr(name))
    token = _names.set((*_names.get(), name))
    try:
        with jax.named_scope(name):
            yield
    finally:
        _names.reset(token)


def in_scope(name: str) -> str:
    """Returns a name with those of the scopes around in front of it."""
    return "/".join((*_names.get(), name))


@contextlib.contextmanager
def device(device_name: str) -> Iterator[None]:
    """Makes new arrays on a device, `"cpu"`, `"gpu:0"` or `"tpu:1"`, inside the `with` block.

    Where batches and weights of a model lie, `distribution` says.

    Raises:
        ConfigError: there is no such device.
    """
    kind, _, number = str(device_name).partition(":")
    try:
        found = jax.devices({"cuda": "gpu"}.get(kind, kind))[int(number or 0)]
    except (RuntimeError, IndexError, ValueError) as error:
        raise ConfigError(
            f"There is no device {device_name!r}",
            expected=", ".join(f"{d.platform}:{d.id}" for d in jax.devices()),
        ) from error
    with jax.default_device(found):
        yield


def remat(f: Callable[P, R]) -> Callable[P, R]:
    """Returns a function whose inner values are computed again for gradients, and not kept.

    `compile(remat=...)` does so for the layers of a model.
    """
    return jax.checkpoint(f)
