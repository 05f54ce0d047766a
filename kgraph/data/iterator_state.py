"""The state of somebody's iterator as plain data: JSON, with bytes written as text."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from kgraph.errors import DataError

_BYTES = "base64"


def encode_state(state: Any) -> Any:
    """Returns what `get_state()` gave as JSON types.

    Raises:
        DataError: it is something that JSON has no form for.

    >>> decode_state(encode_state({"at": b"12", "epoch": 3}))
    {'at': b'12', 'epoch': 3}
    """
    if isinstance(state, bytes):
        return {_BYTES: base64.b64encode(state).decode("ascii")}
    if isinstance(state, Mapping):
        return {str(key): encode_state(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return [encode_state(value) for value in state]
    if hasattr(state, "tolist"):
        return state.tolist()
    if state is None or isinstance(state, (bool, int, float, str)):
        return state
    raise DataError(
        "The position of the data cannot be written down",
        expected="a get_state() of numbers, strings, bytes, lists and dicts",
        received=type(state).__name__,
    )


def decode_state(state: Any) -> Any:
    """Returns what `encode_state` was given; tuples come back as lists."""
    if isinstance(state, dict):
        if set(state) == {_BYTES}:
            return base64.b64decode(state[_BYTES])
        return {key: decode_state(value) for key, value in state.items()}
    return [decode_state(value) for value in state] if isinstance(state, list) else state
