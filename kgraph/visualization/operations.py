"""What operations are called in drawings: `tanh`, `x + y`, `x * 2`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kgraph.graph import Node
from kgraph.graph.structure import Slot

_BINARY = {
    "add": "+", "subtract": "-", "multiply": "*", "true_divide": "/", "floor_divide": "//",
    "mod": "%", "power": "**", "matmul": "@", "logical_and": "&", "logical_or": "|",
    "logical_xor": "^", "less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">=",
    "equal": "==", "not_equal": "!=",
}  # fmt: skip
_UNARY = {"negative": "-x", "absolute": "|x|", "logical_not": "~x", "getitem": "x[...]"}
_LETTERS = "xyz"


def operation_title(function: str, calls: Sequence[Node]) -> str:
    """Returns what a function of `kgraph.ops` does, by its first call where it is an operator."""
    if function in _UNARY:
        return _UNARY[function]
    args = calls[0].args if calls else ()
    sign = _BINARY.get(function)
    return function if sign is None or len(args) != 2 else f" {sign} ".join(map(_shown, args))


def _shown(value: Any) -> str:
    """Returns an operand: a letter for a tensor, a number as it is."""
    if isinstance(value, Slot):
        return _LETTERS[value.index]
    return f"{value:g}" if isinstance(value, (int, float)) else "c"
