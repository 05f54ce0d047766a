"""Engine: the jitted steps of one model and objective, and the one state they work on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.compiler import Place, Program
from kgraph.optimizers import Optimizer
from kgraph.training.interrupt import Guard
from kgraph.training.objective import Objective
from kgraph.training.state import TrainState
from kgraph.training.step import (
    Batch,
    make_predict,
    make_test_step,
    make_train_step,
    split_params,
)
from kgraph.types import Array, Tree


class Engine:
    """Runs steps. While `running`, it owns the weights: nobody else holds a second copy.

    Args:
        program: what to train; its graph may have logits appended to its outputs.
        objective: losses and metrics.
        optimizer: None for evaluation alone.
    """

    def __init__(
        self, program: Program, objective: Objective, optimizer: Optimizer | None = None
    ) -> None:
        self.program, self.objective, self.optimizer = program, objective, optimizer
        self.guard = Guard()
        self.is_running = False
        self._state: TrainState | None = None
        self._results = jax.jit(objective.results)
        self._test = jax.jit(make_test_step(program, objective), donate_argnums=())
        self._shapes: set[Any] = set()
        self._train: Callable[[TrainState, Batch], TrainState] | None = None
        if optimizer is not None:
            step = make_train_step(program, objective, optimizer)
            self._train = jax.jit(step, donate_argnums=0)

    @property
    def state(self) -> TrainState:
        """The state after the last finished step."""
        assert self._state is not None, "the engine is not running"
        return self._state

    @contextlib.contextmanager
    def running(self, optimizer_state: Tree, key: Array, step: Any) -> Iterator[Engine]:
        """Owns the weights within the block, and gives them back however it ends.

        The arrays are copied once on entry: a step reuses the memory of the arrays it is given, and
        the user may still hold the old ones.
        """
        values = {id(p.weight): jnp.copy(p.weight.value) for p in self.program.places}
        variables = self.program.nest(values)
        self._state = TrainState(
            variables["params"], variables["state"], optimizer_state, self.objective.init(),
            key, jnp.asarray(step, jnp.int32),
        )  # fmt: skip
        del values, variables
        self.is_running = True
        try:
            for place in self.program.places:
                place.weight.lend(*self._access(place))
            with self.guard.installed():
                yield self
        finally:
            self.is_running = False
            self._give_back()
            self._state = None  # or it would keep the old arrays alive when weights are set

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[Engine]:
        """Has fresh accumulators within the block. Weights are read, not copied nor owned.

        May be used while the engine is running: its training goes on as if nothing had been.
        """
        outer = self._state
        if self.is_running:
            self._state = replace(self.state, metrics=self.objective.init())
        else:
            values = {id(place.weight): place.weight.value for place in self.program.places}
            variables = self.program.nest(values)
            self._state = TrainState(
                variables["params"], variables["state"], None, self.objective.init(),
                jax.random.key(0), jnp.zeros((), jnp.int32),
            )  # fmt: skip
        try:
            yield self
        finally:
            if outer is None:
                self._state = None
            else:  # a callback may have set weights meanwhile: those stay
                self._state = replace(self.state, metrics=outer.metrics)

    def _access(self, place: Place) -> tuple[Callable[[], Array], Callable[[Array], None]]:
        """Returns how a weight is read and set while the engine owns its array."""

        def fetch() -> Array:
            return jnp.copy(_get(getattr(self.state, place.collection), place.path))

        def store(array: Array) -> None:
            tree = _with(getattr(self.state, place.collection), place.path, array)
            self._state = replace(self.state, **{place.collection: tree})

        return fetch, store

    def _give_back(self) -> None:
        state = self.state
        variables = {"params": state.params, "state": state.state}
        values = self.program.by_weight(variables)
        for place in self.program.places:
            place.weight.take_back(values[id(place.weight)])

    # --- steps -----------------------------------------------------------------------------------

    def is_new(self, batch: Batch) -> bool:
        """Tells, once, that a batch has shapes that no training step has seen yet."""
        shapes = tuple(None if a is None else (a.shape, str(a.dtype)) for a in chain(*batch))
        known = shapes in self._shapes
        self._shapes.add(shapes)
        return not known

    def train(self, batch: Batch) -> None:
        """Runs one training step. An interrupt arrives before it or after it, never between."""
        assert self._train is not None
        assert self.optimizer is not None
        optimizer_state = self.optimizer.sync_learning_rate(self.state.optimizer)
        if optimizer_state is not self.state.optimizer:
            self._state = replace(self.state, optimizer=optimizer_state)
        with self.guard.commit():
            self._state = self._train(self.state, batch)

    def test(self, batch: Batch) -> None:
        """Runs one evaluation step: only accumulators change."""
        tested = self._test(replace(self.state, optimizer=None), batch)
        self._state = replace(self.state, metrics=tested.metrics)

    def reset_metrics(self) -> None:
        """Starts the accumulators anew."""
        self._state = replace(self.state, metrics=self.objective.init())

    def logs(self) -> dict[str, Any]:
        """Returns losses and metrics so far, by key in alphabetical order, fetched at once."""
        found = jax.device_get(self._results(self.state.metrics))
        return {key: _plain(found[key]) for key in sorted(found)}

    def finalize(self) -> None:
        """Lets the optimizer put its final parameters in place (averages, with `use_ema`)."""
        if self.optimizer is None or not getattr(self.optimizer, "use_ema", False):
            return
        trained, _ = split_params(self.program, self.state.params)
        final = self.optimizer.finalize(trained, self.state.optimizer)
        merged = jax.tree.map(jnp.asarray, final)
        params = self.state.params
        for place in self.program.places:
            if place.collection == "params" and place.trained:
                params = _with(params, place.path, _get(merged, place.path))
        self._state = replace(self.state, params=params)


def new_optimizer_state(program: Program, optimizer: Optimizer, params: Tree) -> Tree:
    """Returns the optimizer's state before the first step, for the trained parameters."""
    return optimizer.init(split_params(program, params)[0])


def predictor(program: Program) -> Callable[[Sequence[Any]], list[Array]]:
    """Returns a compiled function from flat inputs to flat outputs; weights are arguments."""
    predict = jax.jit(make_predict(program))

    def run(inputs: Sequence[Any]) -> list[Array]:
        values = {id(place.weight): place.weight.value for place in program.places}
        variables = program.nest(values)
        return predict(variables["params"], variables["state"], inputs)

    return run


def _get(tree: Tree, path: tuple[str, ...]) -> Any:
    for part in path:
        tree = tree[part]
    return tree


def _with(tree: Tree, path: tuple[str, ...], value: Any) -> Tree:
    """Returns the nested dict with one leaf replaced; the given one is not changed."""
    if not path:
        return value
    return {**tree, path[0]: _with(tree[path[0]], path[1:], value)}


def _plain(value: Any) -> Any:
    array = np.asarray(value)
    return float(array) if array.ndim == 0 else array
