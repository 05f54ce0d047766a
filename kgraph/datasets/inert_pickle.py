"""Reading pickled dicts of arrays without running anything that the file names.

The CIFAR archives hold pickles written by Python 2. Unpickling means importing and calling what
the file says, so here the three names that a pickled array needs are met by inert classes that only
keep their arguments, and every other name is refused. NumPy itself is never called by the pickle.
"""

from __future__ import annotations

import io
import math
import pickle
from typing import Any

import numpy as np

from kgraph.errors import DataError


class _Kept:
    """Stands for an array or a dtype: remembers what the file calls it with."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _KeptArray(_Kept):
    pass


class _KeptDType(_Kept):
    pass


def _reconstruct(*arguments: Any) -> _KeptArray:
    return _KeptArray(*arguments)


_STAND_INS = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _KeptArray,
    ("numpy", "dtype"): _KeptDType,
}


class _InertUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise pickle.UnpicklingError(f"the file asks for {module}.{name}")
        return _STAND_INS[module, name]


def load_arrays(contents: bytes, where: str) -> dict[str, Any]:
    """Returns the dict that a pickle holds: lists and numbers as they are, uint8 arrays as arrays.

    Args:
        contents: the pickle.
        where: what to call it in messages.

    Raises:
        DataError: if it names anything but arrays, or is not such a dict.
    """
    try:
        found = _InertUnpickler(io.BytesIO(contents), encoding="bytes").load()
        return {_text(key): _thawed(value) for key, value in found.items()}
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise DataError(
            f"{where} is not a pickled dict of plain data and arrays, and was not read",
            expected="numbers, strings, lists and uint8 arrays",
            received=f"{type(error).__name__}: {error}",
        ) from error


def load_lists(contents: bytes, where: str) -> list[list[int]]:
    """Returns the lists of whole numbers in a pickled array of lists.

    Args:
        contents: the pickle.
        where: what to call it in messages.

    Raises:
        DataError: if it is anything else.
    """
    try:
        found = _InertUnpickler(io.BytesIO(contents), encoding="bytes").load()
        lists = found.state[-1]
        if not all(type(item) is list for item in lists):
            raise ValueError("not an array of lists")
        if not all(type(number) is int for item in lists for number in item):
            raise ValueError("not lists of whole numbers")
        return lists
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise DataError(
            f"{where} is not a pickled array of lists, and was not read",
            expected="lists of whole numbers",
            received=f"{type(error).__name__}: {error}",
        ) from error


def _text(key: Any) -> str:
    return key.decode() if isinstance(key, bytes) else str(key)


def _thawed(value: object) -> Any:
    if not isinstance(value, _KeptArray):
        return value
    _, shape, dtype, column_major, data = value.state
    if _text(dtype.arguments[0]) != "u1" or len(data) != math.prod(shape):
        raise ValueError(f"an array of type {dtype.arguments[0]!r} and shape {shape}")
    return np.frombuffer(data, np.uint8).reshape(shape, order="F" if column_major else "C")
