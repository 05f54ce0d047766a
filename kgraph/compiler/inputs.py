"""Puts the user's inputs in the order of the graph, and checks them against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from kgraph.errors import DataError, nearest
from kgraph.graph.dims import show_dims, split_multiple
from kgraph.graph.graph import Graph
from kgraph.graph.node import TensorSpec
from kgraph.graph.structure import Slot, is_structure, leaves
from kgraph.types import Array, Tree


def arrange_inputs(graph: Graph, inputs: Tree) -> list[Any]:
    """Returns the inputs as a list in the order of `graph.inputs`.

    Names are the only key of a dict: those of the inputs, or the keys of the dict that the model
    was made with. Nothing is paired by sorted order.
    """
    names = graph.input_names
    if isinstance(inputs, Mapping):
        return _by_name(graph, inputs)
    if not is_structure(inputs):
        inputs = [inputs]
    flat = list(leaves(inputs))
    if len(flat) != len(names):
        raise DataError(
            f"The model takes {len(names)} inputs", expected=", ".join(names),
            received=f"{len(flat)} arrays",
        )  # fmt: skip
    return flat


def _by_name(graph: Graph, inputs: Mapping[str, Any]) -> list[Any]:
    names = list(graph.input_names)
    keys = names
    structure = graph.input_structure
    if isinstance(structure, dict) and set(inputs) != set(names):
        slots = {key: slot for key, slot in structure.items() if isinstance(slot, Slot)}
        keys = [key for key, _ in sorted(slots.items(), key=lambda item: item[1].index)]
    unknown = [key for key in inputs if key not in keys]
    missing = [key for key in keys if key not in inputs]
    optional = [
        name for name in missing
        if name in graph.layers and graph.layers[name].config.get("optional")
    ]  # fmt: skip
    if unknown or set(missing) - set(optional):
        raise DataError(
            "The inputs do not have the names of the model's inputs",
            expected=", ".join(map(repr, keys)),
            received=", ".join(map(repr, inputs)),
            hint=nearest(unknown[0], missing or keys) if unknown else f"missing: {missing}",
        )
    return [inputs.get(key) for key in keys]


def conform(graph: Graph, arrays: Sequence[Any]) -> list[Array]:
    """Returns the arrays in the dtype and rank of the inputs.

    A last axis of size 1 may be missing or extra, as in Keras. A size with a name must be the same
    wherever the name occurs, and `"16*height"` a multiple of 16.

    Raises:
        DataError: a rank or a size is wrong.
    """
    sizes: dict[str, tuple[Any, str]] = {}
    made: list[Any] = []  # arrays, and None for what is optional and missing
    for name, ref, array in zip(graph.input_names, graph.inputs, arrays):
        spec = graph.spec(ref)
        if array is None:
            if not graph.layers[name].config.get("optional"):
                raise DataError(f"The input {name!r} is missing", expected=str(spec))
            made.append(array)
            continue
        array = _fit_rank(name, spec, array)
        for size, dim in zip(array.shape, spec.dims):
            why = _misfit(name, size, dim, sizes)
            if why is not None:
                raise DataError(
                    f"The input {name!r} has the wrong size{why}",
                    expected=show_dims(spec.dims),
                    received=str(list(array.shape)),
                )
        made.append(array if array.dtype == spec.dtype else jnp.asarray(array, dtype=spec.dtype))
    return made


def _misfit(name: str, size: Any, dim: int | str, sizes: dict[str, tuple[Any, str]]) -> str | None:
    """Returns why a size does not fit its dimension (None if it does), and notes named sizes.

    Sizes that are themselves symbolic, while shapes are inferred, are left to JAX.
    """
    if not isinstance(size, int):
        return None
    if isinstance(dim, int):
        return None if size == dim else ""
    factor, symbol = split_multiple(dim)
    if not symbol.isidentifier():
        return None
    if size % factor:
        return f" ({size} is no multiple of {factor})"
    known, other = sizes.setdefault(symbol, (size // factor, name))
    if known != size // factor:
        return f" ({symbol!r} is {known} in {other!r})"
    return None


def _fit_rank(name: str, spec: TensorSpec, array: Any) -> Array:
    if not hasattr(array, "shape") or not hasattr(array, "dtype"):
        array = jnp.asarray(array)
    rank = len(spec.dims)
    if array.ndim == rank + 1 and array.shape[-1] == 1:
        return array.reshape(array.shape[:-1])
    if array.ndim == rank - 1 and spec.dims[-1] == 1:
        return array.reshape((*array.shape, 1))
    if array.ndim != rank:
        raise DataError(
            f"The input {name!r} has the wrong number of axes",
            expected=show_dims(spec.dims),
            received=str(list(array.shape)),
            hint="a single sample needs a batch axis: x[None]" if array.ndim == rank - 1 else None,
        )
    return array
