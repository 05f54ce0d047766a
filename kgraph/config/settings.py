"""The state of all settings: one object for the process."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from kgraph.errors import ConfigError


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
    flash_attention: bool = False


_settings = Settings()
