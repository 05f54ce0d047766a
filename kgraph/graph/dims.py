"""Sizes of axes: a whole number, or the text of an expression in named unknowns.

The graph keeps an unknown size as text such as `"batch"` or `"time - 2"`. Its algebra belongs to
JAX (`layers/symbolic.py`); here text is only compared, renamed and shown.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping

from kgraph.checks import is_whole
from kgraph.errors import GraphError
from kgraph.types import Dims, Shape

BATCH = "batch"
_WORD = re.compile(r"[A-Za-z_]\w*")
_FUNCTIONS = frozenset({"floordiv", "mod", "max", "min"})
_MULTIPLE = re.compile(r"([1-9]\d*)\*([A-Za-z]\w*)")
_numbers = itertools.count()


def fresh_dim() -> str:
    """Returns a new name for a size that nobody named. (Fixed width: names sort by age.)"""
    return f"_{next(_numbers):09d}"


def make_dims(shape: Iterable[int | str | None], what: str) -> Dims:
    """Returns the exact form of a user's shape: None becomes a fresh name, a name stays."""
    dims: list[int | str] = []
    for size in shape:
        if size is None:
            dims.append(fresh_dim())
        elif isinstance(size, str):
            dims.append(_named(size, what))
        elif is_whole(size, least=0):
            dims.append(int(size))
        else:
            raise GraphError(
                f"{what} has a size that is no size",
                expected="a whole number of at least 0, None, or a name for an unknown size",
                received=repr(size),
            )
    return tuple(dims)


def _named(size: str, what: str) -> str:
    """Returns a name such as `"time"`, or a multiple of one such as `"16*height"`."""
    name = split_multiple(size)[1]
    if not name.isidentifier() or name.startswith("_") or name in (BATCH, *_FUNCTIONS):
        raise GraphError(
            f"{what} has a size that is no usable name",
            expected="a Python identifier without a leading underscore, not 'batch'; "
            "or a multiple of one, such as '16*height'",
            received=repr(size),
        )
    return size


def split_multiple(size: str) -> tuple[int, str]:
    """Returns factor and name: `"16*height"` gives 16 and `"height"`, `"time"` gives 1 and itself.

    >>> split_multiple("16*height"), split_multiple("time")
    ((16, 'height'), (1, 'time'))
    """
    found = _MULTIPLE.fullmatch(size)
    return (int(found[1]), found[2]) if found else (1, size)


def public_shape(dims: Dims) -> Shape:
    """Returns the shape as Keras shows it: None for every size that is not a number."""
    return tuple(size if isinstance(size, int) else None for size in dims)


def dim_names(dims: Iterable[int | str]) -> list[str]:
    """Returns the unknowns that occur in a shape, in order of appearance."""
    words = (word for d in dims if isinstance(d, str) for word in _WORD.findall(d))
    return list(dict.fromkeys(word for word in words if word not in _FUNCTIONS))


def unnamed_dims(dims: Iterable[int | str]) -> list[str]:
    """Returns the unknowns of a shape that nobody named."""
    return [name for name in dim_names(dims) if name.startswith("_")]


def rename_dims(dims: Dims, names: Mapping[str, str]) -> Dims:
    """Returns the shape with its unknowns renamed."""
    if not any(isinstance(d, str) for d in dims):
        return dims
    return tuple(
        d if isinstance(d, int) else _WORD.sub(lambda m: names.get(m[0], m[0]), d) for d in dims
    )


def show_dims(dims: Dims) -> str:
    """Returns a shape for messages: `[batch, time, 64]`, with `?` for what nobody named."""
    return "[" + ", ".join(re.sub(r"\b_\d+\b", "?", str(d)) for d in dims) + "]"
