"""Where a number that is not finite came from: the first node, weight or gradient that has one."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.compiler import Program
from kgraph.compiler.executables import Jitted
from kgraph.errors import StateError
from kgraph.graph.node import Node
from kgraph.training.objective import Objective
from kgraph.training.state import TrainState
from kgraph.training.step import Batch, merge_params
from kgraph.types import Array


class NonFiniteError(StateError):
    """A training step gave NaN or infinity. The model has the weights from before it."""


def is_finite(state: TrainState) -> bool:
    """Tells whether the loss so far and all parameters are finite. Waits for the state."""
    watched = (state.metrics.get("loss", state.metrics), state.params)
    return all(bool(np.isfinite(np.asarray(leaf)).all()) for leaf in jax.tree.leaves(watched))


def explain(
    program: Program, objective: Objective, state: TrainState, batch: Batch
) -> NonFiniteError:
    """Returns the error for the step that `batch` made from `state`.

    Args:
        program, objective: what was trained.
        state: before the step, finite.
        batch: of the step.
    """
    place = f"step {int(state.step) + 1}"
    key = jax.random.fold_in(state.key, state.step)
    for name, array in zip(program.input_names, batch.inputs):
        if not _finite(array):
            return _error(place, f"the input {name!r} of this batch", "clean the data")
    for name, target in zip(objective.names, batch.targets):
        if target is not None and not _finite(target):
            return _error(place, f"the targets of {name!r} in this batch", "clean the data")
    variables = {"params": state.params, "state": state.state}
    nodes: list[Node] = []

    def forward(variables: Any, inputs: list[Array], key: Array) -> list[Array]:
        flags: list[Array] = []

        def observe(node: Node, outputs: list[Array]) -> None:
            nodes.append(node)
            flags.append(jnp.all(jnp.stack([jnp.all(jnp.isfinite(o)) for o in outputs])))

        program.run(variables, inputs, training=True, key=key, observe=observe)
        return flags

    flags = jax.device_get(Jitted(forward)(variables, batch.inputs, key))
    for node, fine in zip(nodes, flags):
        if not fine:
            kind = program.flat_graph.layers[node.layer].class_name
            what = f"the output of {node.name!r} ({kind}), for finite inputs and weights"
            return _error(place, what, "a smaller learning rate, or clipnorm=1.0", node.source)
    return _error(place, _bad_gradient(program, objective, state, batch, key), "clipnorm=1.0")


def unexplained(state: TrainState) -> NonFiniteError:
    """Returns the error for a step of the user's own, of which only results are seen."""
    what = "a weight or a log after it"
    return _error(f"step {int(state.step) + 1}", what, "look at the step with run_eagerly=True")


def _bad_gradient(
    program: Program, objective: Objective, state: TrainState, batch: Batch, key: Array
) -> str:
    trained, frozen = program.weights.layout.split(state.params)
    own = objective.own_states(state.metrics)

    def loss(trained: Any) -> Array:
        params = merge_params(trained, frozen)
        variables = {"params": params, "state": state.state}
        return objective.score(program, variables, batch, key, None, own=own).total

    value, grads = Jitted(jax.value_and_grad(loss))(trained)
    if not _finite(value):
        return "the loss itself, of finite outputs"
    for path, grad in jax.tree_util.tree_leaves_with_path(grads):
        if not _finite(grad):
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            return f"the gradient by {name!r}, of a finite loss"
    return "the update of the optimizer, of finite gradients"


def _error(place: str, what: str, hint: str, source: Any = None) -> NonFiniteError:
    return NonFiniteError(
        f"Training gave a number that is not finite in {place}",
        at=None if source is None else str(source),
        received=f"NaN or infinity first in {what}",
        hint=hint,
    )


def _finite(array: Any) -> bool:
    values = np.asarray(array)
    return not np.issubdtype(values.dtype, np.inexact) or bool(np.isfinite(values).all())
