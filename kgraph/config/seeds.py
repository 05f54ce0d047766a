"""The seed of everything that nobody gave a seed for."""

from __future__ import annotations

import itertools
import random

import numpy

from kgraph.config.settings import _settings
from kgraph.errors import ConfigError


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


def next_seed() -> tuple[int, int]:
    """Returns (seed of the process, running number): a fresh pair at each call.

    The only hidden randomness in kgraph. The facade uses it for initial weights, shuffling and
    dropout when the user passes no seed; the pure parts never do.
    """
    return _settings.seed, next(_settings.draws)
