"""Random arrays with Keras' signatures. A seed is a number, a `SeedGenerator` or a key of JAX."""

from kgraph.random.draws import (
    beta,
    binomial,
    categorical,
    dropout,
    gamma,
    normal,
    randint,
    shuffle,
    truncated_normal,
    uniform,
)
from kgraph.random.seeds import SeedGenerator, draw_key

__all__ = [
    "SeedGenerator", "beta", "binomial", "categorical", "draw_key", "dropout", "gamma", "normal",
    "randint", "shuffle", "truncated_normal", "uniform",
]  # fmt: skip
