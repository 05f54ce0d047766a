"""A linen module as functions."""

from __future__ import annotations

from typing import Any

import jax

from kgraph.layers.interop.functions import ModuleFunctions, mode_options
from kgraph.types import Function, Tree


def linen_functions(module: Any, method: str | Function | None, variables: Tree) -> ModuleFunctions:
    """Returns a linen module as functions of its collection "params" and of all others."""
    target = getattr(module, method) if isinstance(method, str) else method or module.__call__

    def init_fn(rng: Any, inputs: Any) -> tuple[Any, Any]:
        keys = {name: jax.random.fold_in(rng, i) for i, name in enumerate(("params", "dropout"))}
        return _split(module.init(keys, *inputs, method=method, **mode_options(target, True)))

    def call_fn(params: Any, state: Any, rng: Any, inputs: Any, training: bool) -> Any:
        given = {"params": params, **state} if params else state
        # Streams of other names are derived by linen from "params".
        keys = None if rng is None else {"params": rng, "dropout": jax.random.fold_in(rng, 1)}
        outputs, changed = module.apply(
            given,
            *inputs,
            rngs=keys,
            method=method,
            mutable=list(state),
            **mode_options(target, training),
        )
        return outputs, {**state, **changed}

    def needs_rng(layer: Any) -> bool:
        from flax.errors import InvalidRngError

        known = layer.params_shapes, layer.state_shapes, layer.example
        try:
            jax.eval_shape(lambda p, s, x: call_fn(p, s, None, x, True), *known)
        except InvalidRngError:
            return True
        return False

    if variables is None:
        return ModuleFunctions(call_fn, init_fn, None, None, needs_rng)
    return ModuleFunctions(call_fn, init_fn, *_split(variables), needs_rng)


def _split(variables: Any) -> tuple[Any, Any]:
    rest = {name: tree for name, tree in variables.items() if name != "params"}
    return variables.get("params", {}), rest
