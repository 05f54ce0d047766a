"""Limits of runs, to try a script out."""

from __future__ import annotations

import warnings

from kgraph.config.settings import _settings
from kgraph.errors import ConfigError


def max_epochs() -> int | None:
    """Returns the most epochs that a `fit` runs; None for no limit."""
    return _settings.max_epochs


def set_max_epochs(max_epochs: int | None) -> None:
    """Limits the epochs of every `fit`, to try a script out; None lifts the limit.

    The environment variable KERAS_MAX_EPOCHS does the same.
    """
    _settings.max_epochs = _limit("set_max_epochs", max_epochs)


def max_steps_per_epoch() -> int | None:
    """Returns the most batches of an epoch, an evaluation or a prediction; None for no limit."""
    return _settings.max_steps_per_epoch


def set_max_steps_per_epoch(max_steps_per_epoch: int | None) -> None:
    """Limits the batches of every epoch, `evaluate` and `predict`; None lifts the limit.

    The environment variable KERAS_MAX_STEPS_PER_EPOCH does the same.
    """
    _settings.max_steps_per_epoch = _limit("set_max_steps_per_epoch", max_steps_per_epoch)


def _limit(owner: str, value: int | None) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ConfigError(
            f"{owner} takes a whole number of at least 1, or None", received=repr(value)
        )
    return value


def within_limit(what: str, wanted: int | None, most: int | None, stacklevel: int) -> int | None:
    """Returns how many there may be, with a warning where that is fewer than wanted (None: all)."""
    if most is None or (wanted is not None and wanted <= most):
        return wanted
    warnings.warn(f"{what} is limited to {most} (kgraph.config)", stacklevel=stacklevel)
    return most
