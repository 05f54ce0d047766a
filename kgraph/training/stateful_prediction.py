"""Predictions that change state: batch by batch, each from the state that the last one has left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from kgraph.compiler import Program
from kgraph.compiler.executables import shapes_of
from kgraph.compiler.inference import Inference
from kgraph.errors import ConfigError
from kgraph.hooks import place_of
from kgraph.layers.base.between_blocks import between_blocks
from kgraph.layers.base.core import label_of
from kgraph.layers.base.stateless import run_by
from kgraph.layers.base.variable import root_key
from kgraph.training.compilation import Compiler, Function
from kgraph.training.own_steps import own_data, running_step
from kgraph.training.placement import Placement
from kgraph.training.prediction import Predictor
from kgraph.training.step import Batch, Given
from kgraph.types import Array

if TYPE_CHECKING:
    from kgraph.models.model import Model


PredictStep = Callable[[Given, Sequence[Any], Any], tuple[list[Any], Any]]
"""From variables, inputs and the number of a batch to outputs, flat, and the new state."""


class StatefulPredictor(Predictor):
    """A predictor whose layers, or whose own step, assign state.

    Args:
        inference: whose variables the step is given.
        compiler: makes the executables.
        placement: where arrays lie on several devices; None for one device.
        step: predicts a batch.
        always_draws: whether the step may need a key.

    Attributes:
        own_step: the step, if the model's class has it.
    """

    keeps_state = True
    pads = False  # pyright: ignore[reportAssignmentType]

    def __init__(
        self, inference: Inference, compiler: Compiler, placement: Placement | None,
        step: PredictStep, always_draws: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(inference, compiler, placement)
        whole = None if placement is None else placement.distribution.replicated
        placed = None if whole is None else lambda _: whole
        self._with_state = Function(compiler, "predict (one batch)", step, (), placed)
        self._always_draws = always_draws
        self.own_step: OwnPrediction | None = None

    def given(self) -> Given:
        """Returns the weights as they are now, and a new key where one may be needed."""
        given = super().given()
        return given._replace(key=root_key()) if self._always_draws else given

    def batch(self, given: Given, batch: Batch, number: int) -> tuple[list[Array], Given]:
        """Returns the outputs of one batch, and what the next one is predicted with."""
        form = (("data", shapes_of(batch.inputs)), ("variables", shapes_of(given.variables)))
        with self._compiler.eagerly():
            outputs, state = self._with_state(form, given, batch.inputs, np.int32(number))
        return outputs, given._replace(variables={**given.variables, "state": state})

    def end(self, given: Given) -> None:
        """Keeps the state that the last batch has left, unless a training has it."""
        layout = self.program.weights.layout_of(given.variables)
        values = layout.by_weight(given.variables, ("state",))
        with between_blocks:
            for place in layout.places:
                if place.collection == "state":
                    place.weight.assign(values[id(place.weight)])


def predict_step(program: Program) -> PredictStep:
    """Returns the step of a program whose layers assign state."""

    def predict(given: Given, inputs: Sequence[Any], number: int | Array) -> tuple[list[Any], Any]:
        run = program.run(given.variables, list(inputs), key=given.key_of(number))
        return run.outputs[: len(program.output_names)], run.state

    return predict


class OwnPrediction:
    """The `predict_step` of a model's class as a step.

    Args:
        model: whose class has it.
        program: whose variables the step is given; a functional model runs as it.

    Attributes:
        structure: of the outputs, once the step has been traced.
    """

    def __init__(self, model: Model, program: Program) -> None:
        self.model, self._program = model, program
        self._lists = (list(model.trainable_variables), list(model.non_trainable_variables))
        self.structure: Any = None

    def __call__(
        self, given: Given, inputs: Sequence[Any], number: int | Array
    ) -> tuple[list[Any], Any]:
        program, layout = self._program, self._program.weights.layout
        values = layout.by_weight(given.variables)
        names = ("trainable_variables", "non_trainable_variables")
        held = {id(v): name for name, own in zip(names, self._lists) for v in own}
        lists = tuple([values[id(v)] for v in own] for own in self._lists)
        graph = self.model._kgraph_inner_graph
        runners = {} if graph is None else {id(self.model): program.as_runner()}
        key = given.key_of(number)
        with running_step(self.model, "predict_step", held, key), run_by(runners):
            returned = self.model.predict_step(lists, own_data(Batch([*inputs], [], [])))
        state = self._checked(returned)
        values.update(zip(map(id, self._lists[1]), state))
        outputs, self.structure = jax.tree.flatten(returned[0])
        return outputs, layout.nest(values, ("state",))["state"]

    def _checked(self, returned: Any) -> list[Array]:
        """Returns the new state; raises ConfigError if it is none."""
        rest = self._lists[1]
        good = isinstance(returned, tuple) and len(returned) == 2
        if not good or len(returned[1]) != len(rest):
            raise ConfigError(
                f"predict_step of {label_of(self.model)} returned no outputs and state",
                at=place_of(self.model, "predict_step"),
                expected=f"outputs, non_trainable_variables ({len(rest)} of them)",
                received=f"a tuple of {len(returned)}" if good else type(returned).__name__,
            )
        return [v.fitting(value) for v, value in zip(rest, returned[1])]
