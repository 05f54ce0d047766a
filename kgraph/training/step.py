"""The pure steps: training and evaluation of one batch, prediction of one batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

import jax

from kgraph.compiler import Program, Run
from kgraph.optimizers import Optimizer
from kgraph.training.objective import Objective, Scored
from kgraph.training.state import TrainState
from kgraph.types import Array, Shape


class Given(NamedTuple):
    """What predictions are made with.

    Fields:
        variables: params and state.
        key: words of a random key, or None for a program that draws nothing outside of training.
    """

    variables: Any
    key: Any = None

    def key_of(self, number: int | Array) -> Array | None:
        """Returns the key of a batch."""
        if self.key is None:
            return None
        return jax.random.fold_in(jax.random.wrap_key_data(self.key, impl="threefry2x32"), number)


class Batch(NamedTuple):
    """Some rows, flat: inputs in the order of the graph, targets and weights by output.

    For steps of a model's own each list has one item, nested as the data are.
    """

    inputs: list[Any]
    targets: list[Any]
    weights: list[Any]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return jax.tree.leaves((self.inputs, self.targets))[0].shape[0]

    @property
    def target_shapes(self) -> list[Shape | None]:
        """The shape of each output's targets, with the rows left open."""
        return [None if target is None else (None, *target.shape[1:]) for target in self.targets]


Step: TypeAlias = Callable[[TrainState, Batch, Array | None], TrainState]
"""From the state, a batch, and which of its rows count (`[rows]` bool, None for all)."""


def make_train_step(program: Program, objective: Objective, optimizer: Optimizer) -> Step:
    """Returns the step: forward, loss, gradients of the trained parameters, update, metrics.

    Frozen parameters get no gradient and take no part in the update. After the update each weight's
    constraint is applied.
    """

    def train_step(state: TrainState, batch: Batch, kept: Array | None = None) -> TrainState:
        key = jax.random.fold_in(state.key, state.step)
        trained, frozen = program.weights.layout_of(state.variables).split(state.params)
        own = objective.own_states(state.metrics)

        def loss_of(trained: Any) -> tuple[Array, Scored]:
            params = merge_params(trained, frozen)
            variables = {"params": params, "state": state.state}
            scored = objective.score(program, variables, batch, key, kept, own=own)
            return optimizer.scale_loss(scored.total, state.optimizer), scored

        grads, scored = jax.grad(loss_of, has_aux=True)(trained)
        updates, optimizer_state = optimizer._kgraph_update(grads, state.optimizer, trained)
        trained = jax.tree.map(lambda p, u: p + u, trained, updates)
        return TrainState(
            params=program.constrain(merge_params(trained, frozen)),
            state=scored.state,
            optimizer=optimizer_state,
            metrics=objective.update(state.metrics, batch, scored, kept),
            key=state.key,
            step=state.step + 1,  # may wrap around: it only makes each step's key another
        )

    return train_step


def make_test_step(program: Program, objective: Objective) -> Step:
    """Returns the step of evaluation: forward, loss and metrics; state that layers assign.

    Of the state, `key` is None for a program that draws nothing outside of training; else it is the
    key of the evaluation, and `step` the number of the batch.
    """

    def test_step(state: TrainState, batch: Batch, kept: Array | None = None) -> TrainState:
        variables = state.variables
        key = None if state.key is None else jax.random.fold_in(state.key, state.step)
        own = objective.own_states(state.metrics)
        scored = objective.score(program, variables, batch, key, kept, training=False, own=own)
        metrics = objective.update(state.metrics, batch, scored, kept)
        return replace(state, metrics=metrics, state=scored.state)

    return test_step


def make_predict(program: Program) -> Callable[[Given, Sequence[Any], Any], list[Array]]:
    """Returns `predict(given, inputs, number)`: the outputs of the batch of this number, flat."""

    def predict(given: Given, inputs: Sequence[object], number: Any) -> list[Array]:
        key = given.key_of(number)
        run: Run = program.run(given.variables, list(inputs), training=False, key=key)
        return run.outputs[: len(program.output_names)]

    return predict


def merge_params(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the union of two nested dicts that have no leaf in common."""
    merged = dict(a)
    for key, value in b.items():
        merged[key] = merge_params(merged[key], value) if key in merged else value
    return merged
