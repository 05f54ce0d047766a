"""Process-wide defaults: float type, fuzz factor, image layout, dtype policy, and the seed."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy

from kgraph.errors import ConfigError, check_choice, message

_FLOATS = ("bfloat16", "float16", "float32", "float64")
_LAYOUTS = ("channels_last", "channels_first")


@dataclass
class _Settings:
    floatx: str = "float32"
    epsilon: float = 1e-7
    image_data_format: str = "channels_last"
    dtype_policy: str | None = None
    seed: int = field(default_factory=lambda: int.from_bytes(os.urandom(4), "little"))
    draws: Iterator[int] = field(default_factory=itertools.count)


_settings = _Settings()


def floatx() -> str:
    """Returns the float type of new weights and of inputs without a dtype (`"float32"`)."""
    return _settings.floatx


def set_floatx(value: str) -> None:
    """Sets the default float type: bfloat16, float16, float32 or float64."""
    check_choice("set_floatx", "value", value, _FLOATS)
    _settings.floatx = value


def epsilon() -> float:
    """Returns the fuzz factor that keeps logarithms and divisions finite (1e-7)."""
    return _settings.epsilon


def set_epsilon(value: float) -> None:
    """Sets the fuzz factor."""
    _settings.epsilon = float(value)


def image_data_format() -> str:
    """Returns the default layout of images, `"channels_last"` or `"channels_first"`."""
    return _settings.image_data_format


def set_image_data_format(value: str) -> None:
    """Sets the default layout of images."""
    check_choice("set_image_data_format", "value", value, _LAYOUTS)
    _settings.image_data_format = value


@dataclass(frozen=True)
class DTypePolicy:
    """The dtypes of a layer: what it computes in and what it keeps its weights in.

    Args:
        name: a float type (both dtypes), or `"mixed_bfloat16"` / `"mixed_float16"` (computes in the
            short type, keeps weights in float32).
    """

    name: str = "float32"

    def __post_init__(self) -> None:
        known = (*_FLOATS, "mixed_bfloat16", "mixed_float16")
        check_choice("DTypePolicy", "name", self.name, known)

    @property
    def compute_dtype(self) -> str:
        return self.name.removeprefix("mixed_")

    @property
    def variable_dtype(self) -> str:
        return "float32" if self.name.startswith("mixed_") else self.name


def dtype_policy() -> DTypePolicy:
    """Returns the policy of layers that are made without `dtype`."""
    return DTypePolicy(_settings.dtype_policy or _settings.floatx)


def set_dtype_policy(policy: str | DTypePolicy | None) -> None:
    """Sets the policy of layers made from now on; None goes back to `floatx`."""
    if policy is None:
        _settings.dtype_policy = None
    else:
        name = policy if isinstance(policy, str) else policy.name
        _settings.dtype_policy = DTypePolicy(name).name


def set_random_seed(seed: int) -> None:
    """Seeds Python, NumPy and the stream from which kgraph takes keys that nobody passed.

    After it, models built and trained in the same order get the same weights and the same draws.
    """
    if not isinstance(seed, int) or seed < 0:
        raise ConfigError(message("A seed is a whole number of at least 0", received=repr(seed)))
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    _settings.seed = seed % 2**32
    _settings.draws = itertools.count()


def next_seed() -> tuple[int, int]:
    """Returns (seed of the process, running number): a fresh pair at each call.

    The only hidden randomness in kgraph. The facade uses it for initial weights, shuffling and
    dropout when the user passes no seed; the pure parts never do.
    """
    return _settings.seed, next(_settings.draws)
