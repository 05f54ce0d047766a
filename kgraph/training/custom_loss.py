"""A loss computed by the user's own function of the program, instead of losses of outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from kgraph.compiler import Program
from kgraph.errors import ConfigError
from kgraph.graph.structure import fill, leaves
from kgraph.training.pairing import output_keys
from kgraph.types import Array

LossFn: TypeAlias = Callable[..., tuple[Array, Mapping[str, Any]]]
"""`loss_fn(program, variables, batch, key)` returns the loss and a dict."""


class LossBatch(NamedTuple):
    """What a `loss_fn` gets of the data.

    Fields:
        x: inputs, in the structure that the model takes.
        y: targets: of one output an array, of several a dict by output name; None without targets.
        sample_weight: weights of rows, in the form of `y`.
    """

    x: Any
    y: Any
    sample_weight: Any


def call_loss_fn(
    loss_fn: LossFn, program: Program, variables: Any, batch: Any, key: Array | None
) -> tuple[Array, dict[str, Array], list[Any], list[Any], Any]:
    """Returns total, parts, outputs, masks and state as `loss_fn` gives them.

    Raises:
        ConfigError: it returns anything but a scalar and a dict.
    """
    given = loss_batch(program, batch)
    result = loss_fn(program, variables, given, key)
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Mapping)):
        raise ConfigError(
            "loss_fn returns the loss and a dict",
            expected='loss, {} or loss, {"state": new_state, "accuracy": value}',
            received=type(result).__name__,
        )
    total, aux = jnp.asarray(result[0]), dict(result[1])
    state = aux.pop("state", variables["state"])
    outputs = list(leaves(aux.pop("outputs", [])))
    parts = {str(name): jnp.asarray(value) for name, value in aux.items()}
    for name, value in {"loss": total, **parts}.items():
        if value.shape != ():
            raise ConfigError(
                f"loss_fn returned {name!r} as an array",
                expected="a scalar",
                received=str(list(value.shape)),
                hint="jnp.mean(...)",
            )
    return total, parts, outputs, [None] * len(outputs), state


def loss_batch(program: Program, batch: Any) -> LossBatch:
    """Returns a flat batch in the structures that users know."""
    graph = program.model_graph
    names = output_keys(graph)

    def by_name(values: list[Any]) -> Any:
        if all(value is None for value in values):
            return None
        return values[0] if len(names) == 1 else dict(zip(names, values))

    x = fill(graph.input_structure, batch.inputs)
    return LossBatch(x, by_name(batch.targets), by_name(batch.weights))


def logged_names(loss_fn: LossFn, program: Program, batch: Any) -> tuple[str, ...]:
    """Returns the keys of the numbers that `loss_fn` returns beside the loss, in order."""
    variables = jax.eval_shape(program.init, jax.random.key(0))
    key = jax.eval_shape(lambda: jax.random.key(0))

    def parts(variables: Any, batch: Any, key: Array) -> dict[str, Array]:
        return call_loss_fn(loss_fn, program, variables, batch, key)[1]

    return tuple(jax.eval_shape(parts, variables, batch, key))
