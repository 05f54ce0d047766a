"""Sizes as numbers: the expressions of a graph, evaluated."""

from __future__ import annotations

import ast
import operator
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from kgraph.checks import is_whole
from kgraph.errors import ConfigError, nearest
from kgraph.graph.dims import BATCH, dim_names, split_multiple
from kgraph.graph.graph import Graph
from kgraph.graph.node import Ref, TensorSpec
from kgraph.types import Dims

_OPERATORS = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Pow: operator.pow,
    ast.USub: operator.neg,
}  # fmt: skip
_FUNCTIONS = {"floordiv": operator.floordiv, "mod": operator.mod, "max": max, "min": min}


def known_sizes(
    graph: Graph, batch_size: int, sizes: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Returns a number for each unknown size of a graph's inputs.

    Args:
        graph: the graph.
        batch_size: the size called "batch".
        sizes: the others, by name (`{"time": 128}`), or by input and axis (`{"title[1]": 128}`)
            where they have none.

    Raises:
        ConfigError: a size is missing, unknown or no positive number.
    """
    given = {BATCH: batch_size, **(sizes or {})}
    for key, size in given.items():
        if not is_whole(size, least=1):
            raise ConfigError(f"The size {key!r} is at least 1", received=repr(size))
    keys = unknown_sizes(graph)
    lacking = [key for key in keys.values() if key not in given]
    for key in sizes or {}:
        if key not in keys.values():
            raise ConfigError(
                f"The model has no size {key!r}", expected=", ".join(keys.values()) or "nothing",
                received=repr(dict(sizes or {})), hint=nearest(key, keys.values()),
            )  # fmt: skip
    if lacking:
        raise ConfigError(
            "Costs need a number for every size", expected=", ".join(map(repr, lacking)),
            received=repr(dict(sizes or {})),
            hint="sizes={" + ", ".join(f"{key!r}: 128" for key in lacking) + "}",
        )  # fmt: skip
    return {name: given[key] for name, key in keys.items()}


def abstract_arrays(
    graph: Graph, refs: Iterable[Ref], rows: int, sizes: Mapping[str, int] | None = None
) -> list[jax.ShapeDtypeStruct]:
    """Returns what tensors of a graph look like as arrays, for a batch of so many rows.

    Raises:
        ConfigError: see `known_sizes`.
    """
    values = known_sizes(graph, rows, sizes)
    specs = (with_sizes(graph.spec(ref), values) for ref in refs)
    return [jax.ShapeDtypeStruct(tuple(map(int, s.dims)), jnp.dtype(s.dtype)) for s in specs]


def unknown_sizes(graph: Graph) -> dict[str, str]:
    """Returns the unknowns of a graph's inputs, each with the key by which a user gives it."""
    found: dict[str, str] = {}
    for name, ref in zip(graph.input_names, graph.inputs):
        for axis, dim in enumerate(graph.spec(ref).dims):
            for unknown in dim_names([dim]):
                key = f"{name}[{axis}]" if unknown.startswith("_") else unknown
                found.setdefault(unknown, key)
    return found


def bind_sizes(specs: Iterable[tuple[TensorSpec, TensorSpec]]) -> dict[str, int]:
    """Returns the unknowns of a nested graph's inputs, from what they are fed."""
    found: dict[str, int] = {}
    for own, given in specs:
        for dim, size in zip(own.dims, given.dims):
            if isinstance(dim, str):
                factor, name = split_multiple(dim)
                found.setdefault(name, int(size) // factor)
    return found


def with_sizes(spec: TensorSpec, values: Mapping[str, int]) -> TensorSpec:
    """Returns the spec with numbers for all sizes."""
    dims: Dims = tuple(d if isinstance(d, int) else _evaluate(d, values) for d in spec.dims)
    return TensorSpec(dims, spec.dtype)


def _evaluate(text: str, values: Mapping[str, int]) -> int:
    """Returns the number that an expression such as `"2*time - 2"` stands for."""

    def visit(node: ast.AST) -> Any:
        match node:
            case ast.Expression():
                return visit(node.body)
            case ast.Constant():
                return node.value
            case ast.Name():
                return values[node.id]
            case ast.BinOp():
                return _OPERATORS[type(node.op)](visit(node.left), visit(node.right))
            case ast.UnaryOp():
                return _OPERATORS[type(node.op)](visit(node.operand))
            case ast.Call(func=ast.Name(id=name)):
                return _FUNCTIONS[name](*map(visit, node.args))
        raise ConfigError(f"The size {text!r} cannot be computed")

    return int(visit(ast.parse(text.replace("^", "**"), mode="eval")))
