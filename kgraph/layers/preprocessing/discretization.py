"""Discretization: numbers by the bin that they fall into."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import jax.numpy as jnp
import numpy as np

from kgraph.checks import check_count
from kgraph.errors import ConfigError, StateError
from kgraph.layers.base.core import label_of
from kgraph.layers.base.options import Flags
from kgraph.layers.normalization.statistics import wide_dtype
from kgraph.layers.preprocessing.adapting import _AdaptiveLayer, not_adapted, numbers
from kgraph.layers.preprocessing.encoding import INT, MODES, check_encoding, encode
from kgraph.layers.preprocessing.quantiles import Sample, bin_boundaries
from kgraph.types import Array, Config, PolicyLike


class Discretization(_AdaptiveLayer):
    """Replaces each number by the number of its bin: how many boundaries are not above it.

    The boundaries are given, or `adapt` takes them from the quantiles of data. They are part of the
    layer's config, and so of every graph that the layer is in: adapt it before it is called on
    symbolic tensors.

    Shapes: `[*any]` in, the same out; other modes: see `encoding.encode`.
    Dtype: compared in float32 at least; the result is int32, in other modes the compute dtype.

    Args:
        bin_boundaries: ascending numbers; n of them make n + 1 bins.
        num_bins: how many bins `adapt` is to make, in place of `bin_boundaries`.
        epsilon: allowed error of the quantiles, as a share of the data.
        output_mode: `"int"`, `"one_hot"`, `"multi_hot"` or `"count"`.
        sparse: False; kept for compatibility.
        dtype, name: as in every layer.

    Raises:
        ConfigError: an option has a value it cannot have.
        StateError: the layer is used before it has boundaries, or adapted when a graph holds it.

    >>> layer = Discretization(num_bins=2)
    >>> layer.adapt(np.arange(100.0))
    >>> layer.bin_boundaries
    [49.0]
    >>> layer(np.array([[3.0, 70.0]])).tolist()
    [[0, 1]]
    """

    autocast = False

    def __init__(
        self,
        bin_boundaries: Sequence[float] | None = None,
        num_bins: int | None = None,
        epsilon: float = 0.01,
        output_mode: str = INT,
        sparse: bool = False,
        dtype: PolicyLike | None = None,
        name: str | None = None,
        **options: Unpack[Flags],
    ) -> None:
        super().__init__(**{"autocast": False, "dtype": dtype, "name": name, **options})
        if (bin_boundaries is None) == (num_bins is None):
            raise ConfigError(
                f"{label_of(self)} needs either `bin_boundaries`, or `num_bins` and adapt",
                received=f"bin_boundaries={bin_boundaries}, num_bins={num_bins}",
            )
        if not 0 < epsilon < 1:
            raise ConfigError(
                f"{label_of(self)} cannot have this value of `epsilon`",
                expected="a share of the data, between 0 and 1",
                received=repr(epsilon),
            )
        check_encoding(label_of(self), output_mode, sparse, MODES)
        self.num_bins = (
            None if num_bins is None else check_count(label_of(self), "num_bins", num_bins)
        )
        self.epsilon, self.output_mode = epsilon, output_mode
        self.bin_boundaries: list[float] | None = None
        if bin_boundaries is not None:
            self.bin_boundaries = self._checked(bin_boundaries)

    def call(self, inputs: Array) -> Array:
        if self.bin_boundaries is None:
            raise not_adapted(label_of(self), "call adapt(data) before, or pass bin_boundaries")
        wide = wide_dtype(self.compute_dtype)
        bounds = jnp.asarray(np.asarray(self.bin_boundaries), wide)
        bins = jnp.searchsorted(bounds, inputs.astype(wide), side="right")
        dtype = jnp.int32 if self.output_mode == INT else self.compute_dtype
        return encode(bins, self.output_mode, len(self.bin_boundaries) + 1, dtype)

    def start_summary(self) -> Sample:
        if self.num_bins is None:
            raise ConfigError(
                f"{label_of(self)} was given its boundaries, and does not adapt",
                hint="make it with `num_bins`",
            )
        if self._kgraph.call() is not None:
            raise StateError(
                f"{label_of(self)} is part of a graph, which holds its boundaries already",
                hint="adapt the layer first and call it on tensors then, or make a new one",
            )
        return Sample()

    def add_to_summary(self, summary: Sample, batch: np.ndarray) -> Sample:
        return summary.with_values(numbers(label_of(self), batch))

    def use_summary(self, summary: Sample) -> None:
        if self.num_bins is not None:
            self.bin_boundaries = bin_boundaries(summary, self.num_bins, self.epsilon)

    def get_config(self) -> dict[str, Any]:
        """Returns the options, and the boundaries: those that were given or those learned."""
        return {**super().get_config(), "bin_boundaries": self.bin_boundaries}

    @classmethod
    def from_config(cls, config: Config) -> Discretization:
        """Makes a layer from `get_config`'s result, which has both if the layer was adapted."""
        learned = config.get("bin_boundaries") if config.get("num_bins") is not None else None
        if learned is None:
            return super().from_config(config)
        layer = super().from_config({**config, "bin_boundaries": None})
        layer.bin_boundaries = layer._checked(learned)
        return layer

    def _checked(self, boundaries: Sequence[float]) -> list[float]:
        array = np.asarray(boundaries, np.float64)
        if array.ndim != 1 or not (np.diff(array) >= 0).all():  # NaN compares as False
            raise ConfigError(
                f"{label_of(self)} cannot have this value of `bin_boundaries`",
                expected="a list of numbers in ascending order",
                received=f"{boundaries!r:.80}",
            )
        return array.tolist()
