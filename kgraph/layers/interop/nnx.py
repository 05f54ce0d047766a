"""An nnx module as functions."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from kgraph.layers.interop.functions import ModuleFunctions, mode_options
from kgraph.types import Array, Function, Tree


def nnx_functions(module: Any, method: str | Function | None) -> ModuleFunctions:
    """Returns an nnx module as functions of its Params and of its other variables.

    Its random streams are no variables of the layer: in training they start from the key of the
    call, and otherwise from where they are.
    """
    from flax import nnx

    graph, params, streams, others = nnx.split(module, nnx.Param, nnx.RngState, ...)
    draws = any(_is_key(leaf) for leaf in jax.tree.leaves(streams))

    def call_fn(params: Tree, state: Tree, rng: Any, inputs: Any, training: bool) -> Any:
        from flax import nnx

        keys = streams if rng is None else _rekeyed(streams, rng)
        copy = nnx.merge(graph, params, keys, state)
        copy.train() if training else copy.eval()
        if callable(method):
            outputs = method(copy, *inputs, **mode_options(method, training))
        else:
            target = getattr(copy, method or "__call__")
            outputs = target(*inputs, **mode_options(target, training))
        return outputs, nnx.split(copy, nnx.Param, nnx.RngState, ...)[3]

    return ModuleFunctions(call_fn, None, params, others, lambda layer: draws)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _rekeyed(streams: Tree, rng: Array) -> Any:
    """Returns random streams in which each key is a new one, of a number in the order of leaves."""
    leaves, structure = jax.tree.flatten(streams)
    new = [jax.random.fold_in(rng, i) if _is_key(x) else x for i, x in enumerate(leaves)]
    return jax.tree.unflatten(structure, new)
