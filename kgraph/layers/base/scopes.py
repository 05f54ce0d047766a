"""Scopes of Keras': names in front of paths, the device of new arrays, and recomputation."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

import jax

from kgraph.errors import ConfigError

P = ParamSpec("P")
R = TypeVar("R")

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
