"""The signature of an exported model: names, sizes and dtypes of what goes in and comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from kgraph.errors import ConfigError, DataError, nearest
from kgraph.export import structure_json
from kgraph.export.sizes import compute, is_multiple, is_size, solve
from kgraph.graph.dims import show_dims
from kgraph.graph.structure import Slot, is_structure, leaves
from kgraph.saving.files.misfit import Misfit, check, check_keys, is_count, is_name
from kgraph.types import Array, Dims, Tree


@dataclass(frozen=True)
class TensorInfo:
    """Name, sizes and dtype of an input or output.

    Fields:
        dims: numbers, names of unknown sizes (`"batch"`), and expressions in them.
    """

    name: str
    dims: Dims
    dtype: str

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}{show_dims(self.dims)}"


@dataclass(frozen=True)
class Signature:
    """What an exported model takes and returns.

    Fields:
        inputs, outputs: in the order of the model.
        input_structure, output_structure: their nesting, with slots.
        positive: sizes inside the model that must be at least 1, such as `"time - 2"`.
    """

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    input_structure: Any
    output_structure: Any
    positive: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """Returns the signature as JSON types."""
        return {
            "inputs": [[t.name, list(t.dims), t.dtype] for t in self.inputs],
            "outputs": [[t.name, list(t.dims), t.dtype] for t in self.outputs],
            "input_structure": structure_json.encode(self.input_structure),
            "output_structure": structure_json.encode(self.output_structure),
            "positive": list(self.positive),
        }

    def arrange(self, inputs: Tree) -> list[Array]:
        """Returns the inputs in order, as arrays of the right dtypes.

        Args:
            inputs: an array; a list or tuple in the order of the inputs; or a dict by their names,
                or by the keys of the dict that the model was made with.

        Raises:
            DataError: names, number or sizes are wrong.
        """
        given = self._by_name(inputs) if isinstance(inputs, Mapping) else self._in_order(inputs)
        arrays = []
        for value in given:
            known = hasattr(value, "shape") and hasattr(value, "dtype")
            arrays.append(value if known else jnp.asarray(value))
        self._check([np.shape(array) for array in arrays])
        return [jnp.asarray(a, dtype=info.dtype) for info, a in zip(self.inputs, arrays)]

    def _check(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Raises DataError for shapes that the model cannot take."""
        sizes: dict[str, int] = {}
        for info, shape in zip(self.inputs, shapes):
            for dim, size in zip(info.dims, shape if len(shape) == len(info.dims) else ()):
                if isinstance(dim, str) and (found := solve(dim, size)):
                    sizes.setdefault(*found)
        for info, shape in zip(self.inputs, shapes):
            same = len(shape) == len(info.dims)
            if not same or not all(_fits(d, s, sizes) for d, s in zip(info.dims, shape)):
                raise DataError(
                    f"The input {info.name!r} of the exported model has another shape",
                    expected=show_dims(info.dims) + _where(sizes),
                    received=str(list(shape)),
                )
        for text in self.positive:
            value = compute(text, sizes)
            if value is not None and value < 1:
                raise DataError(
                    "The inputs are too small for the exported model",
                    expected=f"{text} at least 1",
                    received=f"{value}{_where(sizes)}",
                )

    def _in_order(self, inputs: Tree) -> list[Any]:
        flat = list(leaves(inputs)) if is_structure(inputs) else [inputs]
        if len(flat) != len(self.inputs):
            raise DataError(
                "The exported model takes another number of inputs",
                expected=", ".join(map(str, self.inputs)),
                received=f"{len(flat)} arrays",
            )
        return flat

    def _by_name(self, inputs: Mapping[str, Any]) -> list[Any]:
        keys = [info.name for info in self.inputs]
        structure = self.input_structure
        if isinstance(structure, dict) and set(inputs) != set(keys):
            slots = {key: slot for key, slot in structure.items() if isinstance(slot, Slot)}
            if len(slots) == len(keys):
                keys = sorted(slots, key=lambda key: slots[key].index)
        if set(inputs) != set(keys):
            unknown = [key for key in inputs if key not in keys]
            missing = [key for key in keys if key not in inputs]
            raise DataError(
                "The inputs do not have the names that the exported model takes",
                expected=", ".join(map(repr, keys)),
                received=", ".join(map(repr, inputs)) or "none",
                hint=nearest(unknown[0], missing) if unknown else f"missing: {missing}",
            )
        return [inputs[key] for key in keys]


def _fits(dim: int | str, size: int, sizes: Mapping[str, int]) -> bool:
    if isinstance(dim, int):
        return size == dim
    wanted = compute(dim, sizes)
    if wanted is None:  # a multiple with a remainder, or an expression that is JAX' to solve
        return not is_multiple(dim)
    return size == wanted > 0


def _where(sizes: Mapping[str, int]) -> str:
    return ", with " + ", ".join(f"{k} = {v}" for k, v in sizes.items()) if sizes else ""


def parse_signature(data: Any) -> Signature:
    """Returns the signature that `Signature.plain` wrote. Every value is checked.

    Raises:
        Misfit: it is none.
    """
    check_keys("signature", data, set(Signature((), (), (), (), ()).plain()))
    inputs = tuple(_info(f"inputs[{i}]", item) for i, item in enumerate(_list(data, "inputs")))
    outputs = tuple(_info(f"outputs[{i}]", item) for i, item in enumerate(_list(data, "outputs")))
    positive = _list(data, "positive")
    check("positive", positive, lambda texts: all(map(is_size, texts)), "a list of sizes")
    return Signature(
        inputs,
        outputs,
        structure_json.decode(data["input_structure"], len(inputs), "input_structure"),
        structure_json.decode(data["output_structure"], len(outputs), "output_structure"),
        tuple(positive),
    )


def _list(data: Mapping[str, Any], key: str) -> list[Any]:
    check(key, data[key], lambda value: isinstance(value, list), "a list")
    return data[key]


def _info(place: str, data: Any) -> TensorInfo:
    check(place, data, lambda d: isinstance(d, list) and len(d) == 3, "name, sizes and dtype")
    name, dims, dtype = data
    check(f"{place}.name", name, is_name, "a name")
    sizes = isinstance(dims, list) and all(is_count(d) or is_size(d) for d in dims)
    check(f"{place}.dims", dims, lambda _: sizes, "a list of sizes")
    check(f"{place}.dtype", dtype, is_name, "a dtype")
    try:
        jnp.dtype(dtype)
    except TypeError:
        raise Misfit(f"{place}.dtype", "a dtype", dtype) from None
    return TensorInfo(name, tuple(dims), dtype)


def check_platforms(platforms: Any) -> tuple[str, ...]:
    """Returns the platforms, when they are a list of names.

    Raises:
        ConfigError: they are not.
    """
    if isinstance(platforms, str):
        platforms = [platforms]
    fits = isinstance(platforms, Sequence) and platforms
    if not fits or not all(isinstance(p, str) for p in platforms):
        raise ConfigError(
            "export takes platforms as a list of names",
            expected='some of "cpu", "cuda", "rocm", "tpu"',
            received=repr(platforms),
        )
    return tuple(platforms)
