"""Computes expressions of sizes, such as `"floordiv(time - 4, 2) - 1"`, from named sizes.

JAX has the same arithmetic, and forgets the conditions on sizes when an export is written to bytes.

    size = whole number | name | -size | size + size | size - size | size * size | size ^ number
           | floordiv(size, size) | mod(size, size) | max(size, size) | min(size, size)

The text is that of JAX's symbolic dimensions. Python's parser reads it, with `^` as `**`, and only
the forms above are computed, with limits on length, powers and values: a file may hold any text.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping

from kgraph.graph.dims import split_multiple

_OPERATORS: dict[type, Callable[[int, int], int]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
}  # fmt: skip
_FUNCTIONS: dict[str, Callable[[int, int], int]] = {
    "floordiv": operator.floordiv, "mod": operator.mod, "max": max, "min": min,
}  # fmt: skip
_LONGEST, _HIGHEST_POWER = 500, 8
_LARGEST = 2**256  # powers of powers have more digits than any memory holds


def is_size(text: object) -> bool:
    """Tells whether `compute` can compute a text, when all of its names are known."""
    if not isinstance(text, str) or not 0 < len(text) <= _LONGEST:
        return False
    try:
        compute(text, _One())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return False
    return True


def compute(text: str, sizes: Mapping[str, int]) -> int | None:
    """Returns the value of an expression; None if a name is not in `sizes`, or it divides by 0.

    Raises:
        ValueError, SyntaxError: it is no expression of sizes.

    >>> compute("floordiv(time - 4, 2) - 1", {"time": 20})
    7
    """
    try:
        return _value(ast.parse(text.replace("^", "**"), mode="eval").body, sizes)
    except (KeyError, ZeroDivisionError):
        return None


def is_multiple(text: str) -> bool:
    """Tells whether a text is like `"time"` or `"16*height"`: a name and perhaps a factor."""
    return split_multiple(text)[1].isidentifier()


def solve(text: str, size: int) -> tuple[str, int] | None:
    """Returns name and value of the unknown in a multiple of this size.

    None for other expressions, and for a size that is no multiple.
    """
    factor, name = split_multiple(text)
    return (name, size // factor) if is_multiple(text) and size % factor == 0 else None


class _One(dict[str, int]):
    def __missing__(self, name: str) -> int:
        return 1


def _value(node: ast.AST, sizes: Mapping[str, int]) -> int:
    found = _unbounded(node, sizes)
    if abs(found) > _LARGEST:
        raise ValueError("a size that is too large")
    return found


def _unbounded(node: ast.AST, sizes: Mapping[str, int]) -> int:
    match node:
        case ast.Constant(value=int() as number):
            return int(number)
        case ast.Name(id=name):
            return sizes[name]
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -_value(inner, sizes)
        case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=int() as power)):
            if not 0 <= power <= _HIGHEST_POWER:
                raise ValueError("a power that is too high")
            return _value(left, sizes) ** power
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left, sizes), _value(right, sizes))
        case ast.Call(func=ast.Name(id=name), args=[one, other], keywords=[]) if name in _FUNCTIONS:
            return _FUNCTIONS[name](_value(one, sizes), _value(other, sizes))
    raise ValueError("no expression of sizes")
