"""JSON with limits: what is written can be read back, and nothing else is accepted."""

from __future__ import annotations

import json
import math
from typing import Any

from kgraph.errors import ConfigError

MAX_BYTES = 64 * 2**20
MAX_VALUES = 4_000_000
"""An empty list of 3 bytes takes 90 in memory: 64 MiB of such would be 2 GB."""
MAX_DEPTH = 64
MAX_INTEGER = 2**53 - 1  # what every reader of JSON keeps exactly


def encode(value: object, what: str) -> bytes:
    """Returns plain data as JSON bytes.

    Raises:
        ConfigError: `decode` would refuse it.
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    try:
        decode(text.encode())
    except ValueError as error:
        raise ConfigError(f"{what} cannot be written to a file: {error}") from None
    return text.encode()


def decode(data: bytes) -> Any:
    """Returns what JSON bytes say.

    Raises:
        ValueError: they are no strict JSON: not UTF-8, a key twice, NaN, a number or a nesting or a
            text beyond the limits.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes of JSON")
    if sum(map(data.count, (b",", b":", b"[", b"{"))) > MAX_VALUES:
        raise ValueError(f"more than {MAX_VALUES} values")
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_distinct,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_bounded,
        )
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_DEPTH}") from None
    _check_depth(value)
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return found


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _bounded(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > MAX_INTEGER:
        raise ValueError("a whole number is too large")
    return int(text)


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        outer = [item for item in level if isinstance(item, (dict, list))]
        if not outer:
            return
        level = [item for v in outer for item in (v.values() if isinstance(v, dict) else v)]
    raise ValueError(f"nested deeper than {MAX_DEPTH}")
