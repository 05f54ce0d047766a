"""Work: the arithmetic of one call, and what it leaves in memory for the backward pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

import jax.numpy as jnp

from kgraph.graph.node import TensorSpec

Need: TypeAlias = Literal["never", "for weights", "always"]


@dataclass(frozen=True, slots=True)
class Work:
    """What one call of a layer costs. Additions, multiplications and functions count one each.

    Fields:
        forward: FLOPs of the call.
        through: FLOPs of the backward pass that any gradient needs (activations, recurrences).
        to_inputs: further FLOPs for the gradients of the inputs.
        to_weights: further FLOPs for the gradients of the weights.
        keeps: bytes, beside inputs and outputs, that the backward pass reads.
        needs_inputs: whether it reads the inputs: "never", "for weights" or "always".
        needs_outputs: whether it reads the outputs.
    """

    forward: int = 0
    through: int = 0
    to_inputs: int = 0
    to_weights: int = 0
    keeps: int = 0
    needs_inputs: Need = "never"
    needs_outputs: bool = False

    def __add__(self, other: Work) -> Work:
        """Returns the work of one after the other, on the inputs of the first."""
        numbers = [f.name for f in fields(self) if f.name not in ("needs_inputs", "needs_outputs")]
        summed = {name: getattr(self, name) + getattr(other, name) for name in numbers}
        needs: Need = _NEEDS[max(map(_NEEDS.index, (self.needs_inputs, other.needs_inputs)))]
        return Work(
            **summed,
            needs_inputs=needs,
            needs_outputs=self.needs_outputs or other.needs_outputs,
        )

    def backward(self, inputs: bool, weights: bool) -> int:
        """Returns the FLOPs of the backward pass, for the gradients that are wanted."""
        if not (inputs or weights):
            return 0
        return self.through + self.to_inputs * inputs + self.to_weights * weights


_NEEDS: tuple[Need, ...] = ("never", "for weights", "always")

Specs: TypeAlias = Sequence[TensorSpec]
"""Shapes and dtypes of inputs or outputs; all sizes are numbers."""

Rule: TypeAlias = Callable[[Any, Specs, Specs], Work | None]
"""From a layer, its inputs and its outputs; None where the rule does not hold."""


def sizes(spec: TensorSpec) -> tuple[int, ...]:
    """Returns the shape of a spec without unknown sizes."""
    return tuple(int(size) for size in spec.dims)


def elements(spec: TensorSpec) -> int:
    """Returns the number of scalars."""
    return math.prod(sizes(spec))


def item_bytes(spec: TensorSpec) -> int:
    """Returns the bytes of one scalar; 0 for keys and other values without a size in memory."""
    try:
        return jnp.dtype(spec.dtype).itemsize
    except TypeError:
        return 0


def nbytes(spec: TensorSpec) -> int:
    """Returns the bytes of a tensor."""
    return elements(spec) * item_bytes(spec)
