"""Quantiles of more data than fit into memory: a sorted sample with weights, kept small."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

LIMIT = 2**20
"""Up to so many values a sample is the data themselves."""


def _none() -> np.ndarray:
    return np.zeros(0)


@dataclass(frozen=True)
class Sample:
    """Values in ascending order, and how many values of the data each of them stands for.

    Up to `LIMIT` values nothing is lost, so that it does not matter how data were cut into batches.
    Beyond, twice as many are reduced to `LIMIT` time and again, each time moving ranks by less than
    one part in `LIMIT` of the data.
    """

    values: np.ndarray = field(default_factory=_none)
    weights: np.ndarray = field(default_factory=_none)

    def with_values(self, values: np.ndarray) -> Sample:
        """Returns the sample of the data so far and these values."""
        sample = self
        for start in range(0, values.size, LIMIT):
            part = values.reshape(-1)[start : start + LIMIT]
            sample = sample._merged(part, np.ones(part.size))
            if sample.values.size > 2 * LIMIT:
                sample = sample._reduced(LIMIT)
        return sample

    def thinned(self, epsilon: float) -> Sample:
        """Returns about `1 / epsilon` of the values, at equal distances in rank."""
        total = self.weights.sum()
        step = max(total * epsilon, 1)
        ranks = np.arange(int(step - 1), total, int(step))
        places = np.searchsorted(np.cumsum(self.weights), ranks, side="right")
        chosen = self.values[np.minimum(places, self.values.size - 1)]
        return Sample(chosen, np.full(chosen.size, step))

    def at_shares(self, shares: np.ndarray) -> Sample:
        """Returns the values below which these shares of the data lie, linearly interpolated."""
        ranks = np.cumsum(self.weights)
        values = np.interp(shares, ranks / ranks[-1], self.values)
        reached = np.interp(shares, ranks / ranks[-1], ranks)
        return Sample(values, np.diff(reached, prepend=0.0))

    def _reduced(self, size: int) -> Sample:
        """Returns `size` values that stand for equal parts of the data, each from its middle.

        (From their ends, later values would be ranked half a part too low, time and again.)
        """
        middles = np.cumsum(self.weights) - self.weights / 2
        total = self.weights.sum()
        wanted = (np.arange(size) + 0.5) * (total / size)
        return Sample(np.interp(wanted, middles, self.values), np.full(size, total / size))

    def _merged(self, values: np.ndarray, weights: np.ndarray) -> Sample:
        values = np.concatenate([self.values, values])
        order = np.argsort(values, kind="stable")
        return Sample(values[order], np.concatenate([self.weights, weights])[order])


def bin_boundaries(sample: Sample, bins: int, epsilon: float) -> list[float]:
    """Returns the values that part the data into bins of about equal numbers.

    With fewer different values than bins there are fewer boundaries.

    Args:
        sample: of the data.
        bins: how many bins are wanted.
        epsilon: allowed error, as a share of the data.
    """
    thin = sample.thinned(epsilon)
    if thin.values.size * epsilon >= 1:
        thin = thin.at_shares(np.minimum(epsilon + np.arange(0.0, 1.0, epsilon), 1.0))
    if thin.values.size >= bins:
        thin = thin.at_shares(np.arange(1, bins + 1) / bins)
    return [float(value) for value in thin.values[:-1].astype(np.float32)]
