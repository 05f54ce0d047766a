"""Initializers that draw each value independently from one given distribution."""

from __future__ import annotations

from types import ModuleType

from kgraph.errors import ConfigError
from kgraph.initializers.base import RandomInitializer
from kgraph.types import AnyArray


class RandomUniform(RandomInitializer):
    """Draws uniformly from `minval` up to, but not including, `maxval`.

    Raises:
        ConfigError: if `maxval` is less than `minval`.
    """

    variates = "uniform"
    pointwise = True

    def __init__(
        self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None
    ) -> None:
        super().__init__(seed)
        if not minval <= maxval:
            raise ConfigError(
                "RandomUniform needs a range",
                expected="minval <= maxval",
                received=f"minval {minval!r}, maxval {maxval!r}",
            )
        self.minval, self.maxval = minval, maxval

    def transform(self, z: AnyArray, shape: tuple[int, ...], xp: ModuleType) -> AnyArray:
        return self.minval + (self.maxval - self.minval) * z


class RandomNormal(RandomInitializer):
    """Draws from a normal distribution.

    Raises:
        ConfigError: if `stddev` is negative.
    """

    variates = "normal"
    pointwise = True

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        if not stddev >= 0:
            raise ConfigError(
                f"{type(self).__name__} needs a stddev of at least 0", received=repr(stddev)
            )
        self.mean, self.stddev = mean, stddev

    def transform(self, z: AnyArray, shape: tuple[int, ...], xp: ModuleType) -> AnyArray:
        return self.mean + self.stddev * z


class TruncatedNormal(RandomNormal):
    """Draws from a normal distribution, leaving out what is beyond two deviations from the mean.

    `stddev` is that of the distribution before it is cut; the values' own is 0.88 of it.
    """

    variates = "truncated_normal"
