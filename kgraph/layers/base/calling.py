"""The three ways in which a layer is called: on symbols, on arrays, and inside another call."""

from __future__ import annotations

import contextlib
import os
import warnings
import weakref
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from kgraph.errors import GraphError, KGraphError, StateError, SymbolError
from kgraph.graph.node import TensorSpec
from kgraph.graph.structure import fill, flatten, leaves, map_structure
from kgraph.graph.symbol import Call, MaskOf, SymbolicTensor
from kgraph.interrupts import tracing
from kgraph.layers.base import binding
from kgraph.layers.base.arithmetic import value_of
from kgraph.layers.base.call_spec import (
    call_spec,
    fill_masks,
    first_argument,
    mask_tree,
    resolve_training,
)
from kgraph.layers.base.context import Context, widened
from kgraph.layers.base.core import label_of
from kgraph.layers.base.equal_sizes import with_equal_sizes, with_sizes
from kgraph.layers.base.first_keys import root_key
from kgraph.layers.base.input_spec import check_input
from kgraph.layers.base.speaks import learn_from
from kgraph.layers.base.stated import with_stated
from kgraph.layers.base.stateless_scope import current_scope, scoped
from kgraph.layers.base.symbolic import Inferred, in_users_names, infer, is_array, renamed, spec_of
from kgraph.layers.base.tree import name_paths, named_weights
from kgraph.layers.base.variable import create_values
from kgraph.source import Source, deepest_source, user_source, warn
from kgraph.types import Array, Tree

if TYPE_CHECKING:
    from kgraph.layers.base.layer import Layer


def has_symbols(args: Any, kwargs: Any) -> bool:
    """Tells whether any argument is, or holds, a symbolic tensor."""
    return any(isinstance(item, SymbolicTensor) for item in leaves([args, kwargs]))


# --- on symbols ----------------------------------------------------------------------------------


def call_on_symbols(layer: Layer, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
    """Infers the result of a call, records the call, and returns the symbols of its outputs."""
    source = user_source()
    inputs, given = flatten([list(args), kwargs], lambda item: isinstance(item, SymbolicTensor))
    template = map_structure(_constant, given)
    infer_with = partial(_inferred, layer, given, template, inputs)
    try:
        inferred, equal = with_equal_sizes(inputs, infer_with)
    except KGraphError as error:
        raise error.located(source, _made(inputs)) from error.__cause__
    except Exception as error:
        if learn_from(error, type(layer)):
            return call_on_symbols(layer, args, kwargs)
        raise _explained(layer, error, inputs).located(source, _made(inputs)) from error
    graph = layer._kgraph_inner_graph  # symbols stay in the list that arrays leave
    call = Call(
        layer=layer,
        args=tuple(template[0]),
        kwargs=template[1],
        inputs=tuple(inputs),
        masks=tuple(symbol.mask for symbol in inputs),
        structure=inferred.structure if graph is None else graph.output_structure,
        outputs=inferred.outputs,
        mask_specs=inferred.mask_specs,
        passes_mask=_passed_mask(layer, args, kwargs),
        effects=inferred.effects,
        source=source,
        equal=equal,
    )
    if _stops_mask(layer, call, first_argument(call_spec(type(layer)), args, kwargs)):
        call.effects = (*call.effects, "stops mask")
        _warn_stopped_mask(layer, source)
    if layer._kgraph.call() is None:
        layer._kgraph.first_call = weakref.ref(call)
    return outputs_of(call)


def _constant(item: object) -> Any:
    """Returns a constant argument as the graph keeps it: an array that nobody can change.

    A NumPy scalar becomes an array of no axes, so that its dtype, which counts in JAX, is recorded.
    """
    if isinstance(item, (np.ndarray, np.generic)):
        item = np.array(item)
        item.setflags(write=False)
    return item


def outputs_of(call: Call) -> Any:
    """Returns the symbols that a call made, in the structure in which it returned them."""
    made = [SymbolicTensor.of_call(spec, call, i) for i, spec in enumerate(call.outputs)]
    return fill(call.structure, made)


def _inferred(
    layer: Layer, given: Any, template: Any, inputs: Sequence[SymbolicTensor],
    same: Mapping[str, str],
) -> Inferred:  # fmt: skip
    """Builds a layer, and returns what a call gives where some sizes are taken for others."""
    inputs = [with_sizes(symbol, same) for symbol in inputs] if same else inputs
    args, kwargs = fill(given, inputs)
    spec = call_spec(type(layer))
    layer._kgraph_check_call(args, kwargs)
    spec.check(layer, args, (name for name in kwargs if name != "training"))
    check_input(layer, first_argument(spec, args, kwargs))
    layer._kgraph_ensure_built(args, kwargs)
    masks = (symbol.mask for symbol in inputs)
    found = [None if m is None else m.call.mask_specs[m.index] for m in masks]
    known = partial(_infer, layer, template, renamed(found, same))
    return with_stated(layer, args, kwargs, inputs, known)


def _infer(
    layer: Layer,
    template: Any,
    mask_specs: tuple[TensorSpec | None, ...],
    specs: Sequence[TensorSpec],
) -> Inferred:
    """Returns what a call gives for inputs of these specs."""

    def run(context: Context, arrays: list[Array], array_masks: list[Array | None]) -> Any:
        for array, mask in zip(arrays, array_masks):
            context.set_mask(array, mask)
        args, kwargs = fill(template, arrays)
        # Not by `__call__`: one of the user's has led here.
        outputs = call_bound(binding.bind(layer, context, layer.name), args, kwargs)
        if context.builds:
            name_paths(layer, layer._kgraph.path or layer.name)
        if binding.updates(context):
            context.effects.add("state")
        flat, _ = flatten(outputs, is_array)
        makes_mask = layer._kgraph_makes_mask
        return outputs, [context.mask_of(item) if makes_mask else None for item in flat]

    return infer(layer, run, template, tuple(specs), mask_specs)


def _passed_mask(layer: Layer, args: Any, kwargs: Any) -> MaskOf | None:
    """Returns the mask that goes through a layer which has no rule of its own for masks."""
    if layer._kgraph_makes_mask or not layer.supports_masking:
        return None
    first = first_argument(call_spec(type(layer)), args, kwargs)
    masks = [s.mask for s in leaves(first) if isinstance(s, SymbolicTensor)]
    return next((mask for mask in masks if mask is not None), None)


def _stops_mask(layer: Layer, call: Call, first: Any) -> bool:
    masked = any(isinstance(s, SymbolicTensor) and s.mask is not None for s in leaves(first))
    if not masked or layer._kgraph_makes_mask or layer.supports_masking:
        return False
    return not call_spec(type(layer)).takes_mask


def _warn_stopped_mask(layer: Layer, source: Source | None) -> None:
    text = (
        f"{label_of(layer)} does not support masks, so the mask of its input ends here: padded "
        "steps count like real ones from this layer on"
    )
    if source is None:
        warn(text)
    else:
        warnings.warn_explicit(text, UserWarning, source.file, source.line)


def _made(inputs: Sequence[SymbolicTensor]) -> list[str] | None:
    """Returns a line for each input of a call: what made it, where, and its spec."""
    lines = [f"{s.name!r} {s.spec} at {s.source}" for s in inputs if s.source is not None]
    return list(dict.fromkeys(lines)) or None


def _explained(layer: Layer, error: Exception, inputs: Sequence[SymbolicTensor]) -> GraphError:
    """Returns a GraphError for what went wrong inside a layer's `build` or `call`."""
    reason = in_users_names(str(error).strip().split("\n")[0][:300], [s.spec for s in inputs])
    unknown = any(not isinstance(d, int) for s in inputs for d in s.spec.dims)
    text = f"{type(error).__name__} {error}"
    hint = None
    if "TracerBoolConversion" in text:
        hint = [
            "a condition on numbers of a tensor is part of the computation:",
            "jnp.where(condition, a, b), jax.lax.cond, or kgraph.ops.where and cond",
        ]
    elif "TracerArrayConversion" in text or "ConcretizationTypeError" in text:
        hint = "inside call use jax.numpy, not numpy, and jnp.where instead of if on values"
    elif unknown and ("_DimExpr" in text or "InconclusiveDimension" in text or "concrete" in text):
        hint = [
            "its call needs sizes as numbers, and some are unknown here:",
            "give them, for example Input(batch_shape=(16, 10, 5))",
        ]
    elif unknown and "incompatible shapes" in text:
        hint = 'if two unknown sizes are the same, give them one name: Input(("time", 64)) on both'
    elif "no attribute 'assign" in text:
        hint = "state is updated by assignment: self.total = self.total + 1"
    return GraphError(
        f"{label_of(layer)} failed in its call: {reason}",
        inside=deepest_source(error.__traceback__, os.path.dirname(jax.__file__)),
        received=", ".join(str(symbol.spec) for symbol in inputs),
        hint=hint,
    )


# --- inside another call -------------------------------------------------------------------------


def call_bound(copy: Any, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
    """Runs the `call` of a bound copy: mode, masks, dtype, reported losses, output mask."""
    context: Context = copy._kgraph.context
    spec = call_spec(type(copy))
    check_input(copy._kgraph.origin, first_argument(spec, args, kwargs))
    if not copy._kgraph.origin.built:
        with scoped(None):  # where weights can be made
            copy._kgraph.origin._kgraph_ensure_built(args, kwargs)
        context.builds = True
        _create_built(copy)
        for bound in list(context.bound.values()):  # a build may also build the layers inside
            binding.refresh(bound)
    training, kwargs = resolve_training(spec, kwargs, context)
    kwargs = fill_masks(spec, args, kwargs, context)
    first = first_argument(spec, args, kwargs)
    mask = kwargs.get("mask")
    mask = mask_tree(first, context) if mask is None else mask
    if copy.autocast:
        args, kwargs = cast_inputs(copy, args, kwargs)
    with context.entering(copy._kgraph.segment, training):
        outputs = copy.call(*args, **kwargs)
        if copy.activity_regularizer is not None:
            _regularize_activity(copy, outputs)
        if context.has_handles:
            outputs = map_structure(value_of, outputs)
        _set_output_mask(copy, first, mask, outputs)
    if context.describing:
        arrays = filter(is_array, leaves(outputs))
        copy._kgraph.origin._kgraph.described = tuple(spec_of(array) for array in arrays)
    binding.refresh(copy)
    return outputs


def _create_built(copy: Any) -> None:
    """Gives the weights that a build made in a call on arrays their values, by their full paths."""
    context: Context = copy._kgraph.context
    if not context.describing:
        here = f"{context.path}/{copy._kgraph.segment}".removeprefix("/")
        named = named_weights(copy._kgraph.origin)
        context.create_values((f"{here}/{path}", weight) for path, weight in named)


def cast_inputs(layer: Layer, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """Returns the arguments with floating arrays in the dtype in which the layer computes."""
    wanted = jnp.dtype(layer.compute_dtype)

    def one(item: Any) -> Any:
        if is_array(item) and item.dtype != wanted and jnp.issubdtype(item.dtype, jnp.floating):
            return jnp.asarray(item, dtype=wanted)
        return item

    return tuple(map_structure(one, arg) for arg in args), map_structure(one, kwargs)


def _regularize_activity(copy: Any, outputs: Tree) -> None:
    for output in leaves(outputs):
        rows = output.shape[0]  # a batch without rows adds 0
        rows = max(rows, 1) if isinstance(rows, int) else rows
        copy._kgraph.context.add_loss(copy.activity_regularizer(widened(output)) / rows)


def _set_output_mask(copy: Any, first: Tree, mask: Tree, outputs: Tree) -> None:
    if copy._kgraph_masks_inside:
        return
    context: Context = copy._kgraph.context
    flat = [item for item in leaves(outputs) if is_array(item)]
    if copy._kgraph_makes_mask:
        made = copy.compute_mask(first, mask)
        masks = list(leaves(made)) if isinstance(made, (list, tuple)) else [made]
        for output, own in zip(flat, masks + [None] * len(flat)):
            context.set_mask(output, own)
    elif copy.supports_masking and mask is not None:
        passed = next((m for m in leaves(mask) if m is not None), None)
        for output in flat:
            context.set_mask(output, passed)


# --- on arrays -----------------------------------------------------------------------------------


@tracing
def call_on_arrays(layer: Layer, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
    """Runs a layer now, on its own values; state that it updates is kept."""
    for item in leaves([args, kwargs]):
        if type(item).__name__ == "KerasTensor":
            raise _of_keras(layer, item)
    args = tuple(map_structure(_as_jax, numbers_as_array(arg)) for arg in args)
    kwargs = map_structure(_as_jax, kwargs)
    spec = call_spec(type(layer))
    layer._kgraph_check_call(args, kwargs)
    check_input(layer, first_argument(spec, args, kwargs))
    create_values(layer._kgraph_paths_of_values())
    weights = {id(weight): weight for _, weight in named_weights(layer)}
    try:
        outputs, context = _run_on_arrays(layer, args, kwargs)
    except AttributeError as error:
        if not learn_from(error, type(layer)):
            raise
        outputs, context = _run_on_arrays(layer, args, kwargs)
    for item in leaves(outputs):
        keep_mask(item, context.mask_of(item))
    weights |= context.assigned
    weights |= {id(weight): weight for _, weight in named_weights(layer)}
    _keep_state(layer, context, weights)
    if context.builds:
        name_paths(layer, layer._kgraph.path or layer.name)
    layer._kgraph.losses = list(context.losses)
    return outputs


def _of_keras(layer: Layer, tensor: Any) -> SymbolError:
    return SymbolError(
        f"{label_of(layer)} was called on a symbolic tensor of Keras",
        at=user_source(),
        expected="a symbolic tensor of kgraph, or arrays",
        received=repr(tensor),
        hint="make the inputs with kgraph.Input: one graph has layers of one library",
    )


def _run_on_arrays(
    layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, Context]:
    context = Context(key=eager_key)
    context.first_keys = layer._kgraph_keys
    for item in leaves([args, kwargs]):
        context.set_mask(item, eager_mask(item))
    copy = binding.bind(layer, context, layer.name)
    # Not by `__call__`: one of the user's has led here.
    return call_bound(copy, args, kwargs), context


def eager_mask(item: object) -> Array | None:
    """Returns the mask that a layer has left on an array, as Keras' layers do."""
    return getattr(item, "_keras_mask", None)


def keep_mask(item: Any, mask: Array | None) -> None:
    """Leaves a mask on an array that a layer or model returns, for the next one."""
    if mask is not None:
        with contextlib.suppress(AttributeError):  # some of JAX's tracers take no attribute
            item._keras_mask = mask


def _keep_state(layer: Layer, context: Context, weights: dict[int, Any]) -> None:
    for identity, array in binding.updates(context).items():
        if isinstance(array, Tracer) and current_scope() is None:
            raise StateError(
                f"{label_of(layer)} updates its state inside a function that JAX is tracing",
                hint="use kgraph.lower(model).apply, which returns the new state",
            )
        weights[identity].assign(array)


def eager_key() -> Array:
    with jax.ensure_compile_time_eval():
        return jax.random.wrap_key_data(jnp.asarray(root_key()), impl="threefry2x32")


def _as_jax(item: object) -> Any:
    item = value_of(item)
    return jnp.asarray(item) if isinstance(item, (np.ndarray, np.generic)) else item


def call_untracked(
    layer: Layer, context: Context, args: tuple[object, ...], kwargs: dict[str, object]
) -> Any:
    """Runs a layer that no layer of the run holds: made in a call, say. It cannot get weights."""
    if not layer.built:
        layer._kgraph_ensure_built(args, kwargs)
    return binding.bind(layer, context, layer.name)(*args, **kwargs)


def numbers_as_array(value: object) -> Any:
    """Returns nested lists of numbers as one array, anything else as it is."""
    if isinstance(value, (list, tuple)) and value:
        flat = list(leaves(value))
        if flat and all(isinstance(item, (int, float, bool)) for item in flat):
            return np.asarray(value)
    return value
