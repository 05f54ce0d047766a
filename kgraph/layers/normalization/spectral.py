"""SpectralNormalization: a layer whose kernel is divided by its largest singular value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

import jax
import jax.numpy as jnp

from kgraph.checks import check_count
from kgraph.errors import GraphError
from kgraph.initializers import TruncatedNormal
from kgraph.layers.base.core import label_of
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.core.wrapper import Wrapper
from kgraph.layers.normalization.statistics import wide_dtype
from kgraph.types import Array, Tree

if TYPE_CHECKING:
    from kgraph.layers.base.layer import Layer


_MOST_ITERATIONS = 1_000


class SpectralNormalization(Wrapper):
    """Runs a layer with its kernel divided by an estimate of the kernel's largest singular value.

    The estimate comes from power iteration on the kernel as a matrix `[all other axes, last axis]`,
    and gets better with each training step, which starts from the vector of the step before.

    Shapes: those of the layer inside. Weights: those of the layer inside, its kernel first; state:
    `vector_u` `[1, last axis]`.
    Dtype: the iteration is float32 at least; the result has the dtype of floating inputs.

    The layer inside keeps its kernel as the optimizer left it, and inference divides as well. (In
    Keras training writes the divided kernel back, which is lost on the JAX backend, and inference
    uses the kernel as it is kept: with JAX a trained model then computes something else. A model
    from a Keras file has `divide_in_inference=False`; a Keras file of any other has its kernel
    divided already.)

    Args:
        layer: has a weight `kernel` or `embeddings`.
        power_iterations: how many iterations each call adds.
        divide_in_inference: whether inference divides; False is what Keras does.

    Raises:
        ConfigError: `power_iterations` is not positive, or `layer` is not a layer.
        GraphError: the layer has neither weight.

    Source: Miyato et al., "Spectral Normalization for Generative Adversarial Networks",
    arXiv:1802.05957, algorithm 1.

    >>> import numpy as np
    >>> from kgraph.layers import Dense
    >>> layer = SpectralNormalization(Dense(1, use_bias=False))
    >>> divided = layer(np.eye(3, dtype="float32"))  # by its length, as it has one column
    >>> f"{np.linalg.norm(divided):.3f}"
    '1.000'
    """

    def __init__(
        self,
        layer: Layer,
        power_iterations: int = 1,
        divide_in_inference: bool = True,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(layer, **options)
        self.power_iterations = check_count(
            label_of(self), "power_iterations", power_iterations, most=_MOST_ITERATIONS
        )
        self.divide_in_inference = divide_in_inference

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        held = vars(self.layer)
        self.target = next((name for name in ("kernel", "embeddings") if name in held), None)
        if self.target is None:
            raise GraphError(
                f"{label_of(self)} needs a layer with a weight named kernel or embeddings",
                received=label_of(self.layer),
            )
        kernel = held[self.target]
        self._kgraph.weights.append(
            kernel
        )  # Keras lists it first, and set_weights follows that order
        self.vector_u = self.add_weight(
            (1, kernel.shape[-1]), TruncatedNormal(stddev=0.02), kernel.dtype, trainable=False,
            name="vector_u",
        )  # fmt: skip

    def call(self, inputs: Tree, training: bool | None = None) -> Any:
        layer, target = self.layer, self.target or ""
        if not (training or self.divide_in_inference):
            return self._as_inputs(layer(inputs), inputs)
        kernel = getattr(layer, target)
        divided, vector = self.divided(kernel, self.vector_u)
        if training:
            self.vector_u = vector
        setattr(layer, target, divided)
        try:
            outputs = layer(inputs)
        finally:
            setattr(layer, target, kernel)  # the optimizer's, not to be updated here
        return self._as_inputs(outputs, inputs)

    @staticmethod
    def _as_inputs(outputs: Any, inputs: Any) -> Any:
        """Returns the outputs in the dtype of floating inputs."""
        floating = hasattr(inputs, "dtype") and jnp.issubdtype(inputs.dtype, jnp.floating)
        return outputs.astype(inputs.dtype) if floating else outputs

    def divided(self, kernel: Array, start: Array) -> tuple[Array, Array]:
        """Returns the kernel divided by the estimate, and the vector that led to it.

        Args:
            kernel: one of zeros stays so.
            start: the vector that led to the estimate before.
        """
        matrix = kernel.reshape(-1, kernel.shape[-1]).astype(wide_dtype(kernel.dtype))
        vector = start = start.astype(matrix.dtype)
        left = vector @ matrix.T
        for i in range(self.power_iterations):
            left = _unit(left if i == 0 else vector @ matrix.T)
            vector = _unit(left @ matrix)
        left, vector = jax.lax.stop_gradient((left, vector))
        norm = jnp.sum(left @ matrix * vector)
        empty = norm == 0
        result = (kernel / jnp.where(empty, 1, norm)).astype(kernel.dtype)
        return result, jnp.where(empty, start, vector)


def _unit(vector: Array) -> Array:
    """Returns a vector of length 1; one of zeros stays so."""
    square = jnp.sum(jnp.square(vector))
    return vector * jax.lax.rsqrt(jnp.maximum(square, 1e-24))
