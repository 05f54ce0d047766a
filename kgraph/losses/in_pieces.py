"""Cross-entropy of a last product `inputs @ kernel + bias`, whose result never exists as a whole.

Rows are taken in pieces, and gradients are made with the loss. What costs on an accelerator is each
pass over the logits, so there are three, each inside a product:

1. `z = inputs kernel + bias`, with its maximum and the logit of the target as maxima too: these are
   computed while the product is (a sum would be a pass of its own).
2. `exp(z - max) [kernel, 1]^T` gives the sum of the softmax and the inputs' gradient at once; the
   target's part of that gradient is a row of the kernel.
3. `[inputs, 1]^T (softmax - target)` gives the gradients of kernel and bias at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from kgraph.layers.base.platform import platform
from kgraph.losses.alignment import wide_dtype
from kgraph.types import Array


class Scores(NamedTuple):
    """What is left of the logits of each row: what losses and metrics of classes need.

    Fields:
        loss: minus the logarithm of the target's probability; 0 for a class that is not there.
        best: whether the target's class has the largest logit, the first of equal ones.
        above: how many classes have a larger logit than the target's.
    """

    loss: Array
    best: Array
    above: Array


@dataclass(frozen=True)
class Classes:
    """How targets name classes.

    Fields:
        sparse: whether they are class numbers, and not one number for each class.
        smoothing: the part of the targets that is spread evenly over the classes.
    """

    sparse: bool
    smoothing: float = 0.0


@dataclass(frozen=True)
class Pieces:
    """How the product is cut.

    Fields:
        classes: what the targets are.
        count: the number of pieces.
        ranks: whether somebody asks for `Scores.above`, which is one more pass.
        parts: over how many devices the rows are spread.
    """

    classes: Classes
    count: int
    ranks: bool = False
    parts: int = 1


_Factors: TypeAlias = tuple[Array, Array, Array | None]
"""Inputs, kernel and bias."""


def cross_entropy(
    factors: _Factors, targets: Array, weights: Array, pieces: Pieces
) -> tuple[Array, Scores]:
    """Returns the weighted sum of the loss, which can be differentiated by the factors, and scores.

    Shapes: inputs `[batch, *steps, features]`, kernel `[features, classes]`, bias `[classes]` or
    None, all of one dtype; weights `[batch, *steps]`; targets the same, or with an axis of classes.
    Pieces are cut along the steps: a batch that is spread over devices stays so.
    """
    inputs, kernel, bias = factors
    if weights.size == 0:
        empty = jnp.zeros(weights.shape, jnp.int32)
        return jnp.sum(weights), Scores(weights, empty > 0, empty)
    lead, count = weights.shape, pieces.count

    def cut(x: Array) -> Array:
        return _cut(x.reshape(*lead, *x.shape[len(lead) :]), len(lead), count)

    wide = weights.astype(_wide(inputs))
    total, scores = _of_cut(pieces, cut(inputs), kernel, bias, cut(targets), cut(wide))
    return total, jax.tree.map(lambda x: jax.lax.stop_gradient(_joined(x, lead)), scores)


def _cut(x: Array, rank: int, count: int) -> Array:
    """Returns `[pieces, batch, steps, ...]`; zeros fill the last piece, and weigh nothing."""
    rest = x.shape[rank:]
    if rank == 1:  # rows without steps: every `count`th is in the same piece
        x = _padded(x, 0, count).reshape(-1, count, *rest)
    else:
        x = _padded(x.reshape(x.shape[0], -1, *rest), 1, count)
    return jnp.moveaxis(x.reshape(x.shape[0], count, -1, *rest), 1, 0)


def _padded(x: Array, axis: int, count: int) -> Array:
    short = -x.shape[axis] % count
    if not short:
        return x
    return jnp.pad(x, [(0, short if i == axis else 0) for i in range(x.ndim)])


def _joined(x: Array, lead: tuple[int, ...]) -> Array:
    """Undoes `_cut`: returns `[batch, *steps]` of `[pieces, batch, steps]`."""
    x = jnp.moveaxis(x, 0, 1)
    if len(lead) == 1:
        return x.reshape(-1)[: lead[0]]
    size = 1
    for steps in lead[1:]:
        size *= steps
    return x.reshape(lead[0], -1)[:, :size].reshape(lead)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _total(
    pieces: Pieces, inputs: Array, kernel: Array, bias: Array | None, targets: Array, weights: Array
) -> tuple[Array, Scores]:
    """Returns the sum and the scores; without gradients, as in evaluation."""

    def piece(carry: None, x: tuple[Array, Array]) -> tuple[None, Scores]:
        logits = _Logits.of(pieces, (x[0], kernel, bias), x[1])
        return None, logits.scores(jnp.sum(logits.exponentials(), -1, keepdims=True))

    _, scores = _over_pieces(piece, None, (inputs, targets))
    return _weighed(scores.loss, weights), scores


def _forward(
    pieces: Pieces, inputs: Array, kernel: Array, bias: Array | None, targets: Array, weights: Array
) -> tuple[tuple[Array, Scores], _Factors]:
    """Returns the same with the gradients by the factors."""
    narrow, wide = inputs.dtype, weights.dtype
    ones = jnp.ones((1, kernel.shape[1]), narrow)
    kernel_and_one = jnp.concatenate([kernel, ones])
    rows = jax.lax.optimization_barrier(kernel.T)  # made once, and not in each piece
    # Of rows that are spread over devices, each device sums its own, and all together at the end.
    parts = pieces.parts if inputs.shape[1] % pieces.parts == 0 else 1

    def piece(by_kernel: Array, x: tuple[Array, Array, Array]) -> Any:
        inputs, targets, weights = x
        logits = _Logits.of(pieces, (inputs, kernel, bias), targets)
        raised = logits.exponentials()
        pulled = _product("btv,dv->btd", raised.astype(narrow), kernel_and_one, wide)
        summed, mass = pulled[..., -1:], logits.mass
        weights = jnp.where(logits.known, weights, 0)[..., None]
        if pieces.classes.sparse:
            own = rows[jnp.clip(logits.label, 0, rows.shape[0] - 1)].astype(wide)
        else:
            own = _product("btv,dv->btd", logits.wanted.astype(narrow), kernel, wide)
        by_inputs = (pulled[..., :-1] / summed * mass - own) * weights
        by_logits = (raised / summed * mass - logits.wanted.astype(wide)) * weights
        if bias is not None:
            inputs = jnp.concatenate([inputs, jnp.ones((*inputs.shape[:-1], 1), narrow)], -1)
        left, right = (x.reshape(parts, -1, *x.shape[1:]) for x in (inputs, by_logits))
        by_kernel = by_kernel + _product("pbtd,pbtv->pdv", left, right.astype(narrow), wide)
        return by_kernel, (logits.scores(summed), by_inputs.astype(narrow))

    height = kernel.shape[0] + (bias is not None)
    start = jnp.zeros((parts, height, kernel.shape[1]), wide)
    by_kernel, (scores, by_inputs) = _over_pieces(piece, start, (inputs, targets, weights))
    by_kernel = jnp.sum(by_kernel, 0)
    by_bias = None if bias is None else by_kernel[-1]
    gradients = by_inputs, by_kernel[: kernel.shape[0]], by_bias
    return (_weighed(scores.loss, weights), scores), gradients


def _backward(pieces: Pieces, gradients: _Factors, cotangents: tuple[Array, Scores]) -> Any:
    factor, narrow = cotangents[0], gradients[0].dtype

    def scaled(gradient: Array) -> Array:
        return (gradient.astype(factor.dtype) * factor).astype(narrow)

    return (*jax.tree.map(scaled, gradients), None, None)


_total.defvjp(_forward, _backward)
_of_cut: Any = _total  # JAX says that it returns `object`


class _Logits(NamedTuple):
    """The logits of a piece, with what is known of them while their product is made.

    Fields:
        values: in the dtype of the product.
        largest: `[..., 1]`, wide.
        label: class number of the target; for targets of classes, of the largest.
        known: whether there is such a class.
        wanted: the targets for each class, smoothed; True at the label for class numbers.
        mass: `[..., 1]`, the sum of the targets.
        ranks: see `Pieces`.
    """

    values: Array
    largest: Array
    label: Array
    known: Array
    wanted: Array
    mass: Array
    ranks: bool

    @classmethod
    def of(cls, pieces: Pieces, factors: _Factors, targets: Array) -> _Logits:
        inputs, kernel, bias = factors
        values = jnp.einsum("btd,dv->btv", inputs, kernel)
        if bias is not None:
            values = values + bias[None, None]
        wide, number = _wide(values), values.shape[-1]
        largest = jnp.max(values, -1, keepdims=True).astype(wide)
        if pieces.classes.sparse:
            label, known = targets, (targets >= 0) & (targets < number)
            wanted, mass = _numbers(values) == targets[..., None].astype(jnp.int32), 1.0
        else:
            label, known = jnp.argmax(targets, -1), jnp.ones(targets.shape[:-1], bool)
            wanted, smoothing = targets.astype(wide), pieces.classes.smoothing
            if smoothing:
                wanted = wanted * (1 - smoothing) + smoothing / number
            mass = jnp.sum(wanted, -1, keepdims=True)
        mass = jnp.broadcast_to(jnp.asarray(mass, wide), largest.shape)
        return cls(values, largest, label, known, wanted, mass, pieces.ranks)

    def exponentials(self) -> Array:
        """Returns what the softmax divides by its sum."""
        return jnp.exp(self.values.astype(self.largest.dtype) - self.largest)

    def scores(self, summed: Array) -> Scores:
        """Returns the scores, given the sum of the exponentials `[..., 1]`."""
        largest, wide = self.largest[..., 0], self.largest.dtype
        numbers, label = _numbers(self.values), self.label[..., None].astype(jnp.int32)
        lowest = jnp.asarray(-jnp.inf, self.values.dtype)
        own = jnp.max(jnp.where(numbers == label, self.values, lowest), -1).astype(wide)
        before = jnp.max(jnp.where(numbers < label, self.values, lowest), -1).astype(wide)
        best = self.known & (own >= largest) & (before < largest)
        logarithm = jnp.log(summed[..., 0]) + largest
        if self.wanted.dtype == bool:
            loss = jnp.where(self.known, logarithm - own, 0)
        else:
            wanted = jnp.sum(self.wanted * self.values.astype(wide), -1)
            loss = logarithm * self.mass[..., 0] - wanted
        above = jnp.zeros(best.shape, jnp.int32)
        if self.ranks:
            above = jnp.sum(self.values.astype(wide) > own[..., None], -1, dtype=jnp.int32)
        return Scores(loss, best, above)


def _over_pieces(piece: Any, carry: Any, xs: Any) -> Any:
    """Returns what `jax.lax.scan` does; a single piece needs no loop."""
    if jax.tree.leaves(xs)[0].shape[0] > 1:
        return jax.lax.scan(piece, carry, xs)
    carry, found = piece(carry, jax.tree.map(lambda x: x[0], xs))
    return carry, jax.tree.map(lambda x: x[None], found)


def _weighed(values: Array, weights: Array) -> Array:
    """Returns the weighted sum; a value without weight may be infinite."""
    return jnp.sum(jnp.where(weights == 0, 0, values) * weights)


def _product(equation: str, a: Array, b: Array, wide: Any) -> Array:
    """Returns a product summed in `wide`."""
    if a.dtype == jnp.float16 and platform() == "cpu":  # which has no such products
        a, b = a.astype(wide), b.astype(wide)
    return jnp.einsum(equation, a, b, preferred_element_type=wide)


def _numbers(values: Array) -> Array:
    return jax.lax.broadcasted_iota(jnp.int32, values.shape, values.ndim - 1)


def _wide(values: Array) -> Any:
    return wide_dtype(values.dtype)
