"""The public names that Keras keeps under `keras.backend`."""

from collections import Counter

from kgraph.config import (
    backend,
    epsilon,
    floatx,
    image_data_format,
    set_epsilon,
    set_floatx,
    set_image_data_format,
)
from kgraph.utils.dtypes import is_float_dtype, is_int_dtype, result_type, standardize_dtype
from kgraph.utils.session import clear_session
from kgraph.utils.symbols import is_keras_tensor

_counts: Counter[str] = Counter()


def get_uid(prefix: str = "") -> int:
    """Returns 1, 2, 3, ... for each prefix. kgraph itself numbers nothing by it.

    >>> get_uid("example"), get_uid("example"), get_uid("other example")
    (1, 2, 1)
    """
    _counts[prefix] += 1
    return _counts[prefix]


__all__ = [
    "backend", "clear_session", "epsilon", "floatx", "get_uid", "image_data_format",
    "is_float_dtype", "is_int_dtype", "is_keras_tensor", "result_type", "set_epsilon",
    "set_floatx", "set_image_data_format", "standardize_dtype",
]  # fmt: skip
