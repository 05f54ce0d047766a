"""Puts the user's inputs in the order of the graph, and checks them against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from kgraph.errors import DataError, nearest
from kgraph.graph.dims import show_dims, split_multiple
from kgraph.graph.graph import Graph
from kgraph.graph.node import TensorSpec
from kgraph.graph.structure import Slot, is_structure, leaves, slots
from kgraph.layers.base.calling import numbers_as_array
from kgraph.source import warn
from kgraph.types import Array, Tree


def arrange_inputs(graph: Graph, inputs: Tree) -> list[Any]:
    """Returns the inputs as a list in the order of `graph.inputs`.

    Names are the only key of a dict: those of the inputs, or the keys of the dict that the model
    was made with, inside of lists and dicts too. Nothing is paired by sorted order. Keys that the
    model does not have are left out, with a warning.
    """
    names, structure = graph.input_names, graph.input_structure
    if len(names) == 1 and not isinstance(inputs, (Mapping, list, tuple)):
        return [inputs]
    named = isinstance(inputs, Mapping) and set(names) <= set(inputs)
    if named or (isinstance(inputs, Mapping) and not isinstance(structure, dict)):
        structure = {name: Slot(i) for i, name in enumerate(names)}
    flat = list(leaves(inputs if is_structure(inputs) else [inputs]))
    found: dict[int, Any] = {}
    if _nests_alike(structure, inputs):
        _take(graph, structure, inputs, found)
    elif len(flat) == len(names):
        found = dict(enumerate(flat))
    else:
        raise DataError(
            f"The model takes {len(names)} inputs", expected=", ".join(names),
            received=f"{len(flat)} arrays",
        )  # fmt: skip
    return [found.get(i) for i in range(len(names))]


def _nests_alike(structure: Tree, given: Tree) -> bool:
    """Tells whether what is given can be read by the structure; dicts may have other keys."""
    if isinstance(structure, dict):
        return isinstance(given, Mapping) and all(
            _nests_alike(structure[key], item) for key, item in given.items() if key in structure
        )
    if isinstance(structure, (list, tuple)):
        if not isinstance(given, (list, tuple)) or len(given) != len(structure):
            return False
        return all(_nests_alike(one, item) for one, item in zip(structure, given))
    return not is_structure(numbers_as_array(given))


def _take(graph: Graph, structure: Any, given: Any, found: dict[int, Any]) -> None:
    """Puts what is given for each slot of the structure into `found`, by its number."""
    if isinstance(structure, Slot):
        found[structure.index] = given
    elif isinstance(structure, dict):
        _check_keys(graph, structure, given)
        for key in structure.keys() & given.keys():
            _take(graph, structure[key], given[key], found)
    else:
        for one, item in zip(structure, given):
            _take(graph, one, item, found)


def _check_keys(graph: Graph, structure: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    unknown = [key for key in given if key not in structure]
    missing = [key for key in structure if key not in given]
    needed = [slot for key in missing for slot in slots(structure[key])]
    if any(not _is_optional(graph, graph.input_names[i]) for i in needed):
        raise DataError(
            "The inputs do not have the names of the model's inputs",
            expected=", ".join(map(repr, structure)),
            received=", ".join(map(repr, given)),
            hint=nearest(unknown[0], missing) if unknown else f"missing: {missing}",
        )
    if unknown:
        warn(
            f"The model has no inputs {', '.join(map(repr, unknown))}: what the data have under "
            f"these keys is not used; it takes {', '.join(map(repr, structure))}"
        )


def _is_optional(graph: Graph, name: str) -> bool:
    return name in graph.layers and bool(graph.layers[name].config.get("optional"))


def conform(graph: Graph, arrays: Sequence[object]) -> list[Array]:
    """Returns the arrays in the dtype and rank of the inputs.

    A last axis of size 1 may be missing or extra, as in Keras. A size with a name must be the same
    wherever the name occurs, and `"16*height"` a multiple of 16. Sizes that are only those of the
    first data are not checked.

    Raises:
        DataError: a rank or a size is wrong.
    """
    sizes: dict[str, tuple[Any, str]] = {}
    made: list[Any] = []  # arrays, and None for what is optional and missing
    for name, ref, array in zip(graph.input_names, graph.inputs, arrays):
        spec = graph.spec(ref)
        if array is None:
            if not _is_optional(graph, name):
                raise DataError(f"The input {name!r} is missing", expected=str(spec))
            made.append(array)
            continue
        array = _fit_rank(name, spec, array)
        dims = () if _takes_any_size(graph, name) else spec.dims
        for size, dim in zip(array.shape, dims):
            why = _misfit(name, size, dim, sizes)
            if why is not None:
                raise DataError(
                    f"The input {name!r} has the wrong size{why}",
                    expected=show_dims(spec.dims),
                    received=str(list(array.shape)),
                )
        made.append(array if array.dtype == spec.dtype else jnp.asarray(array, dtype=spec.dtype))
    return made


def _takes_any_size(graph: Graph, name: str) -> bool:
    return graph.layers[name].traits.any_size


def has_sizes_of(graph: Graph, specs: Sequence[TensorSpec]) -> bool:
    """Tells whether the sizes in a graph, also those of the first data, stand for such inputs."""
    return all(
        not _takes_any_size(graph, name) or graph.spec(ref).dims[1:] == spec.dims[1:]
        for name, ref, spec in zip(graph.input_names, graph.inputs, specs)
    )


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
        what = "its unknown size" if symbol.startswith("_") else repr(symbol)
        return f" ({what} is {known} in {other!r})"
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
