"""The hash functions of Keras' (TensorFlow's) hashing layers: stable across platforms and runs.

Each formula is written once, for NumPy's uint64 on the host and for `Words` in a graph.

Sources: FarmHash (Google), the function Fingerprint64, equal to farmhashna::Hash64; Aumasson and
Bernstein, "SipHash: a fast short-input PRF", 2012.
"""

from __future__ import annotations

from typing import Any

from kgraph.layers.preprocessing.hashed_text import Decimal, Readable
from kgraph.layers.preprocessing.words import choose, rotate

_K0 = 0xC3A5C85C97CB3127
_K1 = 0xB492B66FBE98F273
_K2 = 0x9AE16A3B2F90404F
_CROSS = 0xC6A4A7935BD1E995
_SIP = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)


def fingerprint(text: Readable) -> Any:
    """Returns FarmHash's Fingerprint64 of texts of equal length, or of numbers written out."""
    if isinstance(text, Decimal):
        found = choose(text.size < 4, _up_to_3(text), _4_to_7(text))
        found = choose(text.size < 8, found, _8_to_16(text))
        return found if text.longest <= 16 else choose(text.size <= 16, found, _17_to_32(text))
    if text.size == 0:
        return text.word(_K2)
    for limit, rule in ((3, _up_to_3), (7, _4_to_7), (16, _8_to_16), (32, _17_to_32)):
        if text.size <= limit:
            return rule(text)
    return _33_to_64(text) if text.size <= 64 else _over_64(text)


def cross(one: Any, other: Any) -> Any:
    """Returns one hash for two (TensorFlow's FingerprintCat64); their order counts."""
    found = one ^ _CROSS ^ (_mix(other * _CROSS) * _CROSS)
    return _mix(_mix(found * _CROSS) * _CROSS)


def keyed_hash(text: Readable, key: tuple[int, int]) -> Any:
    """Returns SipHash-2-4 of texts under a key of two 64-bit numbers."""
    state = tuple(text.word(constant ^ key[i % 2]) for i, constant in enumerate(_SIP))
    for i in range(text.longest // 8 + 1):
        last = text.size // 8 == i
        block = text.read(8 * i) ^ choose(last, text.length << 56, text.word(0))
        a, b, c, d = state
        a, b, c, d = _sip_rounds((a, b, c, d ^ block), 2)
        new = a ^ block, b, c, d
        inside = text.size // 8 >= i
        state = tuple(choose(inside, after, before) for after, before in zip(new, state))
    a, b, c, d = state
    a, b, c, d = _sip_rounds((a, b, c ^ 0xFF, d), 4)
    return a ^ b ^ c ^ d


def _sip_rounds(state: tuple[Any, ...], count: int) -> tuple[Any, ...]:
    a, b, c, d = state
    for _ in range(count):
        a, c = a + b, c + d
        b, d = rotate(b, 51) ^ a, rotate(d, 48) ^ c
        a = rotate(a, 32)
        a, c = a + d, c + b
        b, d = rotate(b, 47) ^ c, rotate(d, 43) ^ a
        c = rotate(c, 32)
    return a, b, c, d


def _mix(x: Any) -> Any:
    return x ^ (x >> 47)


def _hash_16(one: Any, other: Any, factor: Any) -> Any:
    a = _mix((one ^ other) * factor)
    return _mix((other ^ a) * factor) * factor


def _factor(text: Readable) -> Any:
    return (text.length << 1) + _K2


def _up_to_3(text: Readable) -> Any:
    first, middle, last = (text.read(i, 1) for i in (0, text.size >> 1, text.size - 1))
    return _mix((((middle << 8) + first) * _K2) ^ (((last << 2) + text.length) * _K0)) * _K2


def _4_to_7(text: Readable) -> Any:
    start = (text.read(0, 4) << 3) + text.length
    return _hash_16(start, text.read(text.size - 4, 4), _factor(text))


def _8_to_16(text: Readable) -> Any:
    factor = _factor(text)
    a, b = text.read(0) + _K2, text.read(text.size - 8)
    return _hash_16(rotate(b, 37) * factor + a, (rotate(a, 25) + b) * factor, factor)


def _17_to_32(text: Readable) -> Any:
    factor = _factor(text)
    a, b = text.read(0) * _K1, text.read(8)
    c, d = text.read(text.size - 8) * factor, text.read(text.size - 16) * _K2
    one, other = rotate(a + b, 43) + rotate(c, 30) + d, rotate(b + _K2, 18) + a + c
    return _hash_16(one, other, factor)


def _33_to_64(text: Readable) -> Any:
    factor = _factor(text)
    a, b = text.read(0) * _K2, text.read(8)
    c, d = text.read(text.size - 8) * factor, text.read(text.size - 16) * _K2
    y = rotate(a + b, 43) + rotate(c, 30) + d
    z = _hash_16(y, rotate(b + _K2, 18) + a + c, factor)
    e, f = text.read(16) * factor, text.read(24)
    g = (y + text.read(text.size - 32)) * factor
    h = (z + text.read(text.size - 24)) * factor
    return _hash_16(rotate(e + f, 43) + rotate(g, 30) + h, rotate(f + a, 18) + e + g, factor)


def _over_64(text: Readable) -> Any:
    x, y = text.word(81), text.word((81 * _K1 + 113) % 2**64)
    z = _mix(y * _K2 + 113) * _K2
    v = w = (text.word(0), text.word(0))
    x = x * _K2 + text.read(0)
    end = (text.size - 1) // 64 * 64
    for start in range(0, end, 64):
        x, y, z, v, w = _chunk(text, start, _K1, x, y, z, v, w, 1)
    rest = (text.size - 1) % 64
    factor = ((z & 0xFF) << 1) + _K1
    w = w[0] + rest, w[1]
    v = v[0] + w[0], v[1]
    w = w[0] + v[0], w[1]
    x, y, z, v, w = _chunk(text, end + rest - 63, factor, x, y, z, v, w, 9)
    one = _hash_16(v[0], w[0], factor) + _mix(y) * _K0 + z
    return _hash_16(one, _hash_16(v[1], w[1], factor) + x, factor)


def _chunk(
    text: Readable, start: int, factor: Any, x: Any, y: Any, z: Any, v: Any, w: Any, times: int
) -> tuple[Any, ...]:
    """Takes in 64 bytes."""
    x = rotate(x + y + v[0] + text.read(start + 8), 37) * factor
    y = rotate(y + v[1] + text.read(start + 48), 42) * factor
    x = x ^ (w[1] * times)
    y = y + v[0] * times + text.read(start + 40)
    z = rotate(z + w[0], 33) * factor
    v = _half_chunk(text, start, v[1] * factor, x + w[0])
    w = _half_chunk(text, start + 32, z + w[1], y + text.read(start + 16))
    return z, y, x, v, w


def _half_chunk(text: Readable, start: int, a: Any, b: Any) -> tuple[Any, Any]:
    first, second, third, fourth = (text.read(start + 8 * i) for i in range(4))
    a = a + first
    b = rotate(b + a + fourth, 21)
    c = a + second + third
    return c + fourth, b + rotate(c, 44) + a
