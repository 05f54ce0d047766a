"""compile: how a model is to be trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from kgraph import optimizers
from kgraph.checks import is_whole
from kgraph.compiler import Pass
from kgraph.compiler.lower import LiveGraph, Remat, Stacking, check_stacking
from kgraph.descriptions import find_opaque, written
from kgraph.distribution.current import check_distribution
from kgraph.distribution.current import distribution as in_force
from kgraph.errors import ConfigError
from kgraph.hooks import is_overridden, refuse_overrides
from kgraph.layers.base.core import label_of
from kgraph.models.programs import Lowering
from kgraph.registry import describe, restore
from kgraph.training.compilation import CompileReport
from kgraph.training.compile_options import CompileOptions, check_options
from kgraph.training.custom_loss import LossFn
from kgraph.training.pieces import LossInPieces, check_loss_in_pieces
from kgraph.types import LossesLike, MetricsLike, OptimizerLike

if TYPE_CHECKING:
    from kgraph.distribution.base import Distribution
    from kgraph.models.model import Model


def compile(
    self: Model,
    optimizer: OptimizerLike | None = "rmsprop",
    loss: LossesLike | None = None,
    loss_weights: Sequence[float] | Mapping[str, float] | None = None,
    metrics: MetricsLike | None = None,
    weighted_metrics: MetricsLike | None = None,
    run_eagerly: bool = False,
    steps_per_execution: int | Literal["auto"] = "auto",
    jit_compile: bool | Literal["auto"] = "auto",
    auto_scale_loss: bool = True,
    loss_fn: LossFn | None = None,
    stack: Stacking = "auto",
    remat: Remat | None = None,
    passes: Sequence[Pass] | None = None,
    distribution: Distribution | None = None,
    loss_in_pieces: LossInPieces = "auto",
) -> None:
    """Sets how the model is trained. A new call starts a new optimizer; weights stay.

    Args:
        optimizer: a name or object with Keras' numbers, or any optax transformation, which
            means what it means in optax.
        loss: a name, a Loss or a function of (y_true, y_pred); or a list with one for each
            output, or a dict by output name.
        loss_weights: factors of the outputs' losses in the total, as list or dict.
        metrics: names, Metric objects or functions; for several outputs a list of lists or a
            dict by output name. They ignore sample weights.
        weighted_metrics: the same, with sample weights.
        run_eagerly: True runs steps as plain Python, operation by operation, to look into them
            with prints and debuggers. Slow.
        steps_per_execution: how many steps go to the device at once, for data that are arrays;
            "auto" chooses it from the measured time of a step. It changes no result.
        jit_compile: False is the same as `run_eagerly=True`.
        auto_scale_loss: wraps the optimizer into a LossScaleOptimizer if the model computes in
            float16, whose small gradients would vanish.
        loss_fn: a pure function that computes the loss in the place of `loss`, for models whose
            loss is not a sum over outputs: `loss_fn(program, variables, batch, key)` returns
            the loss, a scalar, and a dict. `program` and `variables` are as in
            `kgraph.lower`; `batch` has the fields `x`, `y` and `sample_weight`; `key` is a JAX
            key in training and None in evaluation. Of the dict, "state" is the new state of the
            layers, "outputs" the model's outputs (metrics need them), and every other entry a
            scalar that is logged. Regularizers count only if it adds
            `program.penalties(variables["params"])`.
        stack: whether repeated blocks are computed by one body, so that the time to compile
            does not grow with their number; see `kgraph.lower`.
        remat: "blocks", "offload", the name of a policy of `jax.checkpoint`, or names of layers:
            what is computed again in the backward pass, to save memory; see `kgraph.lower`.
        passes: what to run over the graph in the place of the standard pipeline, in this
            order; () runs none, and losses are then computed from the outputs as they are.
            Predictions run them as well.
        distribution: how weights and batches are spread over several devices, in `fit`,
            `evaluate`, `predict` and calls; by default what `set_distribution` has put in
            force, if anything. `print(distribution.plan(model))` shows what lies where.
        loss_in_pieces: whether the cross-entropy of classes behind a last Dense (EinsumDense,
            ReversibleEmbedding) is computed in pieces of some 2,000 rows, so that the logits
            never exist as a whole. "auto" does so for 16 million logits or more on each device
            where nothing else reads them: of metrics, accuracies, top-k accuracies and the
            cross-entropy itself are computed in pieces too. True always does, and fails where it
            cannot be; a number does with so many rows a piece; False never. Numbers are the same up
            to rounding; `compile_report()` says what was done, and why not.

    Raises:
        ConfigError: a name is unknown, a dict has a key that is no output, or a weight does not
            fit its layout.
    """
    if steps_per_execution != "auto" and not is_whole(steps_per_execution, least=1):
        raise ConfigError(
            'steps_per_execution is "auto", or at least 1', received=repr(steps_per_execution)
        )
    if loss_fn is not None and not (loss is None and loss_weights is None):
        raise ConfigError(
            "A loss_fn takes the place of loss and loss_weights", hint="give one of the two"
        )
    if loss_fn is not None and is_overridden(self, "compute_loss"):
        raise ConfigError(
            f"{label_of(self)} has a compute_loss of its own, and a loss_fn", hint="give one"
        )
    refuse_overrides(self, "Model")
    check_stacking(stack, remat)
    check_loss_in_pieces(loss_in_pieces)
    options = CompileOptions(loss, loss_weights, metrics, weighted_metrics, loss_fn)
    programs, trainer = self._kgraph.programs, self._kgraph.trainer
    live = programs.live
    check_options(options, None if live is None else live.graph)
    check_distribution(distribution)
    distribution = in_force() if distribution is None else distribution
    if distribution is not None and live is not None:
        distribution.plan(self).refuse_unused()
    made = None if optimizer is None else optimizers.get(optimizer)
    if made is not None:
        refuse_overrides(made, "Optimizer")
        scales = made.loss_scale_factor is not None
        scales = scales or isinstance(made, optimizers.LossScaleOptimizer)
        if auto_scale_loss and not scales and _computes_in_float16(self, live):
            made = optimizers.LossScaleOptimizer(made)
    eager = run_eagerly or jit_compile is False
    self.optimizer, self.stop_training = made, False
    programs.lowering = Lowering(
        None if passes is None else tuple(passes), False if eager else stack, remat, distribution,
        loss_in_pieces,
    )  # fmt: skip
    programs.forget()
    trainer.start_anew(
        options, None if steps_per_execution == "auto" else steps_per_execution, eager
    )


def get_compile_config(self: Model) -> dict[str, Any] | None:
    """Returns what `compile` was given as plain data; None before `compile`.

    Raises:
        ConfigError: something in it (a lambda, an optax object) cannot be written down.
    """
    given = self._kgraph.trainer.given()
    if given is None:
        return None
    plain: dict[str, Any] = written({name: describe(value) for name, value in given.items()})
    for path, value in find_opaque(plain):
        raise ConfigError(
            f"The compile option {path} of {label_of(self)} cannot be written down",
            received=value.text,
            hint="register it: @kgraph.saving.register_keras_serializable()",
        )
    return plain


def compile_from_config(self: Model, config: Mapping[str, Any]) -> None:
    """Compiles the model with what `get_compile_config` returned."""
    self.compile(**{name: restore(value) for name, value in config.items()})


def compile_report(self: Model) -> CompileReport:
    """Returns what was compiled for this model so far: when, how long, and why it was new.

    Printed, it is a table. Calls of the model on arrays outside `fit`, `evaluate` and `predict`
    are not part of it.
    """
    return self._kgraph.trainer.compiler.report()


def _computes_in_float16(model: Model, live: LiveGraph | None) -> bool:
    layers = [] if live is None else live.layers.values()
    return any(layer.compute_dtype == "float16" for layer in (model, *layers))
