"""What training keeps between calls: options, compiled steps, optimizer state, key and epoch."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kgraph import optimizers
from kgraph.compiler import DEFAULT_PASSES, Program, lower_graph, platform_passes
from kgraph.compiler.changed import without_changed
from kgraph.compiler.lower import Remat, Stacking
from kgraph.compiler.passes import expose_logits
from kgraph.errors import ConfigError, StateError
from kgraph.graph.graph import Graph
from kgraph.layers.base.core import label_of
from kgraph.layers.base.variable import root_key
from kgraph.models.execution import Execution, freezing
from kgraph.registry import describe, find_opaque, restore
from kgraph.training.compilation import Compiler, CompileReport
from kgraph.training.compile_options import CompileOptions, make_objective
from kgraph.training.custom_loss import logged_names
from kgraph.training.engine import Engine
from kgraph.training.moments import PackedMoments, new_moments
from kgraph.training.placement import on_one_device
from kgraph.training.state import copied
from kgraph.training.step import Batch, split_params
from kgraph.types import Tree


class Session(Execution):
    """The part of a model that remembers how, and how far, it has been trained."""

    stop_training: bool = False
    optimizer: optimizers.Optimizer | None = None
    _options: CompileOptions | None = None
    _engine: Engine | None = None
    _engine_key: Any = None
    _running: Engine | None = None
    _training: dict[str, Any] | None = None
    _compiler: Compiler | None = None
    _eager: bool = False
    _block_size: int | None = None
    _stack: Stacking = False
    _remat: Remat | None = None

    @property
    def compiled(self) -> bool:
        """Whether `compile` has been called."""
        return self._options is not None

    def _require_compiled(self, what: str) -> None:
        if self._options is None:
            raise StateError(
                f"{label_of(self)} must be compiled before {what}",
                hint='model.compile(optimizer="adam", loss="mse", metrics=["mae"])',
            )

    def _known_lowering_graph(self) -> Graph:
        graph = self.lowering_graph
        if graph is None:
            raise StateError(f"{label_of(self)} has no graph yet", hint="call it on data once")
        return graph

    # --- objective and engine --------------------------------------------------------------------

    def engine_for(self, batch: Batch) -> Engine:
        """Returns the engine for targets of these shapes; the last one, if nothing changed."""
        assert self._options is not None
        graph = self._known_lowering_graph()
        flags = tuple(freezing(self))
        shapes = tuple(None if t is None else (t.ndim, t.shape[1:][-1:]) for t in batch.targets)
        placement = self._placement()
        key = (graph, flags, shapes, placement)
        if self._engine is None or self._engine_key != key:
            graph = without_changed(graph, self.lowering_layers)
            targets = [None if t is None else (None, *t.shape[1:]) for t in batch.targets]
            objective = make_objective(self._options, graph, targets)
            if self._passes is None:
                here = platform_passes(jax.default_backend())
                passes = (*DEFAULT_PASSES, *here, expose_logits(objective.logits))
            else:
                passes, objective = self._passes, replace(objective, logits=())
            if placement is not None:
                passes = (*passes, *placement.distribution.passes)
            program = lower_graph(
                graph, self.lowering_layers, passes, self.lowering_root, self._stack, self._remat
            )
            if placement is not None:
                if not placement.stacks_alike(program):
                    program = self._unstacked(graph, passes)
                program.mesh = placement.distribution.device_mesh.backend_mesh
            if objective.loss_fn is not None:
                extra = logged_names(objective.loss_fn, program, batch)
                objective = replace(objective, extra=extra)
            self._engine = Engine(
                program, objective, self.optimizer, self.compiler, self._block_size, placement
            )
            self._engine_key = key
        return self._engine

    def _unstacked(self, graph: Graph, passes: Any) -> Program:
        """Returns the program of blocks whose weights are spread in different ways."""
        remat = self._remat
        if isinstance(remat, str):
            remat = None
            warnings.warn(
                f"remat={self._remat!r} has no effect: the blocks of {label_of(self)} are laid out "
                "in different ways, so that one body cannot stand for all",
                stacklevel=4,
            )
        layers, root = self.lowering_layers, self.lowering_root
        return lower_graph(graph, layers, passes, root, False, remat)

    @property
    def compiler(self) -> Compiler:
        """What makes this model's executables."""
        if self._compiler is None:
            self._compiler = Compiler(self._eager)
        self._compiler.eager = self._eager
        return self._compiler

    def compile_report(self) -> CompileReport:
        """Returns what was compiled for this model so far: when, how long, and why it was new.

        Printed, it is a table. Calls of the model on arrays outside `fit`, `evaluate` and `predict`
        are not part of it.
        """
        return self.compiler.report()

    def _leave_devices(self, program: Program) -> None:
        super()._leave_devices(program)
        if self._training is not None:
            reached = {name: self._training[name] for name in ("optimizer", "step")}
            self._training.update(on_one_device(reached))

    # --- what training has reached ---------------------------------------------------------------

    def seed_words(self, seed: int | None) -> np.ndarray:
        """Returns the raw key of this training: of an explicit seed, the last one, or a new one."""
        if seed is not None:
            if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
                raise ConfigError("A seed is a whole number from 0 to 2**32 - 1", received=seed)
            return np.array([0, seed], np.uint32)
        if self._training is not None:
            return np.asarray(self._training["key"])
        return root_key()

    def training_for(self, engine: Engine, seeds: np.ndarray) -> dict[str, Any]:
        """Returns optimizer state, step, key and epoch to go on from; made now if there are none.

        If other parameters are trained than before, the optimizer starts anew: its state belongs to
        the parameters that it was made for.
        """
        self._create_values(engine.program)
        layout, known = engine.layout, self._training
        if known is None or known.get("layout", layout) != layout:
            known = {
                "optimizer": None,  # the engine makes it when it starts
                "step": np.int32(0 if known is None else known["step"]),
                "epoch": np.int32(0 if known is None else known["epoch"]),
            }
        self._training = {**known, "key": seeds, "layout": layout}
        return self._training

    @contextlib.contextmanager
    def owning(
        self, engine: Engine, training: Mapping[str, Any], metrics: Tree = None
    ) -> Iterator[None]:
        """Runs the engine from what training has reached, and keeps what it reaches."""
        self.refuse_second_fit()
        key = jax.random.wrap_key_data(jax.device_put(training["key"]), impl="threefry2x32")
        self._create_values(engine.program)
        with engine.running(training["optimizer"], key, training["step"], metrics):
            if self._inference is not None:
                self._inference.forget()
            if self._training is not None:
                self._training["optimizer"] = None  # the engine has the only copy
            self._running = engine
            try:
                yield
            finally:
                self._running = None
                if self._training is not None:
                    self._training.update(optimizer=engine.moments, step=engine.state.step)

    def refuse_second_fit(self) -> None:
        """Raises StateError while the model is being trained."""
        if self._running is not None:
            raise StateError(f"{label_of(self)} is being trained already", hint="wait for that fit")

    # --- saving ----------------------------------------------------------------------------------

    def compile_options(self) -> dict[str, Any] | None:
        """Returns what `compile` was given; None before `compile`.

        `passes` are left out: they change no result. So is what has its default.
        """
        if self._options is None or self.optimizer is None:
            return None
        options = {
            "optimizer": self.optimizer,
            "loss": self._options.loss,
            "loss_weights": self._options.loss_weights,
            "metrics": self._options.metrics,
            "weighted_metrics": self._options.weighted_metrics,
        }
        modes = {
            "loss_fn": (self._options.loss_fn, None),
            "steps_per_execution": (self._block_size or "auto", "auto"),
            "run_eagerly": (self._eager, False),
            "stack": (self._stack, not self._eager and "auto"),
            "remat": (self._remat, None),
        }
        return options | {name: given for name, (given, usual) in modes.items() if given != usual}

    def compile_config(self) -> dict[str, Any] | None:
        """Returns what `compile` was given as plain data; None before `compile`.

        Raises:
            ConfigError: something in it (a lambda, an optax object) cannot be written down.
        """
        options = self.compile_options()
        if options is None:
            return None
        plain = {name: describe(given) for name, given in options.items()}
        for path, value in find_opaque(plain):
            raise ConfigError(
                f"The compile option {path} of {label_of(self)} cannot be written down",
                received=value.text,
                hint="register it: @kgraph.saving.register_keras_serializable()",
            )
        return plain

    def compile_from_config(self, config: Mapping[str, Any]) -> None:
        """Compiles the model with what `compile_config` returned."""
        options = {name: restore(value) for name, value in config.items()}
        self.compile(**options)  # type: ignore[attr-defined]

    def training_state(self) -> dict[str, Tree] | None:
        """Returns optimizer state, step, epoch and key as arrays; None before the first step."""
        if self._training is None:
            return None
        if self._running is None and self.optimizer is not None:  # a rate may have been set since
            waiting = self._plain_moments(self._training["optimizer"])
            self._training["optimizer"] = self.optimizer.sync_learning_rate(waiting)
        found = {name: self._training[name] for name in ("optimizer", "step", "epoch", "key")}
        if self._running is not None:  # steps reuse its arrays
            self._running.sync_learning_rate()
            state = self._running.plain_state
            found |= copied({"optimizer": state.optimizer, "step": state.step})
        return found

    def _plain_moments(self, moments: Any) -> Tree:
        """Returns the optimizer's state by parameter, of a training that has left it packed."""
        if moments is None:  # it has not begun
            assert self.optimizer is not None
            program = self.program_for()
            params = self.variables_of(program)["params"]
            return new_moments(program, self.optimizer, params, self._placement())
        return moments.plain() if isinstance(moments, PackedMoments) else moments

    def abstract_training_state(self) -> dict[str, Tree]:
        """Returns what `training_state` will be like: a tree of shapes and dtypes."""
        assert self.optimizer is not None
        program = self.program_for()
        optimizer = self.optimizer
        trained = split_params(program, program.specs()["params"])[0]
        scalar = jax.ShapeDtypeStruct((), jnp.int32)
        return {
            "optimizer": jax.eval_shape(optimizer.init, trained),
            "step": scalar,
            "epoch": scalar,
            "key": jax.ShapeDtypeStruct((2,), jnp.uint32),
        }

    def restore_training_state(self, state: Mapping[str, Tree]) -> None:
        """Goes on from what `training_state` returned."""
        self._training = dict(state)
        if self.optimizer is not None:
            self.optimizer.adopt_learning_rate(state["optimizer"])
