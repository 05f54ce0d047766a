"""What training keeps of a model between calls: options, compiled steps, how far it has come."""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from kgraph import optimizers
from kgraph.checks import check_count
from kgraph.errors import ConfigError, StateError
from kgraph.graph.graph import Graph
from kgraph.hooks import STEP_HOOKS, is_overridden, refuse_overrides
from kgraph.interrupts import tracing
from kgraph.layers.base.between_blocks import between_blocks
from kgraph.layers.base.core import label_of
from kgraph.models.meters import Meters
from kgraph.models.own import own_predictor, own_steps, restore_optimizer, trained_program
from kgraph.models.programs import Programs
from kgraph.optimizers import Optimizer
from kgraph.training.compilation import Compiler
from kgraph.training.compile_options import CompileOptions, make_objective
from kgraph.training.custom_loss import logged_names
from kgraph.training.engine import Engine
from kgraph.training.feed import Feed, GraphFeed, OwnFeed, flat_targets
from kgraph.training.held_metrics import OWN, held_by_layers
from kgraph.training.job import Job
from kgraph.training.objective import Objective
from kgraph.training.optimizer_state import PackedOptimizerState, new_optimizer_state
from kgraph.training.own_loss import OwnLoss
from kgraph.training.placement import on_one_device
from kgraph.training.prediction import Predictor
from kgraph.training.reached import Reached
from kgraph.training.state import copied
from kgraph.training.stateful_prediction import StatefulPredictor, predict_step
from kgraph.training.step import Batch
from kgraph.types import Tree

if TYPE_CHECKING:
    from kgraph.models.model import Model


_TRAIN = ("fit", "train_on_batch", "find_learning_rate")


class Trainer:
    """How a model is trained and how far it is. The optimizer is the model's own attribute.

    Args:
        model: is trained.
        programs: what it has been lowered to.

    Attributes:
        options: what `compile` was given of losses and metrics; None before `compile`.
        compiler: what makes this model's executables.
        block_size: how many steps go to the device at once; None measures.
        engine: the last one, which may be used again.
        running: the engine that trains just now.
        reached: where the last training ended; None before the first.
        meters: the metrics that `compile` adds to those of the model; None before it.
        job: what the `fit` that runs just now does with its time.
    """

    def __init__(self, model: Model, programs: Programs) -> None:
        self._model, self.programs = model, programs
        self.options: CompileOptions | None = None
        self.compiler = Compiler()
        self.block_size: int | None = None
        self.engine: Engine | None = None
        self._engine_key: Any = None
        self._predictor: Predictor | None = None
        self.running: Engine | None = None
        self.reached: Reached | None = None
        self._fitting = threading.Lock()
        self.meters: Meters | None = None
        self.job: Job | None = None
        programs.on_leaving_devices = self._leave_devices

    def copy_for(self, model: Model, programs: Programs, memo: dict[int, Any]) -> Trainer:
        """Returns the trainer of a copy of the model, as far as this one; nothing is compiled."""
        twin = Trainer(model, programs)
        twin.options = copy.deepcopy(self.options, memo)
        twin.meters = None if twin.options is None else Meters(twin.options)
        twin.block_size, twin.compiler.eager = self.block_size, self.compiler.eager
        state = copy.deepcopy(self.state(), memo)
        if state is not None and self.reached is not None:
            twin.reached = Reached(**state, names=self.reached.names)
        return twin

    def start_anew(self, options: CompileOptions, block_size: int | None, eager: bool) -> None:
        """Takes what `compile` was given; the optimizer starts anew."""
        self.options, self.block_size, self.compiler.eager = options, block_size, eager
        self.compiler.ready.clear()
        self.engine = self.reached = None
        self.meters = Meters(options)

    def require_compiled(self, what: str) -> CompileOptions:
        """Returns the options; raises StateError if there are none, in the name of a method."""
        refuse_overrides(self._model, "Model")
        if self.options is None:
            raise StateError(
                f"{label_of(self._model)} must be compiled before {what}",
                hint='model.compile(optimizer="adam", loss="mse", metrics=["mae"])',
            )
        if what in _TRAIN and self._model.optimizer is None and not self.has_own_steps:
            raise StateError(
                f"{label_of(self._model)} has no optimizer, which {what} needs",
                hint='model.compile(optimizer="adam", ...)',
            )
        return self.options

    # --- engine ----------------------------------------------------------------------------------

    @property
    def has_own_steps(self) -> bool:
        """Whether the model's class says how steps go, or what is to be logged."""
        return any(is_overridden(self._model, name) for name in STEP_HOOKS)

    def feed_for(self, x: Tree, y: Tree, sample_weight: Tree) -> Feed:
        """Returns what makes batches flat. The first gives a model defined by code its graph."""
        if not self.has_own_steps:
            return self.graph_feed(x)
        wanted = self.options is not None and self.options.is_given
        if self.programs.is_callable and (wanted or not self.programs.is_built):
            self.programs.trace(x)
        return OwnFeed()

    def graph_feed(self, x: Tree, y: Tree = None, sample_weight: Tree = None) -> GraphFeed:
        """The same for what runs the graph of the model, whatever steps its class has."""
        self.programs.trace(x)
        live = self.programs.known_live
        given = None if self.options is None else self.options.loss
        if not isinstance(given, (list, tuple)) or len(given) != len(live.graph.outputs):
            return GraphFeed(live)
        return GraphFeed(live, [i for i, loss in enumerate(given) if loss is not None])

    def engine_for(self, batch: Batch, feed: Feed | None = None) -> Engine:
        """Returns the engine for such batches; the last one, if nothing changed.

        Args:
            batch: its shapes count.
            feed: what has made it flat; None for a graph's.
        """
        with between_blocks:  # of two threads that need one, one makes it
            if isinstance(feed, OwnFeed):
                return self._engine_of_own_steps(batch)
            return self._engine_for(batch)

    def _engine_for(self, batch: Batch) -> Engine:
        programs, placement = self.programs, self.programs.placement()
        if self.has_own_steps:
            raise ConfigError(
                f"{label_of(self._model)} has steps of its own, of which only data tell the shapes",
                hint="fit it; memory and forecast know models that are trained by losses",
            )
        shapes = tuple(None if t is None else (t.ndim, t.shape[1:][-1:]) for t in batch.targets)
        key = (*programs.state_key(), shapes, placement, id(self._optimizer()))
        if self.engine is None or self._engine_key != key:
            live = programs.known_live.current()
            objective = self._objective(batch, live.graph)
            if any(is_overridden(self._model, name) for name in ("compute_loss", "metrics")):
                listed = [] if self.meters is None else self.meters.metrics
                objective = replace(objective, own=OwnLoss.of(self._model, listed))
            usual = programs.lowering.passes is None and objective.is_of_outputs
            objective = objective if usual else replace(objective, logits=())
            how = programs.lowering.loss_in_pieces
            objective = objective.in_pieces(how, live.graph, usual)
            program = programs.training(objective.passes, live)
            parts = 1 if placement is None else placement.parts
            objective = objective.bound(program.flat_graph, parts)
            objective = replace(objective, held=held_by_layers(self._model, program, objective.own))
            if objective.loss_fn is not None:
                extra = logged_names(objective.loss_fn, program, batch)
                objective = replace(objective, extra=extra)
            self.engine = Engine(
                program, objective, self._model.optimizer, self.compiler, self.block_size, placement
            )
            self._engine_key = key
        return self.engine

    def _optimizer(self) -> Optimizer | None:
        """Returns the model's optimizer; one that was assigned since the last step starts anew."""
        given = self._model.optimizer
        if given is not None and not isinstance(given, Optimizer):
            given = self._model.optimizer = optimizers.get(given)
        last = None if self.engine is None else self.engine.optimizer
        if last is not None and last is not given and self.reached is not None:
            self.reached = replace(self.reached, optimizer=None)
        return given

    def _objective(self, batch: Batch, graph: Graph) -> Objective:
        """Returns the losses and metrics of the outputs, and tells the metrics of the model."""
        assert self.options is not None
        assert self.meters is not None
        objective = make_objective(self.options, graph, batch.target_shapes, self.meters.means)
        self.meters.connect(objective, graph)
        return objective

    def _engine_of_own_steps(self, batch: Batch) -> Engine:
        programs, placement, model = self.programs, self.programs.placement(), self._model
        assert self.options is not None
        shapes = tuple((a.ndim, str(a.dtype)) for a in jax.tree.leaves(batch))
        nesting = jax.tree.structure(batch)
        key = (programs.state_key(), nesting, shapes, placement, id(self._optimizer()))
        if self.engine is None or self._engine_key != key:
            live = programs.live
            if live is not None and self.options.is_given:
                flat = flat_targets(live.graph, batch.targets[0], batch.weights[0])
                self._objective(flat, live.current().graph)
            own, program, optimizer = own_steps(model, self.options, batch)
            self.engine = Engine(
                program, Objective((), [], [], []), optimizer, self.compiler, self.block_size,
                placement, own, batch,
            )  # fmt: skip
            self._engine_key = key
        return self.engine

    def feed_for_predictions(self, x: Tree, y: Tree, sample_weight: Tree) -> Feed:
        """Returns what makes batches flat that are predicted on."""
        if not is_overridden(self._model, "predict_step"):
            return self.graph_feed(x)
        if self.programs.is_callable and not self.programs.is_built:
            self.programs.trace(x)
        return OwnFeed()

    def predictor(self, feed: Feed) -> Predictor:
        """Returns what predicts; the last one, if nothing changed."""
        refuse_overrides(self._model, "Model")
        with between_blocks:
            if isinstance(feed, OwnFeed):
                return own_predictor(self._model, self.compiler)
            inference = self.programs.inference()
            if self._predictor is None or self._predictor.inference is not inference:
                given = (inference, self.compiler, self.programs.placement())
                if inference.program.assigns_state:
                    step = predict_step(inference.program)
                    self._predictor = StatefulPredictor(*given, step)
                else:
                    self._predictor = Predictor(*given)
            return self._predictor

    def direction_of(self, key: str) -> str | None:
        """Returns "up" if more is better for a key in logs, "down" if less is, None if unknown."""
        key = key.removeprefix("val_")
        if key == "loss" or key.endswith("_loss"):
            return "down"
        tracked = self.engine.objective.tracked if self.engine is not None else []
        return next((t.metric._direction for t in tracked if t.key == key), None)

    # --- what training has reached ---------------------------------------------------------------

    def seeds(self, seed: int | None) -> np.ndarray:
        """Returns the raw key of this training: of an explicit seed, the last one, or a new one."""
        if seed is not None:
            seed = check_count("fit", "seed", seed, 0, 2**32 - 1)
            return np.array([0, seed], np.uint32)
        reached = self.reached
        return self.programs.keys.training() if reached is None else np.asarray(reached.key)

    def reached_by(self, engine: Engine, seeds: np.ndarray) -> Reached:
        """Returns optimizer state, step, key and epoch to go on from; made now if there are none.

        If other parameters are trained than before, the optimizer starts anew: its state belongs to
        the parameters that it was made for. Weights get their values later: they may be read.
        """
        self.programs.keys.reserve()
        known, names = self.reached, engine.trained_names
        if known is None:
            known = Reached(None, np.int32(0), np.int32(0), seeds)
        elif known.names is not None and known.names != names:
            known = Reached(None, np.int32(known.step), np.int32(known.epoch), seeds)
        self.reached = replace(known, key=seeds, names=names)
        return self.reached

    @contextlib.contextmanager
    def owning(
        self, engine: Engine, reached: Reached, metrics: Tree = None, alone: bool = False
    ) -> Iterator[None]:
        """Runs the engine from what training has reached, and keeps what it reaches."""
        key = jax.random.wrap_key_data(jax.device_put(reached.key), impl="threefry2x32")
        self.programs.create_values(engine.program)
        optimizer_state = reached.optimizer
        if engine.own is not None and (by_hand := engine.own.optimizer_state_by_hand()) is not None:
            optimizer_state = by_hand
        with engine.running(optimizer_state, key, reached.step, metrics, alone):
            self.programs.forget_folded()
            reached.optimizer = None  # the engine has the only copy
            self.running = engine
            try:
                yield
            finally:
                with between_blocks:
                    self.running = None
                    reached.optimizer = engine.optimizer_state(alone)
                    reached.step = engine.state.step
                if engine.own is None:
                    engine.objective.keep(engine.state.metrics)
                if (own := engine.objective.own) is not None:
                    own.keep(engine.state.metrics[OWN])

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Lets nobody else train the model within the block; raises StateError if somebody does."""
        if not self._fitting.acquire(blocking=False):
            raise StateError(
                f"{label_of(self._model)} is being trained already", hint="wait for that fit"
            )
        try:
            yield
        finally:
            self._fitting.release()

    def _leave_devices(self) -> None:
        """Brings back to one device what a distribution that has ended had spread."""
        if (known := self.reached) is not None:
            known.optimizer, known.step = on_one_device((known.optimizer, known.step))

    def state(self) -> dict[str, Any] | None:
        """Returns optimizer state, step, epoch and key as arrays; None before the first step."""
        if self.reached is None:
            return None
        optimizer = self._model.optimizer
        with between_blocks:
            if self.running is not None:  # steps reuse its arrays
                self.running.sync_learning_rate()
                state = self.running.plain_state
                return self.reached.as_tree() | copied(
                    {"optimizer": state.optimizer, "step": state.step}
                )
            if optimizer is not None:  # a rate may have been set since
                waiting = self._plain_optimizer_state(self.reached.optimizer)
                self.reached.optimizer = optimizer._kgraph_sync_rate(waiting)
            return self.reached.as_tree()

    def _plain_optimizer_state(self, optimizer_state: Any) -> Any:
        """Returns the optimizer's state by parameter, of a training that has left it packed."""
        if optimizer_state is None:  # it has not begun
            program, optimizer = trained_program(self._model), self._model.optimizer
            assert optimizer is not None
            params = self.programs.variables(program)["params"]
            return new_optimizer_state(program, optimizer, params, self.programs.placement())
        return (
            optimizer_state.plain()
            if isinstance(optimizer_state, PackedOptimizerState)
            else optimizer_state
        )

    @tracing
    def abstract_state(self) -> dict[str, Any]:
        """Returns what `state` will be like: a tree of shapes and dtypes."""
        program, optimizer = trained_program(self._model), self._model.optimizer
        assert optimizer is not None
        trained = program.weights.layout.split(program.specs()["params"])[0]
        state = jax.eval_shape(optimizer._kgraph_init, trained)
        scalar, key = jax.ShapeDtypeStruct((), jnp.int32), jax.ShapeDtypeStruct((2,), jnp.uint32)
        return {"optimizer": state, "step": scalar, "epoch": scalar, "key": key}

    def restore_state(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `state` returned."""
        self.reached = Reached(**state)
        if self._model.optimizer is not None:
            restore_optimizer(self._model, self._model.optimizer, state["optimizer"])

    # --- what `compile` was given ----------------------------------------------------------------

    def given(self) -> dict[str, Any] | None:
        """Returns what `compile` was given, by name; None before `compile`.

        `passes` are left out: they change no result. So is what has its default.
        """
        options, optimizer, lowering = self.options, self._model.optimizer, self.programs.lowering
        if options is None or optimizer is None:
            return None
        eager = self.compiler.eager
        modes = {
            "loss_fn": (options.loss_fn, None),
            "steps_per_execution": (self.block_size or "auto", "auto"),
            "run_eagerly": (eager, False),
            "stack": (lowering.stack, not eager and "auto"),
            "remat": (lowering.remat, None),
            "loss_in_pieces": (lowering.loss_in_pieces, "auto"),
        }
        return {
            "optimizer": optimizer,
            "loss": options.loss,
            "loss_weights": options.loss_weights,
            "metrics": options.metrics,
            "weighted_metrics": options.weighted_metrics,
        } | {name: given for name, (given, usual) in modes.items() if given != usual}

    def objects(self) -> list[Any]:
        """Returns optimizer, losses and metrics as `compile` was given them."""
        return [] if self.options is None else [self._model.optimizer, *vars(self.options).values()]
