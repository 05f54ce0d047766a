"""Costs of code that no rule knows: XLA's own count of what JAX traces.

XLA counts the body of a loop once, however often it runs; here it counts as often as it runs. A
`while` loop of unknown length counts once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from kgraph.compiler.costs.work import Work, elements
from kgraph.graph.node import Node, TensorSpec
from kgraph.graph.structure import fill, flatten
from kgraph.interrupts import tracing
from kgraph.layers.base import binding
from kgraph.layers.base.context import Context
from kgraph.layers.base.symbolic import is_array
from kgraph.layers.base.traits import name_of
from kgraph.layers.base.tree import walk_weights
from kgraph.types import Array, DTypeLike

if TYPE_CHECKING:
    from kgraph.layers.base.layer import Layer


_SAMPLE = (8, 16)


@tracing
def trace_call(
    layer: Layer,
    node: Node,
    inputs: Sequence[TensorSpec],
    masks: Sequence[TensorSpec | None],
    to_inputs: bool,
    to_weights: bool,
) -> Work:
    """Returns the work of one call of a layer in training, by tracing it.

    Args:
        layer, node: the call.
        inputs, masks: what it reads.
        to_inputs, to_weights: which gradients are wanted.
    """
    weights = {id(w): _abstract(w) for _, w, _ in walk_weights(layer)}
    arrays = [_abstract(spec) for spec in inputs]
    array_masks = [None if spec is None else _abstract(spec) for spec in masks]
    key = jax.eval_shape(lambda: jax.random.key(0))

    def function(weights: Any, arrays: Any, array_masks: Any, key: Array) -> list[Array]:
        context = Context(weights, training=True, key=key)
        bound = binding.bind(layer, context, node.name)
        for array, mask in zip(arrays, array_masks):
            context.set_mask(array, mask)
        args, kwargs = fill([list(node.args), node.kwargs], arrays)
        return flatten(bound(*args, **kwargs), is_array)[0]

    chosen = weights if to_weights else {}
    return measure(function, chosen, arrays, array_masks, key, fixed=weights, to_inputs=to_inputs)


@tracing
def measure(
    function: Callable[..., list[Array]],
    weights: Any,
    inputs: Sequence[Any],
    *others: Any,
    fixed: Any = None,
    to_inputs: bool = True,
) -> Work:
    """Returns the work of `function(weights, inputs, *others)`, which is only traced.

    Args:
        function: returns a list of arrays.
        weights: abstract arrays by id: those that gradients are taken of.
        inputs: abstract arrays.
        others: further abstract arguments.
        fixed: all weights, if some are not trained.
        to_inputs: whether gradients are taken of the inputs too (those in floating point).
    """
    rest = {k: v for k, v in (fixed or {}).items() if k not in weights}
    places = [
        i for i, x in enumerate(inputs) if to_inputs and jnp.issubdtype(x.dtype, jnp.floating)
    ]
    chosen = [inputs[i] for i in places]

    def run(weights: Any, chosen: Any, rest: Any, inputs: Any, others: Any) -> list[Array]:
        filled = list(inputs)
        for i, value in zip(places, chosen):
            filled[i] = value
        found = function({**rest, **weights}, filled, *others)
        return [x for x in found if jnp.issubdtype(x.dtype, jnp.floating)]

    def with_gradients(which: tuple[str, ...]) -> Callable[..., Any]:
        def gradients(seeds: Any, weights: Any, chosen: Any, *args: Any) -> Any:
            def part(given: dict[str, Any]) -> list[Array]:
                both = {"weights": weights, "inputs": chosen, **given}
                return run(both["weights"], both["inputs"], *args)

            whole = {"weights": weights, "inputs": chosen}
            outputs, pull = jax.vjp(part, {name: whole[name] for name in which})
            return outputs, pull, pull(seeds)

        return gradients

    given = (weights, chosen, rest, list(inputs), others)
    seeds = jax.eval_shape(run, *given)
    forward = _flops(run, *given)
    of_inputs = _flops(_last(with_gradients(("inputs",))), seeds, *given) if chosen else 0
    backward = with_gradients(("weights", "inputs"))
    both = _flops(_last(backward), seeds, *given)
    kept, needs_inputs, needs_outputs = _residuals(backward, seeds, given)
    alone = max(of_inputs - forward, 0)
    return Work(
        forward,
        to_inputs=alone,
        to_weights=max(both - forward - alone, 0),
        keeps=kept,
        needs_inputs="always" if needs_inputs else "never",
        needs_outputs=needs_outputs,
    )


def _last(function: Callable[..., Any]) -> Callable[..., Any]:
    def outputs_and_gradients(*args: Any) -> Any:
        outputs, _, gradients = function(*args)
        return outputs, gradients

    return outputs_and_gradients


def _residuals(
    function: Callable[..., Any], seeds: list[Any], given: tuple[Any, ...]
) -> tuple[int, bool, bool]:
    """Returns the bytes that only the backward pass holds, and whether it reads inputs, outputs."""

    def outputs_and_kept(*args: Any) -> Any:
        outputs, pull, _ = function(*args)
        return outputs, jax.tree.leaves(pull)

    jaxpr = jax.make_jaxpr(outputs_and_kept)(seeds, *given).jaxpr
    start = len(seeds) + len(jax.tree.leaves(given[0]))
    weights, others = set(map(id, jaxpr.invars[:start])), set(map(id, jaxpr.invars[start:]))
    outputs = set(map(id, jaxpr.outvars[: len(seeds)]))
    kept = {id(v): v for v in jaxpr.outvars[len(seeds) :] if not _is_constant(v, jaxpr)}
    own = [v for i, v in kept.items() if i not in weights | others | outputs]
    nbytes = sum(v.aval.size * _itemsize(v.aval.dtype) for v in own)
    return nbytes, bool(kept.keys() & others), bool(kept.keys() & outputs)


def _is_constant(variable: Any, jaxpr: Any) -> bool:
    """Tells whether a variable is one number repeated, which XLA never stores."""
    if hasattr(variable, "val"):
        return True
    for equation in jaxpr.eqns:
        for place, made in enumerate(equation.outvars):
            if made is not variable:
                continue
            inner = equation.params.get("jaxpr")
            if equation.primitive.name in ("jit", "pjit") and inner is not None:
                return _is_constant(inner.jaxpr.outvars[place], inner.jaxpr)
            broadcast = equation.primitive.name == "broadcast_in_dim"
            return broadcast and equation.invars[0].aval.ndim == 0
    return False


def _itemsize(dtype: DTypeLike) -> int:
    return getattr(dtype, "itemsize", 0)


def _flops(function: Callable[..., Any], *given: Any) -> int:
    """Returns XLA's count for a function, with loops as often as they run."""
    return _count(jax.make_jaxpr(function)(*given))


def _count(closed: Any) -> int:
    from jax.extend.core import jaxpr_as_fun  # late: it brings Pallas along (13 ms)

    avals = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in closed.in_avals]
    analysis: Any = jax.jit(jaxpr_as_fun(closed)).lower(*avals).cost_analysis()
    total = _sum(analysis)
    for length, body in _loops(closed.jaxpr):
        total += (length - 1) * _count(body)
    return total


def _sum(analysis: Any) -> int:
    found = analysis[0] if isinstance(analysis, list) else analysis or {}
    return int(max(found.get("flops", 0), 0) + max(found.get("transcendentals", 0), 0))


def _loops(jaxpr: Any) -> Iterator[tuple[int, Any]]:
    """Yields length and body of each scan that is not inside another."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            yield equation.params["length"], equation.params["jaxpr"]
            continue
        for value in equation.params.values():
            for inner in value if isinstance(value, (list, tuple)) else (value,):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from _loops(inner)


def of_function(function: Any, spec: TensorSpec) -> Work:
    """Returns the work of an activation function: XLA's count for a few numbers, scaled up."""
    if name_of(function) == "linear":
        return Work()
    try:
        sample = _sampled(function, spec.dtype)
    except TypeError:  # not hashable
        sample = _sampled.__wrapped__(function, spec.dtype)
    count, size = elements(spec), _SAMPLE[0] * _SAMPLE[1]
    return Work(
        -(-sample.forward * count // size),
        through=-(-sample.to_inputs * count // size),
        keeps=-(-sample.keeps * count // size),
        needs_inputs=sample.needs_inputs,
        needs_outputs=sample.needs_outputs,
    )


@lru_cache(maxsize=256)
def _sampled(function: Any, dtype: str) -> Work:
    spec = jax.ShapeDtypeStruct(_SAMPLE, jnp.dtype(dtype))
    return measure(lambda _, inputs: [function(inputs[0])], {}, [spec])


def _abstract(spec: Any) -> jax.ShapeDtypeStruct:
    shape = spec.dims if isinstance(spec, TensorSpec) else spec.shape
    return jax.ShapeDtypeStruct(tuple(shape), jnp.dtype(spec.dtype))
