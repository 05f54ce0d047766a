"""Shape inference: a layer's own `call`, run by JAX on shapes with symbolic sizes.

Sizes that the graph keeps as text become symbols of `jax.export`, and what comes out is written as
text again. Layers that say so (`Traits.same_shapes`) give equal answers for equal options and equal
inputs, so those answers are remembered.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from kgraph.graph.dims import dim_names
from kgraph.graph.node import TensorSpec
from kgraph.graph.structure import Slot, flatten, leaves, map_structure
from kgraph.graph.symbol import SymbolicTensor
from kgraph.interrupts import tracing
from kgraph.layers.base.context import Context
from kgraph.layers.base.traits import has_same_shapes
from kgraph.layers.base.tree import named_weights, parts_of, walk_held
from kgraph.registry import config_of, describe
from kgraph.tracebacks import entry
from kgraph.types import Dims, Function, Tree

if TYPE_CHECKING:
    from kgraph.layers.base.layer import Layer


_MEMORY_SIZE = 4096


@dataclass(frozen=True)
class Inferred:
    """What a call gives: nesting and specs of outputs, specs of masks it makes, its effects."""

    structure: Any
    outputs: tuple[TensorSpec, ...]
    mask_specs: tuple[TensorSpec | None, ...]
    effects: tuple[str, ...]


Key: TypeAlias = tuple[str, tuple[type, ...]]

_memory: OrderedDict[Key, Inferred] = OrderedDict()


def forget_inferred() -> None:
    """Lets go of the shapes that are kept for equal calls to come."""
    _memory.clear()


def infer(
    layer: Layer,
    run: Function,
    template: tuple[list[Any], dict[str, Any]],
    inputs: tuple[TensorSpec, ...],
    masks: tuple[TensorSpec | None, ...],
) -> Inferred:
    """Returns what `run(context, arrays, masks) -> outputs, masks` would give for such inputs.

    Names of unknown sizes do not matter to a layer, so they are numbered before the evaluation (and
    before the memory is asked) and put back after it.
    """
    given = [s.dims for s in (*inputs, *masks) if s is not None]
    names = dim_names([d for dims in given for d in dims])
    inner = {name: f"s{i}" for i, name in enumerate(names)}
    numbered = renamed(inputs, inner), renamed(masks, inner)
    key = _memory_key(layer, template, *numbered)
    found = _memory.get(key) if key else None
    if found is None:
        found = _evaluate(layer, run, *numbered, list(inner.values()))
        if key:
            _memory[key] = found
            if len(_memory) > _MEMORY_SIZE:
                _memory.popitem(last=False)
    outer = {short: name for name, short in inner.items()}
    return Inferred(
        found.structure,
        tuple(spec.renamed(outer) for spec in found.outputs),
        renamed(found.mask_specs, outer),
        found.effects,
    )


def renamed(
    specs: Sequence[TensorSpec | None], names: Mapping[str, str]
) -> tuple[TensorSpec | None, ...]:
    """Returns specs with their unknown sizes renamed."""
    return tuple(None if spec is None else spec.renamed(names) for spec in specs)


def in_users_names(text: str, inputs: Sequence[TensorSpec]) -> str:
    """Returns a message of JAX's about such inputs with the user's names of sizes, `?` for none."""
    names = dim_names([d for spec in inputs for d in spec.dims])
    shown = {f"s{i}": "?" if name.startswith("_") else name for i, name in enumerate(names)}
    return re.sub(r"\bs\d+\b", lambda m: shown.get(m[0], m[0]), text)


def _memory_key(layer: Layer, template: Any, inputs: Any, masks: Any) -> Key | None:
    """Returns what decides the result, or None for a layer whose result is not to be remembered."""
    parts = list(parts_of(layer))
    if not all(map(has_same_shapes, parts)):
        return None
    if not all(part.built for part in parts[1:]):  # the call may be what builds a layer inside
        return None
    options = [_without_name(part) for part in parts]
    facts = [options, describe(list(template)), [_facts(s) for s in (*inputs, *masks)]]
    shapes = [[list(w.shape), w.dtype] for _, w in named_weights(layer)]
    flags: Any = jax.config
    settings = [flags.jax_enable_x64, str(flags.jax_numpy_dtype_promotion)]
    nesting = str(map_structure(lambda _: 0, template))  # a list and a tuple are described alike
    try:
        text = json.dumps([facts, nesting, shapes, settings, len(inputs)])
    except TypeError:  # an option or argument that cannot be written down
        return None
    return text, tuple(map(type, parts))


def _without_name(layer: Layer) -> dict[str, Any]:
    return {k: v for k, v in describe(config_of(layer)).items() if k != "name"}


def _facts(spec: TensorSpec | None) -> Any:
    return None if spec is None else [list(spec.dims), spec.dtype]


@tracing
def _evaluate(layer: Layer, run: Function, inputs: Any, masks: Any, names: list[str]) -> Inferred:
    scope = jax.export.SymbolicScope(_not_empty([*inputs, *masks]))
    known = (*named_weights(layer), *walk_held(layer))
    weights = {id(w): jax.ShapeDtypeStruct(w.shape, w.dtype) for _, w in known}
    abstract = [abstract_value(s, scope) for s in inputs]
    abstract_masks = [None if s is None else abstract_value(s, scope) for s in masks]
    found: dict[str, Any] = {}

    def traced(values: Any, key: Any, arrays: Any, array_masks: Any) -> Any:
        context = Context(values, training=True, key=key, describing=True)
        outputs, out_masks = run(context, arrays, array_masks)
        flat, found["structure"] = flatten(outputs, is_array)
        found["effects"] = tuple(sorted(context.effects))
        return flat, out_masks

    key = jax.eval_shape(lambda: jax.random.key(0))
    flat, out_masks = jax.eval_shape(traced, weights, key, abstract, abstract_masks)
    _refuse_constants(layer, found["structure"])
    return Inferred(
        found["structure"],
        tuple(spec_of(item, scope) for item in flat),
        tuple(None if mask is None else spec_of(mask, scope) for mask in out_masks),
        found["effects"],
    )


def _not_empty(specs: list[TensorSpec | None]) -> list[str]:
    """Returns `time - 2 >= 1` for each size that is an expression.

    JAX takes a plain unknown size to be at least 1, and has to be told the same of what a layer
    made of one: else the second of two valid convolutions fails, as `time - 2` might be negative.
    """
    sizes = {d for spec in specs if spec is not None for d in spec.dims if isinstance(d, str)}
    return [f"{size} >= 1" for size in sorted(sizes) if not size.isidentifier()]


def is_array(value: Any) -> bool:
    """Tells whether a value is an array or tracer (or a NumPy array)."""
    return isinstance(value, (jax.Array, np.ndarray, np.generic))


def _refuse_constants(layer: Layer, structure: Tree) -> None:
    from_call = [
        item for item in leaves(structure) if not isinstance(item, Slot) and item is not None
    ]
    if from_call or not any(isinstance(item, Slot) for item in leaves(structure)):
        raise TypeError(
            f"call of {type(layer).__name__} must return arrays or a structure of them, "
            f"and returned {from_call[0] if from_call else None!r}"
        )


def abstract_value(spec: TensorSpec, scope: Any) -> jax.ShapeDtypeStruct:
    """Returns a spec as JAX's abstract value, unknown sizes as symbols of `scope`."""
    return jax.ShapeDtypeStruct(symbolic_dims(spec.dims, scope), jnp.dtype(spec.dtype))


def symbolic_dims(dims: Dims, scope: Any) -> tuple[Any, ...]:
    """Returns a shape with each text parsed into a symbolic size of `scope`."""
    if all(isinstance(d, int) for d in dims):
        return dims
    text = ", ".join(str(d) for d in dims)
    return tuple(jax.export.symbolic_shape(f"({text},)" if len(dims) == 1 else text, scope=scope))


def spec_of(value: Any, scope: Any | None = None) -> TensorSpec:
    """Returns the spec of an array or abstract value."""
    dims = tuple(d if isinstance(d, int) else _dim_text(d, scope) for d in value.shape)
    return TensorSpec(dims, str(value.dtype))


def _dim_text(size: Any, scope: Any) -> str | int:
    """Returns a symbolic size as text, without the `max(..., 0)` of sizes that could be negative.

    JAX writes `max(time - 2, 0)` for a valid convolution. A real array of negative size cannot
    exist, so the size is `time - 2`, and further sizes are simpler for it.
    """
    text = str(size)
    while "max(" in text:
        start = text.index("max(") + 4
        first, second, end = _two_arguments(text, start)
        if "0" not in (first, second):
            return text
        before, after = text[: start - 4].rstrip(), text[end:].lstrip()
        if before.endswith(("*", "-")) or after.startswith(("*", "^")):
            return text  # JAX reads no parentheses around sums, so this cannot be written simpler
        text = text[: start - 4] + (first if second == "0" else second) + text[end:]
    plain = _ceiling(symbolic_dims((text,), scope)[0], scope) if scope is not None else text
    return plain if isinstance(plain, int) else str(plain)


def _ceiling(size: Any, scope: Any) -> Any:
    """Returns `-(-n // k)` as `(n - 1) // k + 1`, the same number, and any other size as it is.

    JAX counts windows in the first way for padding "same" and in the second for a valid window of
    size 1, and cannot tell that both are equal: it would refuse the sum of two such branches.
    """
    text, opening = str(size), "- floordiv("
    if not text.startswith(opening):
        return size
    dividend, divisor, end = _two_arguments(text, len(opening))
    if end < len(text) or not divisor.isdigit():
        return size
    return (-symbolic_dims((dividend,), scope)[0] - 1) // int(divisor) + 1


def _two_arguments(text: str, start: int) -> tuple[str, str, int]:
    """Returns both arguments of the call that opens before `start`, and the place after it."""
    depth, end, comma = 1, start, -1
    while depth:
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        if text[end] == "," and depth == 1:
            comma = end
        end += 1
    return text[start:comma].strip(), text[comma + 1 : end - 1].strip(), end


# A JAX function that is given a symbolic tensor flattens it first, and so gets to say what to do.
# (`__jax_array__` alone is no longer asked by most functions; measured on jax 0.7.2 and 0.10.2.)
@entry
def _refuse_to_flatten(symbol: SymbolicTensor) -> NoReturn:
    symbol._refuse(use="by a JAX function")


def _refuse_to_unflatten(*_: Any) -> NoReturn:
    raise TypeError("a symbolic tensor cannot be made of leaves")


jax.tree_util.register_pytree_node(SymbolicTensor, _refuse_to_flatten, _refuse_to_unflatten)
