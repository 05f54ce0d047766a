"""Engine: the compiled steps of one model and objective, and the one state they work on."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import Any
from weakref import WeakSet

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.compiler import Program
from kgraph.layers.base.between_blocks import between_blocks
from kgraph.layers.base.first_keys import root_key
from kgraph.layers.base.variable import Variable
from kgraph.optimizers import Optimizer
from kgraph.training.block import Block, batch_block, rows_block, state_form
from kgraph.training.blocks import Cut, Spread, on_one_device
from kgraph.training.compilation import Compiler, Form, Function
from kgraph.training.device_rows import DeviceRows
from kgraph.training.finished_blocks import FinishedBlocks
from kgraph.training.interrupt import Guard
from kgraph.training.nonfinite import explain, is_finite, unexplained
from kgraph.training.objective import Objective
from kgraph.training.own_steps import OwnSteps
from kgraph.training.pace import Pace, Throttle
from kgraph.training.packing import Packing
from kgraph.training.padding import loops_well, padding_is_exact
from kgraph.training.phase import Phase, phases
from kgraph.training.placement import Placement, as_before
from kgraph.training.results import Results
from kgraph.training.sizes import Sizes
from kgraph.training.state import TrainState, copied
from kgraph.training.step import Batch, merge_params
from kgraph.types import Array, Params, Tree


class Engine:
    """Runs steps. While `running`, it owns the weights: nobody else holds a second copy.

    Args:
        program: what to train; its graph may have logits appended to its outputs.
        objective: losses and metrics.
        optimizer: None for evaluation alone.
        compiler: makes the executables.
        block_size: how many steps go to the device at once; None measures.
        placement: where arrays lie on several devices; None for one device.
        own: the steps, if the model's class says how they go.
        like: a batch to train on, as shapes; needed by `own` alone.

    Attributes:
        train, test: what runs in training and in evaluation.
        packing: how the state lies while it runs.
        checks_finite: whether a step with a number that is not finite raises NonFiniteError. Steps
            then run one by one, and each is waited for.
    """

    def __init__(
        self,
        program: Program,
        objective: Objective,
        optimizer: Optimizer | None,
        compiler: Compiler,
        block_size: int | None = None,
        placement: Placement | None = None,
        own: OwnSteps | None = None,
        like: Batch | None = None,
    ) -> None:
        self.program, self.objective, self.optimizer = program, objective, optimizer
        self.compiler, self.placement, self.own = compiler, placement, own
        self.like = like or Batch([], [], [])
        self.guard = Guard()
        self.is_running = False
        self._state: TrainState | None = None
        self._form: Form = ()
        if placement is not None:
            block_size = placement.block_size(block_size)
        self.throttle = Throttle(Pace(block_size))
        self.test_throttle = Throttle(Pace(block_size))
        self._functions: dict[Any, Function] = {}
        self.train_sizes, self.test_sizes = Sizes(), Sizes()
        self._last_batch: Callable[[], Batch] | None = None
        self._loops: bool | None = None
        self.checks_finite = False
        self._thread: int | None = None
        self._made: Any = 0
        self.packing = Packing(
            program, optimizer, placement, own is None and objective.is_of_outputs
        )
        self._finished = FinishedBlocks(self.packing)
        self.evaluations: WeakSet[Any] = WeakSet()
        if optimizer is not None:
            paths = {id(place.weight): "/".join(place.path) for place in program.weights.places}
            optimizer._kgraph_locate(paths)
        self.train, self.test = (
            phases(program, objective, optimizer) if own is None else (own.train, own.test)
        )
        self.results = Results(compiler, self.test.results, placement)

    @property
    def state(self) -> TrainState:
        """The state after the last finished step."""
        assert self._state is not None, "the engine is not running"
        return self._state

    @property
    def plain_state(self) -> TrainState:
        """The same, with an array for each weight of each layer: what is saved."""
        return self.packing.unpack(self.state)

    def optimizer_state(self, alone: bool) -> Any:
        """Returns the state of the optimizer, for the next training; see `running`."""
        return self.packing.optimizer_state(self.state, alone)

    @cached_property
    def trained_names(self) -> Any:
        """What the optimizer's state belongs to: the names of the trained parameters."""
        return jax.tree.structure(self.program.weights.layout.trained.specs)

    @cached_property
    def pads_training(self) -> bool:
        """Whether a smaller batch may be padded in training."""
        return self.own is None and padding_is_exact(self.program, self.objective, True)

    @cached_property
    def pads_last(self) -> bool:
        """Whether that may be if layers are told of it, which whole batches are not slowed by."""
        return self.own is None and padding_is_exact(self.program, self.objective, True, told=True)

    @cached_property
    def pads_evaluation(self) -> bool:
        """Whether a smaller batch may be padded in evaluation."""
        own = self.own is not None or self.keeps_state
        return not own and padding_is_exact(self.program, self.objective, False)

    @cached_property
    def keeps_state(self) -> bool:
        """Whether an evaluation may change state of layers."""
        by_class = self.own is not None or self.objective.own is not None
        return by_class or self.program.assigns_state

    def loops(self, batch: Batch, size: int) -> bool:
        """Tells whether steps on batches of such rows may run in a loop on the device."""
        if self._loops is None:
            backend, inputs = jax.default_backend(), batch.inputs
            own = None if self.own is None else self.own.loops_well(backend)
            well = loops_well(self.program, inputs, size, backend) if own is None else own
            self._loops = not self.compiler.eager and well
        return self._loops

    def keep_state(self, state: Params) -> None:
        """Takes over the state of layers that an evaluation has left."""
        with between_blocks:
            if self.is_running:
                self._state = self.placed(replace(self.state, state=state))
                self._finished.forget()
                return
            layout = self.program.weights.layout_of({"state": state})
            values = layout.unpack_values(layout.by_weight({"state": state}, ("state",)))
            for place in self.program.weights.places:
                if place.collection == "state":
                    place.weight.assign(values[id(place.weight)])

    def variables(self) -> TrainState:
        """Returns parameters and state to evaluate with; the other fields are None.

        They are safe to use in `between_blocks`.
        """
        if self.is_running and not self.is_elsewhere:
            return replace(self.state, optimizer=None, metrics=None, key=None, step=None)
        if self.is_running:
            nested = self._finished.read(self.state).variables
        else:
            nested = self.packing.variables()
        return TrainState(nested["params"], nested["state"], None, None, None, None)

    @property
    def is_elsewhere(self) -> bool:
        """Whether it trains in another thread than the one that asks."""
        return self.is_running and self._thread != threading.get_ident()

    def evaluation_key(self) -> Array | None:
        """Returns a key to evaluate with, for a program that draws random numbers always."""
        if self.own is None and not self.program.draws_always:
            return None
        with between_blocks:
            if self.is_running:  # the same after a resume
                return jax.random.fold_in(jax.random.fold_in(self.state.key, self.state.step), 1)
        key = jax.random.wrap_key_data(jnp.asarray(root_key()), impl="threefry2x32")
        return self.put_whole(key)

    # --- several devices -------------------------------------------------------------------------

    def put_whole(self, tree: Tree) -> Any:
        """Returns arrays on the device; of several, whole on each."""
        return jax.device_put(tree) if self.placement is None else self.placement.whole(tree)

    def spread(self, pads: bool) -> Spread:
        """Returns how a batch is spread over devices, in a trace; see `Placement.spread`."""
        return on_one_device if self.placement is None else self.placement.spread(pads)

    def fresh_metrics(self, phase: Phase, like: Batch) -> Any:
        """Returns accumulators that have seen nothing."""
        return self.put_whole(phase.init(like))

    def placed(self, state: TrainState) -> TrainState:
        """Returns the state with each array where it has to lie."""
        placement = self.placement
        return state if placement is None else placement.placed(self.packing.layout, state)

    # --- ownership -------------------------------------------------------------------------------

    @contextlib.contextmanager
    def running(
        self, optimizer_state: Any, key: Array, step: Any, metrics: Tree = None,
        alone: bool = False,
    ) -> Iterator[Engine]:  # fmt: skip
        """Owns the weights within the block, and gives them back however it ends.

        Arrays that somebody else may hold are copied on entry: a step reuses the memory of what it
        is given.

        Args:
            optimizer_state: the optimizer's state; None for the one before the first step.
            key, step, metrics: as in TrainState; without `metrics`, they have seen nothing.
            alone: whether nobody is shown the state within the block: no callback, no checkpoint.
                What nobody reads afterwards is not copied then when the next block begins.
        """
        metrics = self.train.init(self.like) if metrics is None else copied(metrics)
        step = jax.device_put(np.int32(step))  # an array of its own, as the key has
        with between_blocks:
            for evaluation in self.evaluations:
                evaluation.keep()
            taken = self.packing.taken_over(optimizer_state, metrics, key, step)
            self._state = self.placed(taken)
            self._form = state_form(self._state)
            self.is_running, self._thread = True, threading.get_ident()
        if self.optimizer is not None:
            self.optimizer._kgraph_watch(self._count)
        try:
            with between_blocks:
                self._state = self.packing.borrowed(self, self.state)
            with self.guard.installed(), self._lending(alone):
                yield self
        finally:
            with between_blocks:
                self.is_running = self.checks_finite = False
                self._last_batch = None
                self.throttle.fetched()
                self.packing.give_back(self.state, alone)
                if self.optimizer is not None:
                    self._made = self.state.optimizer.step
                    self.optimizer._kgraph_watch(partial(int, self._made))
                self._finished.forget()
                self._state = None  # or it would keep the old arrays alive when weights are set

    def _count(self) -> int:
        """Returns the number of updates so far."""
        with between_blocks:
            step = copied(self.state.optimizer.step) if self.is_running else self._made
        return int(step)

    def _lending(self, alone: bool) -> contextlib.AbstractContextManager[None]:
        """Lets the variables of metrics and optimizer be used, if the user's steps have them."""
        if self.own is None:
            return contextlib.nullcontext()

        def put(state: TrainState) -> None:
            self._state = self.placed(state)

        return self.own.lending(lambda: self.state, put, alone)

    # What a weight asks for whose array the engine owns, in `between_blocks`.

    def fetch(self, weight: Variable) -> Array:
        """Returns a copy of a weight's array."""
        return self.packing.fetch(self.state, weight)

    def finished(self) -> Mapping[int, Array]:
        """Returns the arrays of all weights by identity, of the last block that is done."""
        if self.is_elsewhere:
            return self._finished.read(self.state).values
        return {id(place.weight): self.fetch(place.weight) for place in self.program.weights.places}

    def store(self, weight: Variable, array: Array) -> None:
        """Sets a weight for the blocks to come."""
        self._state = self.placed(self.packing.store(self.state, weight, array))
        self._finished.forget()

    # --- training --------------------------------------------------------------------------------

    def train_rows(self, rows: DeviceRows, cut: Cut, start: int, stop: int) -> None:
        """Runs the steps from `start` to `stop` of an epoch over arrays on the device."""
        self._last_batch = lambda: rows.batch_at(start, cut.size)
        bounds = np.int32(start), np.int32(stop)
        self._dispatch(rows_block(self, rows, cut), bounds, stop - start)

    def train_batch(self, batch: Batch, kept: Any = None) -> None:
        """Runs one step on a batch. `kept` tells which of its rows count, if not all do."""
        self._last_batch = lambda: batch
        self._dispatch(batch_block(self, batch, kept), (), 1)

    def _dispatch(self, block: Block, bounds: tuple[Any, ...], steps: int) -> None:
        """Hands a block over. Ctrl-C arrives after it (in `sent`), never between."""
        self.sync_learning_rate()
        form = (*block.form, *self._form)
        executable = block.function.prepared(form, self.state, *block.data, *bounds)
        self.throttle.ready()
        before = jax.tree.map(jnp.copy, self.state) if self.checks_finite else None
        with between_blocks, self.compiler.eagerly():
            self._finished.given_away(self.state)
            self._state, ticket = executable(self.state, *block.data, *bounds)
        self.throttle.sent(ticket, steps, streams=not bounds)
        if before is not None and not is_finite(self.state):
            self._state = before
            if self.own is not None:
                raise unexplained(before)
            assert self._last_batch is not None
            plain = self.packing.unpack(before)
            raise explain(self.program, self.objective, plain, self._last_batch())

    def sync_learning_rate(self) -> None:
        """Writes a learning rate that was set on the host into the state."""
        assert self.optimizer is not None
        with between_blocks:
            optimizer_state = self.optimizer._kgraph_sync_rate(self.state.optimizer)
            if optimizer_state is not self.state.optimizer:
                self._state = self.placed(replace(self.state, optimizer=optimizer_state))

    @contextlib.contextmanager
    def unchanged(self) -> Iterator[None]:
        """Puts state and learning rate back, at the end of the block, to what they were before."""
        assert self.optimizer is not None
        self.sync_learning_rate()
        state, rate = self.state, self.optimizer._kgraph_host_rate
        yield
        self._state = state
        if rate is not None:
            self.optimizer.learning_rate = rate

    def function(
        self, key: object, name: str, make: Callable[[], Any], donate: tuple[int, ...] = (),
        like: int = 0, ticket: bool = True,
    ) -> Function:  # fmt: skip
        """Returns the function under a key, made on first use.

        On several devices, what it returns lies as the argument number `like` does. With `ticket`
        it returns a pair, the second of which is whole on each device.
        """
        if key not in self._functions:
            placed = None
            if self.placement is not None:
                whole = self.placement.distribution.replicated
                placed = as_before(like, whole if ticket else None)
            self._functions[key] = Function(self.compiler, name, make(), donate, placed)
        return self._functions[key]

    # --- metrics ---------------------------------------------------------------------------------

    def reset_metrics(self) -> None:
        """Starts the accumulators anew."""
        metrics = self.fresh_metrics(self.train, self.like)
        with between_blocks:
            self._state = replace(self.state, metrics=metrics)

    def logs(self) -> dict[str, Any]:
        """Returns losses and metrics so far, by key in alphabetical order, fetched at once."""
        found = self.results.of(self.state.metrics)
        self.throttle.fetched()
        return found

    def finalize(self) -> None:
        """Lets the optimizer put its final parameters in place (averages, with `use_ema`)."""
        if self.optimizer is None or not getattr(self.optimizer, "use_ema", False):
            return
        with between_blocks:
            trained, frozen = self.packing.layout.split(self.state.params)
            final = self.optimizer._kgraph_finalize(trained, self.state.optimizer)
            params = merge_params(jax.tree.map(jnp.asarray, final), frozen)
            self._state = self.placed(replace(self.state, params=params))
