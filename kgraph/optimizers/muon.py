"""Muon."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

import jax
import jax.numpy as jnp

from kgraph.optimizers.adam import scale_by_adam_hat, zero_slots
from kgraph.optimizers.learning_rate import LearningRate
from kgraph.optimizers.optimizer import Optimizer, path_of
from kgraph.optimizers.options import OptionsButDecay
from kgraph.optimizers.per_parameter import Slots, per_parameter
from kgraph.patterns import compiled
from kgraph.types import Array, Tree

if TYPE_CHECKING:
    from optax import GradientTransformation


class Muon(Optimizer):
    """Steps by momentum made orthogonal, in matrices; by Adam in all other parameters.

    `optax.contrib.muon` averages where this sums, and its Adam has Nesterov momentum as well.

    Args:
        learning_rate: see `Optimizer`, also for the `options`.
        adam_beta_1: `beta_1` of `Adam`.
        adam_beta_2: `beta_2` of `Adam`.
        adam_weight_decay: the weight decay of the parameters that Adam updates.
        epsilon: `epsilon` of `Adam`.
        weight_decay: the weight decay of the matrices.
        exclude_layers: patterns; a matrix whose path contains one is left to Adam.
        exclude_embeddings: whether matrices with "embedding" in their path are left to Adam.
        muon_a: the linear coefficient of the iteration that makes a matrix orthogonal.
        muon_b: the cubic one.
        muon_c: that of the fifth power.
        adam_lr_ratio: what Adam's learning rate is multiplied by.
        momentum: how much of the velocity stays at each update.
        ns_steps: the number of iterations.
        nesterov: whether to look ahead along the velocity.
        rms_rate: the root mean square of a step before the rate is applied, roughly. None: steps
            are not rescaled.

    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024); the
    rescaling: Liu et al., "Muon is scalable for LLM training", arXiv:2502.16982, section 2.2.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.999,
        adam_weight_decay: float | None = 0.004,
        epsilon: float = 1e-7,
        weight_decay: float | None = 0.004,
        exclude_layers: Sequence[str] | None = None,
        exclude_embeddings: bool = True,
        muon_a: float = 3.4445,
        muon_b: float = -4.775,
        muon_c: float = 2.0315,
        adam_lr_ratio: float = 1,
        momentum: float = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: float | None = 0.2,
        **options: Unpack[OptionsButDecay],
    ) -> None:
        super().__init__(learning_rate, weight_decay=weight_decay, **options)
        self.adam_beta_1, self.adam_beta_2 = adam_beta_1, adam_beta_2
        self.adam_weight_decay, self.epsilon = adam_weight_decay, epsilon
        self.adam_lr_ratio = adam_lr_ratio
        self.exclude_layers = list(exclude_layers or ())
        self.exclude_embeddings = exclude_embeddings
        self.muon_a, self.muon_b, self.muon_c = muon_a, muon_b, muon_c
        self.momentum, self.nesterov = momentum, nesterov
        self.ns_steps, self.rms_rate = ns_steps, rms_rate

    def transformation(self, learning_rate: Array) -> GradientTransformation:
        import optax

        adam = scale_by_adam_hat(
            learning_rate * self.adam_lr_ratio, self.adam_beta_1, self.adam_beta_2, self.epsilon
        )
        return optax.partition({"adam": adam, "muon": self._muon(learning_rate)}, self._parts)

    def decay_of(self, path: str, parameter: Array) -> float | None:
        matrix = self._is_orthogonalised(path, parameter)
        return self.weight_decay if matrix else self.adam_weight_decay

    def _parts(self, params: Tree) -> Any:
        def part(path: tuple, parameter: Array) -> str:
            return "muon" if self._is_orthogonalised(path_of(path), parameter) else "adam"

        return jax.tree_util.tree_map_with_path(part, params)

    def _is_orthogonalised(self, path: str, parameter: Array) -> bool:
        embedding = self.exclude_embeddings and "embedding" in path.lower()
        excluded = any(compiled(pattern).search(path) for pattern in self.exclude_layers)
        return parameter.ndim == 2 and not embedding and not excluded

    def _muon(self, learning_rate: Array) -> GradientTransformation:
        def formula(gradient: Array, w: Array, slots: Slots, _: Array) -> tuple[Array, Slots]:
            velocity = self.momentum * slots["momentum"] + gradient
            ahead = gradient + self.momentum * velocity if self.nesterov else velocity
            step = learning_rate.astype(w.dtype) * self._orthogonalise(ahead)
            if self.rms_rate is not None:
                step = step * (max(w.shape) ** 0.5 * self.rms_rate)
            return -step, {"momentum": velocity}

        return per_parameter(zero_slots("momentum"), formula)

    def _orthogonalise(self, x: Array) -> Array:
        """Moves the singular values of a matrix towards 1 by a Newton-Schulz iteration."""
        tall = x.shape[0] > x.shape[1]
        x = x.T if tall else x
        x = x / (jnp.linalg.norm(x) + 1e-7)
        for _ in range(self.ns_steps):
            gram = x @ x.T
            x = self.muon_a * x + (self.muon_b * gram + self.muon_c * gram @ gram) @ x
        return x.T if tall else x
