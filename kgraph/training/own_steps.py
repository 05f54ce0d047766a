"""The steps of a model whose class says itself how they go: `train_step`, `test_step` and the like.

A step of the engine goes from TrainState to TrainState. The class' goes from Keras' lists of values
to such lists, so here each list is filled from the state by weight, and taken back. All else
(blocks of steps, donation, checkpoints, several devices) sees a step like any other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.compiler import Layout, Program
from kgraph.compiler.executables import shapes_of
from kgraph.compiler.layout import Variables
from kgraph.compiler.primitives import equations
from kgraph.data import pack_x_y_sample_weight
from kgraph.errors import StateError, listed
from kgraph.hooks import is_overridden
from kgraph.layers.base import StatelessScope, Variable
from kgraph.layers.base.core import label_of
from kgraph.layers.base.stateless import keys_from, run_by
from kgraph.layers.base.stateless_scope import scoped
from kgraph.layers.base.step_scope import StepScope
from kgraph.optimizers import Optimizer
from kgraph.optimizers.in_place import InPlace
from kgraph.training.lending import VARIABLES, Lending
from kgraph.training.phase import Phase
from kgraph.training.returned import check_logs, check_returned, check_same_logs, flat_logs
from kgraph.training.state import TrainState
from kgraph.training.step import Batch
from kgraph.types import Array

if TYPE_CHECKING:
    from kgraph.models.model import Model


LOGS = "logs"
"""Under this accumulators have what the last step returned."""


def own_data(batch: Batch) -> Any:
    """Returns a batch as a step of the user's gets it: `x`, `(x, y)` or `(x, y, sample_weight)`."""
    return pack_x_y_sample_weight(*(part[0] if part else None for part in batch))


class OwnSteps:
    """The phases of training and evaluation of such a model.

    Args:
        model: whose class has the steps.
        program: whose variables the states have; a functional model runs as it.
        example: a batch; its shapes decide those of the logs.
    """

    def __init__(self, model: Model, program: Program, example: Batch) -> None:
        self.model = model
        self._program, self._layout = program, program.weights.layout
        self._example = example
        self._orders: dict[frozenset[str], list[str]] = {}
        self._logs_of_test: dict[Any, Mapping[str, Any]] = {}
        self.trainable = list(model.trainable_variables)
        self.rest = list(model.non_trainable_variables)
        self.metrics = list(model.metrics_variables)
        self.hand: InPlace | None = None
        self._left: list[Array] = []
        self._first: list[np.ndarray] | None = None
        self.train = Phase(self._train_step, lambda _: self._fresh(self._train_logs), self._results)
        self.test = Phase(self._test_step, self._fresh_for_test, self._results)

    def optimize(self, optimizer: Optimizer) -> None:
        """Lets a training use an optimizer; it is built now unless it is."""
        self.hand = hand_for(optimizer, self.trainable, self._layout)

    # --- the steps ------------------------------------------------------------------------------

    def _train_step(self, state: TrainState, batch: Batch, kept: Array | None = None) -> TrainState:
        assert self.hand is not None
        values = self._layout.by_weight(state.variables)
        slots = self.hand.slots
        given = (
            *self._weights(values), slots.in_order(state.optimizer), state.metrics[VARIABLES],
        )  # fmt: skip
        key = jax.random.fold_in(state.key, state.step)
        logs, after = self._run("train_step", given, batch, key)
        trainable, rest, optimizer, metrics = after
        return TrainState(
            **self._nested(trainable, rest),
            optimizer=slots.filled(optimizer),
            metrics=self._accumulators(metrics, logs, state.metrics),
            key=state.key,
            step=state.step + 1,
        )

    def _test_step(self, state: TrainState, batch: Batch, kept: Array | None = None) -> TrainState:
        values = self._layout.by_weight(state.variables)
        given = (*self._weights(values), state.metrics[VARIABLES])
        key = None if state.key is None else jax.random.fold_in(state.key, state.step)
        logs, (trainable, rest, metrics) = self._run("test_step", given, batch, key)
        accumulators = self._accumulators(metrics, logs, state.metrics)
        return replace(state, **self._nested(trainable, rest), metrics=accumulators)

    def _run(
        self, name: str, given: tuple[Any, ...], batch: Batch, key: Array | None
    ) -> tuple[dict[str, Any], tuple[Any, ...]]:
        method = getattr(self.model, name)
        graph = self.model._kgraph_inner_graph
        runners = {} if graph is None else {id(self.model): self._program.as_runner()}
        with running_step(self.model, name, self._held, key), run_by(runners):
            returned = method(given, own_data(batch))
        logs, after = check_returned(self.model, name, returned, given, self._names(len(given)))
        return check_logs(self.model, name, logs), after

    def _names(self, lists: int) -> list[tuple[str, list[Variable]]]:
        """Returns name and variables of each list in a state of so many."""
        found = [("trainable_variables", self.trainable), ("non_trainable_variables", self.rest)]
        if lists == 4 and self.hand is not None:
            found.append(("optimizer_variables", self.hand.slots.variables))
        return [*found, ("metrics_variables", self.metrics)]

    @cached_property
    def _held(self) -> dict[int, str]:
        return {id(v): name for name, own in self._names(4) for v in own}

    def _weights(self, values: Mapping[int, Any]) -> tuple[list[Any], list[Any]]:
        return [values[id(v)] for v in self.trainable], [values[id(v)] for v in self.rest]

    def _nested(self, trainable: Sequence[Any], rest: Sequence[Any]) -> Variables:
        values = dict(zip(map(id, self.trainable), trainable))
        values.update(zip(map(id, self.rest), rest))
        return self._layout.nest(values)

    # --- accumulators ---------------------------------------------------------------------------

    def _accumulators(self, metrics: list[Any], logs: Mapping[str, Any], before: Any) -> Any:
        known = before.get(LOGS)
        if known is not None:
            check_same_logs(self.model, logs, known)
            logs = {key: jnp.asarray(logs[key], known[key].dtype) for key in known}
        return {VARIABLES: list(metrics), LOGS: dict(logs)}

    def _fresh(self, logs: Mapping[str, Any]) -> Any:
        values = self._first
        if values is None:
            with jax.ensure_compile_time_eval(), StatelessScope():
                self.model.reset_metrics()
                values = jax.device_get([variable.value for variable in self.metrics])
            own = (is_overridden(m, "reset_state") for m in self.model.metrics)
            if not is_overridden(self.model, "reset_metrics") and not any(own):
                self._first = values  # always the same
        return {
            VARIABLES: jax.device_put(values, may_alias=False),
            LOGS: {
                key: jax.device_put(np.zeros(like.shape, like.dtype)) for key, like in logs.items()
            },
        }

    def _results(self, accumulators: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns the last logs, or what a `get_metrics_result` of the class makes of their names.

        Keras asks its own `get_metrics_result` too, whose loss is 0 if a step did not update it.
        """
        logs: Mapping[str, Any] = accumulators[LOGS]
        if not is_overridden(self.model, "get_metrics_result"):
            return logs
        with StatelessScope(zip(self.metrics, accumulators[VARIABLES])):
            found = flat_logs(self.model.get_metrics_result())
        return found if found.keys() == logs.keys() else logs

    @cached_property
    def _train_traced(self) -> tuple[Any, TrainState]:
        """What a training step computes, and the shapes of its results."""
        make = jax.make_jaxpr(self._train_step, return_shape=True)
        return make(self._state(True), self._example)

    @property
    def _train_logs(self) -> Mapping[str, Any]:
        return self._train_traced[1].metrics[LOGS]

    def _fresh_for_test(self, like: Batch) -> Any:
        key = shapes_of(like)
        if key not in self._logs_of_test:
            after = jax.eval_shape(self._test_step, self._state(False), like)
            self._logs_of_test[key] = after.metrics[LOGS]
        return self._fresh(self._logs_of_test[key])

    def loops_well(self, backend: str) -> bool:
        """Tells whether training may loop on the device: see `padding.loops_well`."""
        if backend != "cpu" or self.hand is None:
            return backend != "cpu"
        computed = equations(self._train_traced[0])
        return not any(e.primitive.name == "conv_general_dilated" for e in computed)

    def _state(self, trains: bool) -> TrainState:
        """Returns shapes of a state, without logs."""
        variables, optimizer = self._layout.specs, None
        if trains and self.hand is not None:
            trained = self._layout.split(variables["params"])[0]
            optimizer = jax.eval_shape(self.hand.optimizer._kgraph_init, trained)
        metrics = [jax.ShapeDtypeStruct(v.shape, v.dtype) for v in self.metrics]
        key = jax.eval_shape(lambda: jax.random.key(0, impl="threefry2x32"))
        return TrainState(
            **variables, optimizer=optimizer, metrics={VARIABLES: metrics}, key=key,
            step=jax.ShapeDtypeStruct((), np.int32),
        )  # fmt: skip

    def in_order(self, logs: Mapping[str, Any]) -> list[Any]:
        """Returns logged values in the order of the metrics, and others behind them."""
        order = self._orders.get(frozenset(logs))
        if order is None:  # asking a model for its results takes longer than a small step
            named = [k for k in flat_logs(self.model.get_metrics_result()) if k in logs]
            order = [*named, *sorted(logs.keys() - set(named))]
            self._orders[frozenset(logs)] = order
        return [logs[key] for key in order]

    # --- variables while an engine runs ---------------------------------------------------------

    def optimizer_state_by_hand(self) -> Any:
        """Returns the state of an optimizer whose variables were used since the last training.

        None if they were not, or are new: then nobody else has what that has left behind.
        """
        assert self.hand is not None
        variables = self.hand.slots.variables
        if not all(v.has_value for v in variables):
            return None
        same = len(self._left) == len(variables) and all(
            variable.array_alone is left for variable, left in zip(variables, self._left)
        )
        return None if same else self.hand.slots.state()

    @contextlib.contextmanager
    def lending(
        self, get: Callable[[], TrainState], put: Callable[[TrainState], None], alone: bool
    ) -> Iterator[None]:
        """Lets variables of metrics and optimizer be read and set in a state within the block.

        Args:
            get, put: read and replace the state.
            alone: whether nobody else has its arrays at the end.
        """
        assert self.hand is not None
        lent = Lending(self.metrics, self.hand.slots, get, put)
        lent.begin()
        try:
            yield
        finally:
            lent.end(alone)
            self._left = self.hand.slots.in_order(get().optimizer)

    def keep(self, accumulators: Mapping[str, Any]) -> None:
        """Leaves the metrics with what an evaluation has seen."""
        for variable, value in zip(self.metrics, accumulators[VARIABLES]):
            if variable.owner is None:
                variable.assign(value)


def trained_by(optimizer: Optimizer, parameters: Sequence[Variable]) -> set[int]:
    """Returns which parameters (by identity) an optimizer updates: all, unless it was built before.

    Raises:
        StateError: it was built on others.
    """
    own = {id(variable) for variable in parameters}
    if not optimizer.built or (hand := optimizer._kgraph_hand()).is_left_by(parameters):
        return own
    for variable in hand.parameters:
        if id(variable) not in own:
            raise StateError(
                f"The optimizer {optimizer.name!r} was built on {variable.path!r}, which the model "
                "does not train",
                expected=listed([variable.path for variable in parameters]),
                hint="build it on variables of the model; compile again after freezing layers",
            )
    return {id(variable) for variable in hand.parameters}


def hand_for(optimizer: Optimizer, parameters: Sequence[Variable], layout: Layout) -> InPlace:
    """Returns what an optimizer is built on, in the form of the trained parameters of a layout."""
    known = optimizer.built and not optimizer._kgraph_hand().is_left_by(parameters)
    if not known:
        optimizer.build(parameters)
    hand = optimizer._kgraph_hand()
    hand.by_training = hand.by_training or not known
    paths = {id(place.weight): "/".join(place.path) for place in layout.trained.places}
    structure = jax.tree.structure(layout.trained.specs["params"])
    hand.arrange([paths[id(variable)] for variable in hand.parameters], structure)
    return hand


@contextlib.contextmanager
def running_step(
    model: Model, name: str, held: Mapping[int, str], key: Array | None
) -> Iterator[None]:
    """Runs a method of the model's class as a step: see `StepScope`.

    Args:
        model: whose method.
        name: of the method.
        held: which list has the value of each variable, by its identity.
        key: where `stateless_call` and draws without a seed get their keys from; None for none.
    """
    core = model._kgraph
    before, core.losses = core.losses, []  # of a call on arrays before
    try:
        with contextlib.ExitStack() as entered:
            entered.enter_context(scoped(StepScope(f"{name} of {label_of(model)}", held)))
            if key is not None:
                entered.enter_context(keys_from(key))
            yield
    finally:
        core.losses = before
