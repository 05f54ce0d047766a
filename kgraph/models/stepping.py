"""What a step of a model consists of, as Keras has it: methods that a class may override."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from kgraph.compiler import Run
from kgraph.data import unpack_x_y_sample_weight
from kgraph.layers.base import StatelessScope
from kgraph.layers.base.call_spec import call_spec
from kgraph.layers.base.stateless import step_mask
from kgraph.layers.base.stateless_scope import current_scope
from kgraph.models.meters import results
from kgraph.training.compile_options import make_objective, plain_loss
from kgraph.training.feed import flat_targets
from kgraph.training.own_loss import takes_training
from kgraph.training.pairing import by_output
from kgraph.types import Array, ArrayLike, DataLike, Tree

if TYPE_CHECKING:
    from kgraph.models.model import Model

Values = Sequence[ArrayLike]
"""A value for each variable of a list."""


def compute_loss(
    self: Model,
    x: Tree = None,
    y: Tree = None,
    y_pred: Tree = None,
    sample_weight: Tree = None,
    training: bool = True,
) -> Array:
    """Returns the loss of a batch: what `compile` was given, and what layers add.

    A subclass may compute another one: `fit` and `evaluate` call it as they call `call`, with
    weights, metrics in attributes and random numbers of the step.

    Args:
        x, y, sample_weight: the batch.
        y_pred: the outputs for it.
        training: False in an evaluation.
    """
    trainer = self._kgraph.trainer
    options, live = trainer.require_compiled("compute_loss"), trainer.programs.live
    if live is None:
        return plain_loss(options, y, y_pred, sample_weight, self.losses)
    graph = live.graph
    batch = flat_targets(graph, y, sample_weight)
    objective = make_objective(options, graph, batch.target_shapes)
    context, outputs = self._kgraph.context, by_output(graph, y_pred, "outputs")
    rows = batch.rows if any(t is not None for t in batch.targets) else 1
    mask_of = step_mask if context is None else context.mask_of
    masks = [mask_of(output) for output in outputs]
    run = Run(outputs, masks, [], {})
    total, parts = replace(objective, logits=()).loss_of(run, batch, self.losses)
    if context is None and current_scope() is not None and trainer.meters is not None:
        for key in parts.keys() & trainer.meters.means.keys():
            trainer.meters.means[key].update_state(parts[key], sample_weight=jnp.float32(rows))
    return total


def train_step(self: Model, state: tuple[Values, ...], data: DataLike) -> tuple[Any, Any]:
    """Returns logs and the state after a batch; a subclass writes its own, as in Keras with JAX.

    `fit` runs it compiled. It is pure: all values come in `state` and leave in what it returns.

    Args:
        state: values of `trainable_variables`, `non_trainable_variables`, of the optimizer's
            `variables`, and of `metrics_variables`: four lists.
        data: `x`, `(x, y)` or `(x, y, sample_weight)`, nested as they were given.
    """
    trainable, rest, optimizer, metrics = state
    x, y, sample_weight = unpack_x_y_sample_weight(data)
    gradient = jax.grad(self.compute_loss_and_updates, has_aux=True)
    grads, (loss, y_pred, rest, metrics) = gradient(
        trainable, rest, metrics, x, y, sample_weight, training=True, optimizer_variables=optimizer
    )
    assert self.optimizer is not None
    trainable, optimizer = self.optimizer.stateless_apply(optimizer, grads, trainable)
    logs, metrics = _measured(self, metrics, loss, x, y, y_pred, sample_weight)
    return logs, (trainable, rest, optimizer, metrics)


def test_step(self: Model, state: tuple[Values, ...], data: DataLike) -> tuple[Any, Any]:
    """Returns logs and the state after a batch of an evaluation; see `train_step`.

    Args:
        state: values of `trainable_variables`, `non_trainable_variables` and `metrics_variables`.
        data: as in `train_step`.
    """
    trainable, rest, metrics = state
    x, y, sample_weight = unpack_x_y_sample_weight(data)
    _, (loss, y_pred, rest, metrics) = self.compute_loss_and_updates(
        trainable, rest, metrics, x, y, sample_weight, training=False
    )
    logs, metrics = _measured(self, metrics, loss, x, y, y_pred, sample_weight)
    return logs, (trainable, rest, metrics)


def predict_step(self: Model, state: tuple[Values, ...], data: DataLike) -> tuple[Tree, Any]:
    """Returns the outputs for a batch, and the new values of `non_trainable_variables`.

    Args:
        state: values of `trainable_variables` and `non_trainable_variables`.
        data: `x`, or `(x,)`.
    """
    x, _, _ = unpack_x_y_sample_weight(data)
    return self.stateless_call(*state, x, **_training(self, False))


def compute_loss_and_updates(
    self: Model,
    trainable_variables: Values,
    non_trainable_variables: Values,
    metrics_variables: Values,
    x: Tree,
    y: Tree,
    sample_weight: Tree,
    training: bool = False,
    optimizer_variables: Values | None = None,
) -> tuple[Array, Any]:
    """Returns the loss to differentiate, and loss, outputs, new state and metrics as a second.

    Args:
        trainable_variables, non_trainable_variables, metrics_variables: values of the variables.
        x, y, sample_weight: a batch.
        training: whether layers run as in training.
        optimizer_variables: values of the optimizer's, by which it may scale the loss.
    """
    y_pred, rest, losses = self.stateless_call(
        trainable_variables, non_trainable_variables, x, return_losses=True,
        **_training(self, training),
    )  # fmt: skip
    core = self._kgraph
    before, core.run_losses = core.run_losses, losses
    try:
        loss, (_, rest, metrics) = self.stateless_compute_loss(
            trainable_variables, rest, metrics_variables, x=x, y=y, y_pred=y_pred,
            sample_weight=sample_weight, training=training,
        )  # fmt: skip
    finally:
        core.run_losses = before
    scaled = loss
    if training and self.optimizer is not None and optimizer_variables is not None:
        scaled = self.optimizer._kgraph_scaled_loss(loss, optimizer_variables)
    return scaled, (loss, y_pred, rest, metrics)


def stateless_compute_loss(
    self: Model,
    trainable_variables: Values,
    non_trainable_variables: Values,
    metrics_variables: Values,
    x: Tree = None,
    y: Tree = None,
    y_pred: Tree = None,
    sample_weight: Tree = None,
    training: bool = True,
) -> tuple[Array, tuple[Values, list[Array], list[Array]]]:
    """Returns what `compute_loss` does, and the values of the variables after it. Pure.

    Args:
        trainable_variables, non_trainable_variables, metrics_variables: values of the variables.
        x, y, y_pred, sample_weight, training: as for `compute_loss`.
    """
    rest, metrics = self.non_trainable_variables, self.metrics_variables
    given = [*zip(self.trainable_variables, trainable_variables, strict=True)]
    given += [*zip(rest, non_trainable_variables, strict=True)]
    given += [*zip(metrics, metrics_variables, strict=True)]
    batch: dict[str, Any] = {"x": x, "y": y, "y_pred": y_pred, "sample_weight": sample_weight}
    if takes_training(self.compute_loss):
        batch["training"] = training
    with StatelessScope(given):
        loss = jnp.asarray(self.compute_loss(**batch))
        after = [v.value for v in rest], [v.value for v in metrics]
    return loss, (trainable_variables, *after)


def compute_metrics(
    self: Model, x: Tree, y: Tree, y_pred: Tree, sample_weight: Tree = None
) -> dict[str, Any]:
    """Updates the metrics of `compile`, and returns the values of all metrics by name.

    A subclass may update metrics of its own; a step calls it after the update of the weights.

    Args:
        x, y, sample_weight: the batch.
        y_pred: the outputs for it.
    """
    meters = self._kgraph.trainer.meters
    if meters is not None and meters.compiled is not None:
        meters.compiled.update_state(y, y_pred, sample_weight)
    return self.get_metrics_result()


def get_metrics_result(self: Model) -> dict[str, Any]:
    """Returns the value of each of `metrics` by name."""
    return results(self.metrics)


def reset_metrics(self: Model) -> None:
    """Lets all of `metrics` start anew: what `fit` does before an epoch."""
    for metric in self.metrics:
        metric.reset_state()


def _measured(
    self: Model, variables: Values, loss: Array, x: Tree, y: Tree, y_pred: Tree, weight: Tree
) -> tuple[dict[str, Any], list[Array]]:
    """Returns logs and the values of metrics after a batch."""
    own = self.metrics_variables
    rows = next(leaf for leaf in jax.tree.leaves(x)).shape[0]
    meters = self._kgraph.trainer.meters
    with StatelessScope(zip(own, variables, strict=True)):
        if meters is not None:
            meters.means["loss"].update_state(loss, sample_weight=jnp.float32(rows))
        logs = self.compute_metrics(x, y, y_pred, weight)
        return logs, [variable.value for variable in own]


def _training(self: Model, training: bool) -> dict[str, Any]:
    """Returns the mode as an argument of the model's call, if it takes one."""
    return {"training": training} if call_spec(type(self)).takes_training else {}
