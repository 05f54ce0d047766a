"""The state of somebody's iterator as plain data: JSON, with bytes and arrays written as text."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from kgraph.errors import DataError

_BYTES, _ARRAY, _TENSOR = "base64", "array", "torch"


class Place(NamedTuple):
    """How something that is iterated tells where it is, and goes there."""

    get: Callable[[], Any]
    set: Callable[[Any], Any]


def place_of(*holders: object) -> Place | None:
    """Returns the methods of the first that knows its place: as grain's do, or as torch's."""
    for holder in holders:
        for get, put in (("get_state", "set_state"), ("state_dict", "load_state_dict")):
            if hasattr(holder, get) and hasattr(holder, put):
                return Place(getattr(holder, get), getattr(holder, put))
    return None


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
    if type(state).__module__ == "torch":  # the state of a generator
        return {_TENSOR: encode_state(np.asarray(state))}
    if isinstance(state, np.ndarray) and not state.dtype.hasobject:
        return {_ARRAY: [state.dtype.str, list(state.shape), encode_state(state.tobytes())]}
    if isinstance(state, np.generic):
        return state.item()
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
        if set(state) == {_ARRAY}:
            dtype, shape, data = state[_ARRAY]
            return np.frombuffer(decode_state(data), dtype).reshape(shape).copy()
        if set(state) == {_TENSOR}:
            import torch  # pyright: ignore[reportMissingImports]  # who wrote it has it

            return torch.from_numpy(decode_state(state[_TENSOR]))
        return {key: decode_state(value) for key, value in state.items()}
    return [decode_state(value) for value in state] if isinstance(state, list) else state


def is_place_for_all(state: object) -> bool:
    """Tells whether an encoded state says where all processes are, each with rows of its own.

    So does that of grain's `ElasticIterator`, and of any that counts rows as it does: those
    that all processes have read together. So does `IndexedSource.get_position`.
    """
    return isinstance(state, dict) and set(state) in ({"global_next_index"}, {"epoch", "ended"})
