"""What a model needs and takes on devices that are not here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kgraph import forecast as forecasts
from kgraph.compiler import INFERENCE_PASSES, Program
from kgraph.compiler.costs.dims import abstract_arrays
from kgraph.compiler.lower import Remat, Stacking
from kgraph.descriptions import text_of, written
from kgraph.errors import StateError
from kgraph.forecast.executable import for_fit, load_executable
from kgraph.graph.graph import Graph
from kgraph.layers.base.core import label_of
from kgraph.models.costing import abstract_batch, cost
from kgraph.models.trainer import Trainer
from kgraph.registry import describe
from kgraph.training.identity import LOSSES
from kgraph.training.step import Batch
from kgraph.types import Tree

if TYPE_CHECKING:
    from kgraph.distribution.base import Distribution
    from kgraph.distribution.mesh import DeviceMesh
    from kgraph.forecast.report import Forecast
    from kgraph.models.model import Model
    from kgraph.training.engine import Engine
    from kgraph.training.placement import Placement


def forecast(
    self: Model,
    topology: str | DeviceMesh,
    batch_size: int = 32,
    y: Tree = None,
    sizes: Mapping[str, int] | None = None,
    what: Literal["train", "predict"] = "train",
    distribution: Distribution | None = None,
    stack: Stacking | None = None,
    remat: Remat | Literal[False] | None = None,
    compiler_options: Mapping[str, object] | None = None,
) -> Forecast:
    """Returns what a step needs and takes on a slice of TPUs, or on other devices.

    The step is traced here and compiled, by the compiler of those devices, in a process of its
    own. No TPU is needed, no array is made, and nothing in this process changes. For TPUs it
    needs libtpu: `pip install "kgraph-jax[tpu]"`.

    Args:
        topology: such as "v5e:2x4", "v5p:2x2x2" or "v6e:16x16"; "cpu:8" for virtual devices
            of a CPU; or a mesh of devices that are here.
        batch_size: rows of the whole batch, of all devices together.
        y, sizes: what targets look like, and unknown sizes; see `memory`.
        what: "train", or "predict" for what `predict` computes on one batch.
        distribution: how weights and batches are spread, by default as `compile` was told, or
            batches alone. A mesh of one axis is stretched over the slice; for several axes make
            it with `list_devices(topology)`.
        stack, remat: as in `compile`, by default what it was told; `remat=False` for none.
        compiler_options: for XLA, as JAX's `compile(compiler_options=...)` takes them.

    Raises:
        ConfigError: libtpu is missing, the topology is unknown, the devices do not divide the
            batch, or a size is missing.
        StateError: the model is not compiled, or a layer's call needs the host.
    """
    if what == "train":
        self._kgraph.trainer.require_compiled("forecast")
    return forecasts.make_forecast(
        Subject(self), topology, batch_size, y, sizes, what, distribution, stack, remat,
        compiler_options,
    )  # fmt: skip


def use_executable(self: Model, path: str | Path) -> None:
    """Trains by a step that `forecast.save_executable` wrote, so that `fit` need not compile it.

    It serves batches of the size of the forecast as they come from iterators, generators and data
    sets, on a slice of the same form with the same layout; `compile_report` shows it. Whatever
    takes blocks of arrays, validation and `predict` are compiled for as ever. `compile` ends it.

    Args:
        path: of the file. It is a pickle: load only files of your own.

    Raises:
        StateError: the model is not compiled, or runs eagerly; the step is of another model,
            optimizer, loss or metrics; or the versions of JAX or of the compiler, or the devices,
            are others than those of the file.
    """
    trainer = self._kgraph.trainer
    trainer.require_compiled("use_executable")
    if trainer.compiler.eager:
        raise StateError(f"{label_of(self)} runs eagerly, and uses no executable")
    step = load_executable(path)
    if step.identity != _identity(self):
        raise StateError(
            f"The executable in {str(path)!r} is no step of {label_of(self)} as it is compiled",
            expected="the same layers, optimizer, loss and metrics, none of them a lambda",
            hint="model.forecast(...).save_executable(path) writes one",
        )
    trainer.compiler.ready["train (one batch)"] = for_fit(step)


def _identity(model: Model) -> str:
    """Returns what tells a training step of a model from others that take arrays like it."""
    graph, given = model._kgraph.programs.known_live.graph, model._kgraph.trainer.given() or {}
    counted = {name: describe(given.get(name)) for name in ("optimizer", *LOSSES)}
    text = text_of([graph.stored_hash, written(counted)])
    return hashlib.sha256(text.encode()).hexdigest()


class Subject:
    """What a forecast has to know of a model: all that it touches of it.

    Args:
        model: which is not changed.
    """

    def __init__(self, model: Model) -> None:
        self._model, self._trainer = model, model._kgraph.trainer

    @property
    def distribution(self) -> Distribution | None:
        """How `compile` was told to spread weights and batches."""
        return self._trainer.programs.lowering.distribution

    @property
    def graph(self) -> Graph:
        """Of the model, before it is lowered."""
        return self._trainer.programs.known_live.graph

    def identity(self, trains: bool) -> str:
        """Returns of which model and training the step is."""
        return _identity(self._model) if trains else self.graph.stored_hash

    def batch(self, rows: int, y: Tree, sizes: Mapping[str, int] | None, trains: bool) -> Batch:
        """Returns what a batch looks like: with targets, or inputs alone."""
        if not trains:
            return Batch(abstract_arrays(self.graph, self.graph.inputs, rows, sizes), [], [])
        options = self._trainer.require_compiled("forecast")
        return abstract_batch(self.graph, options, rows, y, sizes)

    def flops(self, rows: int, sizes: Mapping[str, int] | None, trains: bool) -> int:
        """Returns the FLOPs of the model itself, without loss and optimizer."""
        total = cost(self._model, rows, sizes).total
        return total.flops if trains else total.forward_flops

    def remat(self, given: Remat | Literal[False] | None) -> Remat | None:
        """Returns what is computed again: what `compile` was told, unless another is given."""
        return self._trainer.programs.lowering.remat if given is None else given or None

    def engine(
        self, batch: Batch, placement: Placement, stack: Stacking | None, remat: Remat | None
    ) -> Engine:
        """Returns an engine for other devices; the model keeps its own."""
        programs = self._trainer.programs.copy_for(self._model)
        how = programs.lowering
        programs.lowering = replace(
            how, distribution=placement.distribution, remat=remat,
            stack=how.stack if stack is None else stack,
        )  # fmt: skip
        trainer = Trainer(self._model, programs)
        trainer.start_anew(self._trainer.require_compiled("forecast"), None, eager=False)
        return trainer.engine_for(batch)

    def inference(self, placement: Placement) -> Program:
        """Returns the program that predicts on other devices."""
        programs = self._trainer.programs.copy_for(self._model)
        programs.lowering = replace(programs.lowering, distribution=placement.distribution)
        return programs.lower(INFERENCE_PASSES)
