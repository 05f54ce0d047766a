"""Adam with decoupled weight decay."""

from __future__ import annotations

from typing import Unpack

from kgraph.errors import ConfigError
from kgraph.optimizers.adam import Adam
from kgraph.optimizers.learning_rate import LearningRate
from kgraph.optimizers.options import OptionsButDecay


class AdamW(Adam):
    """Adam whose parameters also shrink by `weight_decay * learning_rate` at each update.

    Args:
        learning_rate: see `Optimizer`, also for the `options`.
        weight_decay: 0.004; `optax.adamw` has 1e-4.
        beta_1: see `Adam`.
        beta_2: see `Adam`.
        epsilon: see `Adam`.
        amsgrad: see `Adam`.

    Raises:
        ConfigError: if `weight_decay` is None.

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization", arXiv:1711.05101.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Unpack[OptionsButDecay],
    ) -> None:
        if weight_decay is None:
            raise ConfigError(
                "AdamW needs a number as `weight_decay`", hint="Adam has no weight decay"
            )
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **options
        )
