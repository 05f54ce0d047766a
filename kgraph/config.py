"""Process-wide settings: defaults of layers, the seed, limits of runs, and where text goes."""

from __future__ import annotations

import itertools
import logging
import os
import random
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy

from kgraph.checks import is_whole
from kgraph.errors import ConfigError, check_choice
from kgraph.source import warn

# --- one object for the process -------------------------------------------------------------------


def _limit_from_environment(name: str) -> int | None:
    text = os.environ.get(name)
    try:
        return int(text) if text else None
    except ValueError as error:
        raise ConfigError(
            f"The environment variable {name} is a whole number", received=repr(text)
        ) from error


@dataclass
class Settings:
    """What can be set, with its defaults."""

    floatx: str = "float32"
    epsilon: float = 1e-7
    image_data_format: str = "channels_last"
    dtype_policy: str | None = None
    seed: int = field(default_factory=lambda: int.from_bytes(os.urandom(4), "little"))
    draws: Iterator[int] = field(default_factory=itertools.count)
    max_epochs: int | None = _limit_from_environment("KERAS_MAX_EPOCHS")
    max_steps_per_epoch: int | None = _limit_from_environment("KERAS_MAX_STEPS_PER_EPOCH")
    interactive_logging: bool = True
    flash_attention: bool | None = None
    traceback_filtering: bool = field(
        default_factory=lambda: os.environ.get("KGRAPH_TRACEBACK_FILTERING", "").lower() != "off"
    )


_settings = Settings()


# --- what layers have without being told ----------------------------------------------------------

FLOATS = ("bfloat16", "float16", "float32", "float64")
_WHOLE = ("bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))
_LAYOUTS = ("channels_last", "channels_first")


def floatx() -> str:
    """Returns the float type of new weights and of inputs without a dtype (`"float32"`)."""
    return _settings.floatx


def set_floatx(value: str) -> None:
    """Sets the default float type: bfloat16, float16, float32 or float64."""
    check_choice("set_floatx", "value", value, FLOATS)
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


def set_image_data_format(data_format: str) -> None:
    """Sets the default layout of images."""
    check_choice("set_image_data_format", "data_format", data_format, _LAYOUTS)
    _settings.image_data_format = data_format


# --- dtype policies -------------------------------------------------------------------------------


@dataclass(frozen=True, init=False)
class DTypePolicy:
    """The dtypes of a layer: what it computes in and what it keeps its weights in.

    Args:
        name: a float type (both dtypes), or `"mixed_bfloat16"` / `"mixed_float16"` (computes in the
            short type, keeps weights in float32), or one of whole numbers, for layers that work on
            such; by default that of `dtype_policy()`.
    """

    name: str

    def __init__(self, name: str | None = None) -> None:
        name = dtype_policy().name if name is None else name
        known = (*FLOATS, "mixed_bfloat16", "mixed_float16", *_WHOLE)
        check_choice("DTypePolicy", "name", name, known)
        object.__setattr__(self, "name", name)

    @property
    def compute_dtype(self) -> str:
        return self.name.removeprefix("mixed_")

    @property
    def variable_dtype(self) -> str:
        return "float32" if self.name.startswith("mixed_") else self.name

    @property
    def quantization_mode(self) -> None:
        """None: policies do not quantize."""
        return None

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments as plain data."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> DTypePolicy:
        """Makes a policy from what `get_config` returned."""
        return cls(**config)


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


# --- the seed of everything that nobody gave a seed for -------------------------------------------


def set_random_seed(seed: int) -> None:
    """Seeds Python, NumPy and the stream from which kgraph takes keys that nobody passed.

    After it, models built and trained in the same order get the same weights and the same draws.
    """
    if not isinstance(seed, int) or seed < 0:
        raise ConfigError("A seed is a whole number of at least 0", received=repr(seed))
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    _settings.seed = seed % 2**32
    _settings.draws = itertools.count()


def stream() -> object:
    """Returns what stands for the stream of `next_seed`: another object after `set_random_seed`."""
    return _settings.draws


def next_seed() -> tuple[int, int]:
    """Returns (seed of the process, running number): a fresh pair at each call.

    The only hidden randomness in kgraph. The facade uses it for initial weights, shuffling and
    dropout when the user passes no seed; the pure parts never do.
    """
    return _settings.seed, next(_settings.draws)


# --- limits of runs, to try a script out ----------------------------------------------------------


def max_epochs() -> int | None:
    """Returns the most epochs that a `fit` runs; None for no limit."""
    return _settings.max_epochs


def set_max_epochs(max_epochs: int | None) -> None:
    """Limits the epochs of every `fit`, to try a script out; None lifts the limit.

    The environment variable KERAS_MAX_EPOCHS does the same.
    """
    _settings.max_epochs = _limit("set_max_epochs", max_epochs)


def max_steps_per_epoch() -> int | None:
    """Returns the most batches of an epoch or an evaluation; None for no limit."""
    return _settings.max_steps_per_epoch


def set_max_steps_per_epoch(max_steps_per_epoch: int | None) -> None:
    """Limits the batches of every epoch and of `evaluate`; None lifts the limit.

    `predict` returns a row for each that it is given.

    The environment variable KERAS_MAX_STEPS_PER_EPOCH does the same.
    """
    _settings.max_steps_per_epoch = _limit("set_max_steps_per_epoch", max_steps_per_epoch)


def _limit(owner: str, value: int | None) -> int | None:
    if value is not None and not is_whole(value, least=1):
        raise ConfigError(
            f"{owner} takes a whole number of at least 1, or None", received=repr(value)
        )
    return value


def within_limit(what: str, wanted: int | None, most: int | None) -> int | None:
    """Returns how many there may be, with a warning where that is fewer than wanted (None: all)."""
    if most is None or (wanted is not None and wanted <= most):
        return wanted
    warn(f"{what} is limited to {most} (kgraph.config)")
    return most


# --- where text for the user goes -----------------------------------------------------------------


def enable_interactive_logging() -> None:
    """Lets progress, summaries and notes go to standard output, which they do by default."""
    _settings.interactive_logging = True


def disable_interactive_logging() -> None:
    """Sends progress, summaries and notes to the logger `kgraph` (level INFO), line by line."""
    _settings.interactive_logging = False


def is_interactive_logging_enabled() -> bool:
    """Tells whether progress, summaries and notes go to standard output."""
    return _settings.interactive_logging


class _Log:
    """A stream whose lines go to the logger `kgraph`."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self._rest = ""

    def write(self, text: str) -> None:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            logging.getLogger("kgraph").info(line)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False


def output() -> Any:
    """Returns the stream that text for the user is written to."""
    return sys.stdout if _settings.interactive_logging else _Log()


# --- fused kernels --------------------------------------------------------------------------------


def enable_flash_attention() -> None:
    """Lets attention layers made from now on take a fused kernel where it pays, as by default.

    On TPUs and NVIDIA GPUs, for floats of 16 bits; see `MultiHeadAttention`, whose own
    `flash_attention` goes first. It ends `disable_flash_attention`.
    """
    _settings.flash_attention = True


def disable_flash_attention() -> None:
    """Leaves the attention of layers made from now on to XLA."""
    _settings.flash_attention = False


def is_flash_attention_enabled() -> bool:
    """Tells whether `enable_flash_attention` is in force."""
    return bool(_settings.flash_attention)


def is_flash_attention_disabled() -> bool:
    """Tells whether `disable_flash_attention` is in force."""
    return _settings.flash_attention is False


# --- tracebacks ----------------------------------------------------------------------------------


def enable_traceback_filtering() -> None:
    """Leaves the frames of kgraph and JAX out of tracebacks, as it is by default."""
    _settings.traceback_filtering = True


def disable_traceback_filtering() -> None:
    """Shows the frames of kgraph and JAX in tracebacks: for the report of a fault in kgraph."""
    _settings.traceback_filtering = False


def is_traceback_filtering_enabled() -> bool:
    """Tells whether tracebacks show the user's frames alone."""
    return _settings.traceback_filtering


# --- what Keras lets one switch and kgraph has one way of -----------------------------------------


def backend() -> str:
    """Returns `"jax"`."""
    return "jax"


def set_backend(backend: str) -> None:
    """Accepts `"jax"`; there is no other backend.

    Raises:
        ConfigError: for any other name.
    """
    if backend != "jax":
        raise ConfigError(
            "kgraph computes with JAX alone", expected="'jax'", received=repr(backend)
        )


def is_nnx_enabled() -> bool:
    """Returns False: weights are kept by kgraph; see `layers.FlaxLayer` for modules of Flax."""
    return False
