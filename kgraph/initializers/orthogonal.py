"""Random matrices with orthonormal rows or columns."""

from __future__ import annotations

import math
from types import ModuleType

from kgraph.errors import ConfigError
from kgraph.initializers.base import RandomInitializer
from kgraph.types import AnyArray


class Orthogonal(RandomInitializer):
    """Draws a matrix whose shorter side's vectors are orthogonal and of length `gain`.

    Axes before the last are taken as one. The distribution is uniform over all such matrices.

    Raises:
        ConfigError: when called with a shape of fewer than two axes.

    Source: Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear
    neural networks", arXiv:1312.6120. The sign correction makes the distribution uniform:
    Mezzadri, arXiv:math-ph/0609050.
    """

    variates = "normal"

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        super().__init__(seed)
        self.gain = gain

    def transform(self, z: AnyArray, shape: tuple[int, ...], xp: ModuleType) -> AnyArray:
        if len(shape) < 2:
            raise ConfigError(
                "Orthogonal needs at least two axes",
                expected="[*rows, columns]",
                received=str(list(shape)),
            )
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q, r = xp.linalg.qr(z.reshape(max(rows, columns), min(rows, columns)))
        q = q * xp.where(xp.diagonal(r) < 0, -1, 1).astype(q.dtype)[None, :]
        return self.gain * (q.T if rows < columns else q).reshape(shape)
