"""The states of callbacks as plain data and arrays apart, for a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_ARRAY = "array number"


def split_arrays(state: Any) -> tuple[Any, list[np.ndarray]]:
    """Returns the state with its arrays replaced by their numbers, and the arrays."""
    arrays: list[np.ndarray] = []

    def plain(item: Any) -> Any:
        if isinstance(item, dict):
            return {str(key): plain(value) for key, value in item.items()}
        if isinstance(item, (list, tuple)):
            return [plain(value) for value in item]
        if isinstance(item, np.generic):
            return item.item()
        if hasattr(item, "dtype") and hasattr(item, "shape"):
            arrays.append(np.asarray(item))
            return {_ARRAY: len(arrays) - 1}
        return item

    return plain(state), arrays


def join_arrays(plain: Any, arrays: Sequence[np.ndarray]) -> Any:
    """Returns what `split_arrays` was given."""
    if isinstance(plain, dict):
        if set(plain) == {_ARRAY}:
            return arrays[plain[_ARRAY]]
        return {key: join_arrays(value, arrays) for key, value in plain.items()}
    if isinstance(plain, list):
        return [join_arrays(value, arrays) for value in plain]
    return plain


def like_arrays(specs: Sequence[Any]) -> list[Any]:
    """Returns shapes and dtypes as a template to restore arrays by."""
    return [np.empty(tuple(shape), dtype) for shape, dtype in specs]
