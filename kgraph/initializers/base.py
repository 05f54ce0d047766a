"""What an initializer is: a callable from shape, dtype and key to an array."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from types import ModuleType
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from kgraph import config
from kgraph.errors import ConfigError
from kgraph.initializers.variates import Kind, key_words, seed_words, variates
from kgraph.registry import Recorded
from kgraph.types import AnyArray, DTypeLike

_NO_PATH = 0  # stands for a path's hash where values depend on a seed or key alone


class Initializer(Recorded):
    """Base of initializers. A subclass defines `__call__`; its arguments are its config."""

    _kgraph_kind = "initializer"

    def __call__(
        self, shape: Sequence[int], dtype: DTypeLike | None = None, key: AnyArray | None = None
    ) -> AnyArray:
        """Returns initial values.

        Args:
            shape: of the result.
            dtype: of the result; None for `kgraph.config.floatx()`.
            key: random key. A subclass that draws nothing may leave this argument out.
        """
        raise ConfigError(
            f"{type(self).__name__} does not define __call__(self, shape, dtype=None)"
        )


class FixedInitializer(Initializer):
    """Base of initializers whose values follow from the shape. A subclass defines `fill`."""

    def fill(self, shape: tuple[int, ...], dtype: np.dtype, xp: ModuleType) -> AnyArray:
        """Returns the values, with `xp` NumPy or `jax.numpy`. The caller fixes the dtype."""
        raise ConfigError(f"{type(self).__name__} does not define fill(self, shape, dtype, xp)")

    def __call__(
        self, shape: Sequence[int], dtype: DTypeLike | None = None, key: AnyArray | None = None
    ) -> AnyArray:
        dtype = standard_dtype(dtype)
        return jnp.asarray(self.fill(tuple(shape), dtype, jnp), dtype)


class RandomInitializer(Initializer):
    """Base of initializers that transform standard variates.

    A subclass sets `variates` (`"uniform"`: in [0, 1), `"normal"`, or `"truncated_normal"`: within
    two deviations) and defines `transform`, and so can be drawn either by JAX in a trace or on the
    host without a compilation. Where it sets `pointwise` as well, several threads draw on the host.

    Args:
        seed: with it the values are those of the seed, whatever the key and the path: the same
            at each call. None for values that follow the key (or, in a call without
            one, a seed that this object draws once from the process-wide stream).

    Raises:
        ConfigError: if `seed` is not a whole number.
    """

    variates: Kind = "normal"
    pointwise: ClassVar[bool] = False
    """Whether `transform` works number by number, so that it may be given a flat piece. A class
    that defines `transform` says so itself: its base speaks for another one."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if {"transform", "draw"} & vars(cls).keys():
            cls.pointwise = vars(cls).get("pointwise", False)

    def __init__(self, seed: int | None = None) -> None:
        try:
            self.seed = None if seed is None else operator.index(seed)
        except TypeError:
            raise ConfigError(
                f"{type(self).__name__} needs a seed that is a whole number, or None",
                received=repr(seed),
                hint="a random key goes to the call: initializer(shape, dtype, key=key)",
            ) from None
        self._drawn: np.ndarray | None = None

    def transform(self, z: AnyArray, shape: tuple[int, ...], xp: ModuleType) -> AnyArray:
        """Returns the values for standard variates `z` of the same shape (float32).

        A pure function written for `xp` NumPy and `jax.numpy` alike.
        """
        raise ConfigError(f"{type(self).__name__} does not define transform(self, z, shape, xp)")

    def draw(self, shape: tuple[int, ...], words: AnyArray, path: int, xp: ModuleType) -> AnyArray:
        """Returns the float32 values of the weight with this path hash under a key's words."""
        words, path = self.stream(words, path)
        z = variates(self.variates, words, path, math.prod(shape), xp=xp)
        return self.transform(z.reshape(shape), shape, xp)

    def stream(self, words: AnyArray, path: int) -> tuple[AnyArray, int]:
        """Returns the words and the path by which is drawn: those given, or the seed's."""
        return (words, path) if self.seed is None else (seed_words(self.seed), _NO_PATH)

    def __call__(
        self, shape: Sequence[int], dtype: DTypeLike | None = None, key: AnyArray | None = None
    ) -> AnyArray:
        words = self._own_words() if key is None else key_words(key)
        xp = jnp if isinstance(words, Tracer) else np
        dtype = floating_dtype(self, dtype)
        return jnp.asarray(self.draw(tuple(shape), words, _NO_PATH, xp).astype(dtype))

    def _own_words(self) -> np.ndarray:
        if self._drawn is None:
            self._drawn = np.array(config.next_seed(), np.uint32)
        return self._drawn


def standard_dtype(dtype: DTypeLike | None) -> np.dtype:
    """Returns a dtype that JAX can hold under the present settings; None stands for `floatx`."""
    return np.dtype(jax.dtypes.canonicalize_dtype(config.floatx() if dtype is None else dtype))


def floating_dtype(owner: Initializer, dtype: DTypeLike | None) -> np.dtype:
    """Returns `standard_dtype(dtype)`, or raises ConfigError if it is not of floats."""
    found = standard_dtype(dtype)
    if not jnp.issubdtype(found, jnp.floating):
        raise ConfigError(
            f"{type(owner).__name__} draws floats only",
            received=found.name,
            hint="use 'zeros', 'ones' or Constant(value) for this weight",
        )
    return found
