"""The steps of a model whose class writes them, bound to its weights and its optimizer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from kgraph.compiler import Program
from kgraph.compiler.inference import Inference
from kgraph.errors import ConfigError
from kgraph.layers.base.core import label_of
from kgraph.models.programs import Programs
from kgraph.optimizers import Optimizer
from kgraph.training.compilation import Compiler
from kgraph.training.compile_options import CompileOptions
from kgraph.training.own_steps import OwnSteps, hand_for, trained_by
from kgraph.training.stateful_prediction import OwnPrediction, StatefulPredictor
from kgraph.training.step import Batch

if TYPE_CHECKING:
    from kgraph.models.model import Model


def own_predictor(model: Model, compiler: Compiler) -> StatefulPredictor:
    """Returns what predicts by the `predict_step` of a model's class."""
    programs = model._kgraph.programs
    program = _whole(programs)
    programs.create_values(program)
    step = OwnPrediction(model, program)
    found = StatefulPredictor(Inference(program), compiler, programs.placement(), step, True)
    found.own_step = step
    return found


def own_steps(
    model: Model, options: CompileOptions, batch: Batch
) -> tuple[OwnSteps, Program, Optimizer]:
    """Returns the steps, the program whose variables they change, and the optimizer.

    Args:
        model: whose class writes them.
        options: what `compile` was given.
        batch: its shapes count.

    Raises:
        ConfigError: `compile` was given what such a step cannot use.
        StateError: a layer has no weights yet.
    """
    optimizer, programs = model.optimizer, model._kgraph.programs
    if options.loss_fn is not None:
        raise ConfigError(
            f"{label_of(model)} has steps of its own, and a loss_fn", hint="give one of the two"
        )
    if not isinstance(optimizer, Optimizer):
        raise ConfigError(
            f"{label_of(model)} has no optimizer",
            expected="an optimizer of kgraph as model.optimizer",
            received=repr(optimizer),
            hint="the variables of a second one are state of the model if an attribute holds them: "
            "self.second_state = list(self.second.variables)",
        )
    program = programs.bare() if programs.live is None else programs.training([])
    program = program.training_only(trained_by(optimizer, model.trainable_variables))
    own = OwnSteps(model, program, batch)
    own.optimize(optimizer)
    return own, program, optimizer


def trained_program(model: Model) -> Program:
    """Returns the program that has what a training changes, with no block stacked."""
    program, optimizer = _whole(model._kgraph.programs), model.optimizer
    if optimizer is None or not model._kgraph.trainer.has_own_steps:
        return program
    return program.training_only(trained_by(optimizer, model.trainable_variables))


def restore_optimizer(model: Model, optimizer: Optimizer, optimizer_state: Any) -> None:
    """Lets a model's optimizer know the state that it goes on from."""
    optimizer._kgraph_watch(partial(int, int(optimizer_state.step)))
    optimizer._kgraph_adopt_rate(optimizer_state)
    if optimizer.built and model._kgraph.trainer.has_own_steps:
        layout = trained_program(model).weights.layout
        hand_for(optimizer, model.trainable_variables, layout).slots.assign(optimizer_state)


def _whole(programs: Programs) -> Program:
    return programs.bare() if programs.live is None else programs.plain()
