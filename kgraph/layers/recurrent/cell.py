"""The base of the built-in cells: one step of a recurrence, in two parts.

The first part (`project`) does not look at the state, so a loop computes it for all steps at once,
outside the loop; the second (`step`) is what remains to be done for each step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import jax
import jax.numpy as jnp

from kgraph.checks import check_rate
from kgraph.errors import ConfigError
from kgraph.layers.base import Layer
from kgraph.layers.base.core import label_of, next_key
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.base.weight_options import KernelAndBias, add_with_options, set_options
from kgraph.types import Array, ConstraintLike, InitializerLike, RegularizerLike


class RecurrentCell(Layer):
    """Base of cells whose first state is their output and whose input part can be hoisted.

    A subclass sets `state_size` and `output_size` and defines `project` and `step`. A cell of any
    other kind (a layer called as `cell(inputs, states)` that has a `state_size`) works in `RNN` as
    well, without the hoisting.

    Args:
        dropout: rate at which input features are dropped, the same ones at every step of a call.
        recurrent_dropout: the same for the state.
        seed: of the dropout; None follows the key and the path.

    Raises:
        ConfigError: a rate is not in 0 to 1.
    """

    _kgraph_idle = frozenset({"implementation"})
    state_size: Any
    output_size: Any
    gates_with_own_masks: int | None = None
    """How many masks one dropout draws: one for each gate, or None for one that all share."""

    def __init__(
        self,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.dropout = check_rate(label_of(self), "dropout", dropout)
        self.recurrent_dropout = check_rate(label_of(self), "recurrent_dropout", recurrent_dropout)
        self.seed = seed

    def project(self, inputs: Array, mask: Array | None) -> Array:
        """Returns what the input contributes, for one step or for all.

        Args:
            inputs: `[batch, *features]`, or `[time, batch, *features]`.
            mask: from `draw_mask`: what the input is multiplied with.
        """
        raise ConfigError(f"{type(self).__name__} does not define project(inputs, mask)")

    def step(self, projected: Array, states: Sequence[Array], mask: Array | None) -> list[Array]:
        """Returns the new states, of which the first is the output."""
        raise ConfigError(f"{type(self).__name__} does not define step(projected, states, mask)")

    def start(self, projected: Array) -> list[Array]:
        """Returns zeros as states, for what `project` made of all steps `[time, batch, ...]`."""
        sizes = self.state_size if isinstance(self.state_size, list) else [self.state_size]
        batch = projected.shape[1]
        return [jnp.zeros_like(projected, shape=(batch, size)) for size in sizes]

    def get_initial_state(self, batch_size: int | Array | None = None) -> list[Array]:
        """Returns zeros as the states of so many samples."""
        sizes = self.state_size if isinstance(self.state_size, list) else [self.state_size]
        return [jnp.zeros((batch_size, size), self.compute_dtype) for size in sizes]

    def call(self, inputs: Array, states: Any, training: bool | None = None) -> tuple[Array, Any]:
        single = not isinstance(states, (list, tuple))
        states = [states] if single else list(states)
        projected = self.project(inputs, self.draw_mask(inputs, self.dropout, training))
        mask = self.draw_mask(states[0], self.recurrent_dropout, training)
        new = self.step(projected, states, mask)
        return new[0], new[0] if single else new

    def draw_mask(
        self, like: Array | jax.ShapeDtypeStruct, rate: float, training: bool | None
    ) -> Array | None:
        """Returns a dropout mask (0 or `1 / (1 - rate)`) for an array, or None if none is due."""
        if not training or not 0 < rate < 1:
            return None
        gates = self.gates_with_own_masks
        shape = like.shape if gates is None else (gates, *like.shape)
        kept = jax.random.bernoulli(next_key(self), 1 - rate, shape)
        return jnp.where(kept, 1 / (1 - rate), 0).astype(like.dtype)


class WeightedCell(RecurrentCell, KernelAndBias):
    """Base of cells with a kernel for the input, one for the state, and perhaps a bias."""

    kernel: Any
    recurrent_kernel: Any
    bias: Any = None
    recurrent_is_added: bool | None = None
    """Whether `step` only adds what `recur` returns to the projected input, and calls it once.

    A class states it for itself, and a subclass, whose step may be another, does not inherit it: it
    lets the loop take the gradients of the weights in `recur` after its end (`late_weights.py`).
    """

    def __init__(
        self,
        use_bias: bool,
        kernel_initializer: InitializerLike,
        recurrent_initializer: InitializerLike,
        bias_initializer: InitializerLike,
        kernel_regularizer: RegularizerLike | None,
        recurrent_regularizer: RegularizerLike | None,
        bias_regularizer: RegularizerLike | None,
        kernel_constraint: ConstraintLike | None,
        recurrent_constraint: ConstraintLike | None,
        bias_constraint: ConstraintLike | None,
        dropout: float,
        recurrent_dropout: float,
        seed: int | None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(dropout, recurrent_dropout, seed, **options)
        self.use_bias = use_bias
        set_options(self, "kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        set_options(
            self, "recurrent", recurrent_initializer, recurrent_regularizer, recurrent_constraint
        )
        set_options(self, "bias", bias_initializer, bias_regularizer, bias_constraint)

    def recurrent_weights(self) -> Any:
        """Returns the weights that meet the state in `recur`."""
        return self.recurrent_kernel

    def product(self, weights: Any, state: Array, mask: Array | None) -> Array:
        """Returns what weights make of the states of one step, or of all; linear in the weights."""
        return masked_matmul(state, weights, mask)

    def recur(self, state: Array, mask: Array | None) -> Array:
        """Returns what the state contributes to a step."""
        return self.product(self.recurrent_weights(), state, mask)

    def declare(
        self,
        kernel: Sequence[Any],
        recurrent_kernel: Sequence[int],
        bias: Sequence[int],
        bias_initializer: InitializerLike | None = None,
    ) -> None:
        """Declares the weights, given their shapes."""
        self.kernel = add_with_options(self, "kernel", kernel)
        self.recurrent_kernel = add_with_options(
            self, "recurrent", recurrent_kernel, name="recurrent_kernel"
        )
        if self.use_bias:
            self.bias = add_with_options(self, "bias", bias, initializer=bias_initializer)


def masked_matmul(x: Array, kernel: Array, mask: Array | None) -> Array:
    """Returns `(x * mask) @ kernel`.

    Shapes: x `[*lead, batch, in]`, kernel `[in, gates * units]`, mask `[batch, in]`, or
    `[gates, batch, in]` where each gate's block of the kernel meets a masked copy of its own.
    """
    if mask is None:
        return _matmul(x, kernel)
    if mask.ndim == 2:
        return _matmul(x * aligned(mask, x.ndim), kernel)
    blocks = jnp.split(kernel, mask.shape[0], axis=-1)
    parts = [_matmul(x * aligned(m, x.ndim), block) for m, block in zip(mask, blocks)]
    return jnp.concatenate(parts, axis=-1)


def _matmul(x: Array, kernel: Array) -> Array:
    """Returns `x @ kernel`.

    On a CPU the leading axes become one, because XLA's product for the gradient of the kernel is
    slow with two axes to sum over (25 instead of 19 ms for 200 x 32 rows, 256 to 1024). Elsewhere
    they stay: joined, they could not keep a batch axis that is sharded.
    """
    if x.ndim == 2:
        return x @ kernel

    def flat(x: Array, kernel: Array) -> Array:
        return (x.reshape((-1, x.shape[-1])) @ kernel).reshape((*x.shape[:-1], kernel.shape[-1]))

    return jax.lax.platform_dependent(x, kernel, cpu=flat, default=jnp.matmul)


def aligned(array: Array, rank: int) -> Array:
    """Returns an array with axes of size 1 in front, up to a rank."""
    return jax.lax.expand_dims(array, range(rank - array.ndim))


def add_bias(x: Array, bias: Array | None) -> Array:
    """Returns `x` with a vector added along its last axis."""
    return x if bias is None else x + aligned(bias, x.ndim)
