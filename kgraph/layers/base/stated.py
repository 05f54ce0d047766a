"""Shapes that a user's layer states, by `compute_output_shape` or `compute_output_spec`.

Keras takes the word of such a layer in the place of its `call`. Here `call` is asked as well, as it
also tells what else a call does, and both must agree. The word counts where `call` knows no number:
for a size that it leaves unknown, and where it cannot be run on unknown sizes at all. It is tried
on numbers then, and the sizes are those that are stated. Each run checks them (`check_stated`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kgraph.errors import GraphError
from kgraph.graph.dims import BATCH, dim_names, fresh_dim, rename_dims
from kgraph.graph.node import Node, TensorSpec
from kgraph.graph.structure import Slot, map_structure, sorted_leaves
from kgraph.graph.symbol import SymbolicTensor
from kgraph.hooks import is_overridden, place_of
from kgraph.layers.base.core import label_of
from kgraph.layers.base.shapes import known_sizes, map_shapes, shape_arguments
from kgraph.layers.base.symbolic import Inferred, symbolic_dims
from kgraph.types import Array, Shape

if TYPE_CHECKING:
    from kgraph.layers.base.layer import Layer

_HOOKS = ("compute_output_spec", "compute_output_shape")
_TRIED = "720", "12", "4", "2", "1"  # for unknown sizes: what many numbers divide, and small ones
STATES = "states sizes"
"""The effect of a call whose sizes are known by a word of the layer's alone."""


@dataclass(frozen=True)
class _Word:
    """What is stated of one output; no dtype comes with a shape."""

    shape: Shape
    dtype: str | None = None

    def __str__(self) -> str:
        return f"{list(self.shape)} {self.dtype or ''}".rstrip()


def with_stated(
    layer: Layer,
    args: tuple[object, ...],
    kwargs: dict[str, object],
    inputs: Sequence[SymbolicTensor],
    infer: Callable[[Sequence[TensorSpec]], Inferred],
) -> Inferred:
    """Returns what a call on symbols gives, by the layer's `call` and by its own word.

    Args:
        layer: the layer, built.
        args, kwargs: of the call.
        inputs: the symbols in them.
        infer: what `call` gives for inputs of these specs.

    Raises:
        GraphError: both tell different shapes or dtypes.
    """
    specs = [symbol.spec for symbol in inputs]
    hook = next((name for name in _HOOKS if is_overridden(layer, name)), None)
    if hook is None or layer._kgraph.stating:  # the hook itself may ask for what `call` gives
        return infer(specs)
    layer._kgraph.stating = True
    try:
        words = _ask(layer, hook, args, kwargs)
    finally:
        layer._kgraph.stating = False
    try:
        found = infer(specs)
    except Exception:
        if not dim_names([size for spec in specs for size in spec.dims]):
            raise
        found = _in_numbers(specs, infer)
        if found is None:
            raise
    return _joined(layer, hook, words, found)


def check_stated(node: Node, outputs: Sequence[Array]) -> None:
    """Raises GraphError if a call gives other sizes than the layer has stated."""
    for spec, output in zip(node.outputs, outputs):
        if not _agree(spec.dims, output.shape):
            raise GraphError(
                f"{node.layer!r} gives another shape than it states",
                at=node.source, expected=str(spec), received=str(list(output.shape)),
                hint=_HINT,
            )  # fmt: skip


_HINT = "leave the method out: shapes are inferred from call"


def _ask(
    layer: Layer, hook: str, args: tuple[object, ...], kwargs: dict[str, object]
) -> list[_Word]:
    """Returns what a layer states of each output, in the order of the keys of dicts."""
    if hook == "compute_output_spec":
        found = map_structure(_word_of_spec, layer.compute_output_spec(*args, **kwargs))
    else:
        shapes = layer.compute_output_shape(**shape_arguments(layer, hook, args, kwargs))
        found = map_shapes(_Word, shapes)
    words = list(sorted_leaves(found))
    if not words or not all(isinstance(word, _Word) for word in words):
        raise GraphError(
            f"{hook} of {label_of(layer)} states no shape", defined=place_of(layer, hook),
            received=str(found)[:200],
        )  # fmt: skip
    return words


def _word_of_spec(spec: Any) -> Any:
    return _Word(known_sizes(spec), str(spec.dtype)) if hasattr(spec, "dtype") else spec


def _joined(layer: Layer, hook: str, words: Sequence[_Word], found: Inferred) -> Inferred:
    """Returns what `call` gives, with the sizes that are stated where it knows no number."""
    slots = [item for item in sorted_leaves(found.structure) if isinstance(item, Slot)]
    order = [found.outputs[slot.index] for slot in slots]
    fits = len(order) == len(words) and all(
        _agree(spec.dims, word.shape) and word.dtype in (None, spec.dtype)
        for spec, word in zip(order, words)
    )
    if not fits:
        raise GraphError(
            f"{label_of(layer)} gives another shape than its {hook} states",
            defined=place_of(layer, hook),
            expected=f"{', '.join(map(str, order))}, as its call gives",
            received=", ".join(map(str, words)), hint=_HINT,
        )  # fmt: skip
    outputs = list(found.outputs)
    for slot, spec, word in zip(slots, order, words):
        pairs = zip(spec.dims, word.shape)
        dims = tuple(own if isinstance(own, int) or said is None else said for own, said in pairs)
        outputs[slot.index] = TensorSpec(dims, spec.dtype)
    if tuple(outputs) == found.outputs:
        return found
    return replace(
        found, outputs=tuple(outputs), effects=tuple(sorted({*found.effects, STATES})),
        mask_specs=tuple(map(_mask_spec, found.mask_specs, outputs)),
    )  # fmt: skip


def _agree(dims: Sequence[object], shape: Sequence[object]) -> bool:
    """Tells whether no size of one is another number than that of the other."""
    pairs = ((a, b) for a, b in zip(dims, shape) if isinstance(a, int) and isinstance(b, int))
    return len(dims) == len(shape) and all(a == b for a, b in pairs)


def _in_numbers(
    specs: Sequence[TensorSpec], infer: Callable[[Sequence[TensorSpec]], Inferred]
) -> Inferred | None:
    """Returns what a call gives for some numbers, with sizes unknown again; None if it fails.

    A size that is that of an input for two numbers is its size.
    """
    trials: list[tuple[list[TensorSpec], Inferred]] = []
    for number in _TRIED:
        given = [_with(spec, number) for spec in specs]
        with suppress(Exception):
            trials.append((given, infer(given)))
        if len(trials) == 2:
            break
    if not trials:
        return None
    known = [
        (axis, size, [given[i].dims[axis] for given, _ in trials])
        for i, spec in enumerate(specs) for axis, size in enumerate(spec.dims)
    ]  # fmt: skip
    batch = next((spec.dims[0] for spec in specs if spec.dims), BATCH)

    def size_of(axis: int, numbers: list[int | str]) -> int | str:
        if axis == 0:
            return batch
        same = [
            size for at, size, own in sorted(known, key=lambda k: k[0] != axis) if own == numbers
        ]
        return same[0] if same and len(trials) == 2 else fresh_dim()

    found = trials[0][1]
    outputs = tuple(
        TensorSpec(
            tuple(
                size_of(axis, [one.outputs[i].dims[axis] for _, one in trials])
                for axis in range(len(spec.dims))
            ),
            spec.dtype,
        )
        for i, spec in enumerate(found.outputs)
    )
    return replace(
        found, outputs=outputs, effects=tuple(sorted({*found.effects, STATES})),
        mask_specs=tuple(map(_mask_spec, found.mask_specs, outputs)),
    )  # fmt: skip


def _with(spec: TensorSpec, number: str) -> TensorSpec:
    names = dict.fromkeys(dim_names(spec.dims), number)
    dims = symbolic_dims(rename_dims(spec.dims, names), None)
    # JAX adds and multiplies numbers, and leaves `floordiv(720, 2)` as it is.
    return TensorSpec(tuple(d if isinstance(d, int) else int(number) for d in dims), spec.dtype)


def _mask_spec(mask: TensorSpec | None, output: TensorSpec) -> TensorSpec | None:
    """Returns the spec of a mask of an output whose sizes are stated."""
    return None if mask is None else TensorSpec(output.dims[: len(mask.dims)], mask.dtype)
