"""Unsigned 64-bit numbers as pairs of 32-bit ones: JAX has no others unless x64 is switched on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.types import Array

_HALF = 0xFFFF
_WHOLE = 0xFFFFFFFF


@dataclass(frozen=True)
class Words:
    """An array of 64-bit numbers, with the operators of a NumPy array of uint64.

    The right operand may be a Python int.

    Attributes:
        high, low: uint32 arrays of one shape.
    """

    high: Array
    low: Array

    @staticmethod
    def full(value: int, like: Array) -> Words:
        """Returns an array of one number, in the shape of another array."""
        return Words(
            jnp.full_like(like, value >> 32, jnp.uint32),
            jnp.full_like(like, value & _WHOLE, jnp.uint32),
        )

    @staticmethod
    def of(numbers: Array) -> Words:
        """Returns integers as 64-bit numbers, negative ones as their two's complement."""
        if numbers.dtype.itemsize == 8:
            return Words((numbers >> 32).astype(jnp.uint32), numbers.astype(jnp.uint32))
        negative = numbers < 0
        signed = jnp.issubdtype(numbers.dtype, jnp.signedinteger)
        low = (numbers.astype(jnp.int32) if signed else numbers).astype(jnp.uint32)
        return Words(jnp.where(negative, jnp.uint32(_WHOLE), jnp.uint32(0)), low)

    def __add__(self, other: Words | int) -> Words:
        high, low = _parts(other)
        total = self.low + low
        return Words(self.high + high + (total < self.low).astype(jnp.uint32), total)

    def __mul__(self, other: Words | int) -> Words:
        high, low = _parts(other)
        above, product = _full_product(self.low, low)
        return Words(above + self.high * low + self.low * high, product)

    def __xor__(self, other: Words | int) -> Words:
        high, low = _parts(other)
        return Words(self.high ^ high, self.low ^ low)

    def __or__(self, other: Words | int) -> Words:
        high, low = _parts(other)
        return Words(self.high | high, self.low | low)

    def __lshift__(self, bits: int) -> Words:
        if bits >= 32:
            return Words(_left(self.low, bits - 32), jnp.zeros_like(self.low))
        return Words(_left(self.high, bits) | _right(self.low, 32 - bits), _left(self.low, bits))

    def __rshift__(self, bits: int) -> Words:
        if bits >= 32:
            return Words(jnp.zeros_like(self.high), _right(self.high, bits - 32))
        return Words(_right(self.high, bits), _right(self.low, bits) | _left(self.high, 32 - bits))

    def __mod__(self, divisor: int) -> Array:
        """Returns the remainders as uint32; the divisor is below 2**31."""
        if divisor <= _HALF + 1:
            rest = jnp.zeros_like(self.low)
            for word in (self.high, self.low):
                rest = ((rest << 16) | (word >> 16)) % divisor
                rest = ((rest << 16) | (word & _HALF)) % divisor
            return rest

        def add_bit(i: Array, rest: Array) -> Array:
            word = jnp.where(i < 32, self.high, self.low)
            bit = (word >> (31 - i % 32).astype(jnp.uint32)) & 1
            rest = rest * 2 + bit
            return jnp.where(rest >= divisor, rest - divisor, rest)

        return jax.lax.fori_loop(0, 64, add_bit, jnp.zeros_like(self.low))


def choose(condition: Any, one: Any, other: Any) -> Any:
    """Returns `one` where a condition (an array, or a plain bool) holds, `other` elsewhere."""
    if isinstance(condition, bool):
        return one if condition else other
    return Words(
        jnp.where(condition, one.high, other.high), jnp.where(condition, one.low, other.low)
    )


def rotate(x: Any, bits: int) -> Any:
    """Rotates 64-bit numbers to the right."""
    return (x >> bits) | (x << (64 - bits))


def _parts(other: Words | int) -> tuple[Any, Any]:
    if isinstance(other, Words):
        return other.high, other.low
    return np.uint32(other >> 32), np.uint32(other & _WHOLE)


def _left(x: Array, bits: int) -> Array:
    return x if bits == 0 else x << bits


def _right(x: Array, bits: int) -> Array:
    return x if bits == 0 else x >> bits


def _full_product(x: Array, y: Array) -> tuple[Array, Array]:
    """Returns both halves of the product of 32-bit numbers, from products of 16-bit ones."""
    x_high, x_low, y_high, y_low = x >> 16, x & _HALF, y >> 16, y & _HALF
    first = x_high * y_low + ((x_low * y_low) >> 16)
    second = x_low * y_high + (first & _HALF)
    return x_high * y_high + (first >> 16) + (second >> 16), x * y
