"""What a model costs, before it runs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import jax
import jax.numpy as jnp

from kgraph.compiler import costs
from kgraph.compiler.costs.dims import abstract_arrays, bind_sizes, unknown_sizes
from kgraph.errors import ConfigError
from kgraph.graph.dims import BATCH
from kgraph.graph.graph import Graph
from kgraph.graph.node import TensorSpec
from kgraph.graph.structure import is_structure
from kgraph.layers.base.core import label_of
from kgraph.layers.base.tree import walk_weights
from kgraph.training.compilation import Compiler
from kgraph.training.compile_options import CompileOptions
from kgraph.training.engine import Engine
from kgraph.training.job import Form
from kgraph.training.memory import Memory, largest_batch, step_memory
from kgraph.training.pairing import by_output
from kgraph.training.step import Batch
from kgraph.types import Tree

if TYPE_CHECKING:
    from kgraph.models.model import Model

_FORECASTS: WeakKeyDictionary[Engine, dict[Any, Memory]] = WeakKeyDictionary()
"""What was measured for each engine, by the shapes of the batch."""

_MOST_ROWS = 1 << 24


def cost(self: Model, batch_size: int = 1, sizes: Mapping[str, int] | None = None) -> costs.Costs:
    """Returns parameters, activations and FLOPs of a training step, node by node.

    Nothing is compiled, and no weight is made. Layers of kgraph's own have a rule each; a layer
    of yours may say it itself, by a method `count_flops(input_specs, output_specs)` that
    returns the FLOPs of one call (specs have `dims`, all numbers, and `dtype`); all others are
    traced and counted by XLA. Loss and optimizer are not part of it.

    Args:
        batch_size: number of rows.
        sizes: a number for each other unknown size, by name: `{"time": 128}`; for one without a
            name by input and axis: `{"title[1]": 128}`.

    Raises:
        ConfigError: a size is missing or unknown.
        StateError: the model has no graph yet.

    >>> import kgraph as keras
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> model.cost(batch_size=8).total.forward_flops
    144
    """
    live = self._kgraph.programs.known_live
    trained = {id(weight) for _, weight, trained in walk_weights(self) if trained}
    return costs.count_costs(live.graph, live.layers, trained, batch_size, sizes)


def row_flops(self: Model) -> Callable[[Form], float | None]:
    """Returns what counts the FLOPs of one row of a training step, of inputs of some form.

    It gives None where they cannot be counted: no training ends for that.
    """

    @functools.cache
    def count(form: Form) -> float | None:
        live = self._kgraph.programs.live
        if live is None or len(form) != len(live.graph.inputs):
            return None
        specs = [live.graph.spec(ref) for ref in live.graph.inputs]
        given = [TensorSpec((1, *shape), str(dtype)) for shape, dtype in form]
        try:
            known = bind_sizes(zip(specs, given))
            names = unknown_sizes(live.graph).items()
            counted = cost(self, 1, {key: known[name] for name, key in names if name != BATCH})
        except Exception:  # of a layer of the user's, say: `cost` itself tells
            return None
        return counted.total.flops / counted.batch_size

    return count


def memory(
    self: Model, batch_size: int = 32, y: Tree = None, sizes: Mapping[str, int] | None = None
) -> Memory:
    """Returns the memory that a training step needs on this device.

    The step is compiled, and nothing runs. Data that `fit` holds on the device come on top. The
    first call for a batch size takes as long as compiling does; `compile_report` lists it.

    Args:
        batch_size: number of rows.
        y: what targets look like, where that is not as the outputs are: an array or
            `jax.ShapeDtypeStruct` for each output, of any number of rows, in the structure of
            `fit`. By default the loss decides: labels for the sparse losses, the shape of the
            output for the others.
        sizes: the unknown sizes; see `cost`.

    Raises:
        ConfigError: a size is missing or unknown.
        StateError: the model is not compiled, or the device does not say.
    """
    trainer = self._kgraph.trainer
    options = trainer.require_compiled("memory")
    graph = trainer.programs.known_live.graph
    batch = abstract_batch(graph, options, batch_size, y, sizes)
    engine = trainer.engine_for(batch)
    known = _FORECASTS.setdefault(engine, {})
    key = str(jax.tree.map(lambda x: (x.shape, str(x.dtype)), batch))
    if key not in known:
        known[key] = step_memory(
            engine, batch, Compiler() if trainer.compiler.eager else trainer.compiler
        )
    return known[key]


def max_batch_size(
    self: Model,
    bytes: int,
    y: Tree = None,
    sizes: Mapping[str, int] | None = None,
    start: int = 32,
    most: int = _MOST_ROWS,
) -> int:
    """Returns the largest batch whose training step needs at most so many bytes.

    Steps of several batch sizes are compiled, about five: the first two give a forecast, the
    others test it. Each is remembered, and listed by `compile_report`.

    Args:
        bytes: the limit; see `memory` for what is in it.
        y, sizes: see `memory`.
        start: the batch size to begin with.
        most: no batch above it is tried.

    Raises:
        ConfigError: not even one row fits, or the inputs have a batch size of their own.
    """
    if BATCH not in unknown_sizes(self._kgraph.programs.known_live.graph):
        raise ConfigError(
            f"The batch of {label_of(self)} has one size only", hint="make Input without batch_size"
        )
    return largest_batch(lambda n: memory(self, n, y, sizes).total, bytes, start, most)


def abstract_batch(
    graph: Graph, options: CompileOptions, rows: int, y: Tree, sizes: Mapping[str, int] | None
) -> Batch:
    """Returns what a batch looks like."""
    inputs = abstract_arrays(graph, graph.inputs, rows, sizes)
    outputs = abstract_arrays(graph, graph.outputs, rows, sizes)
    if y is not None:
        given: list[Any] = by_output(graph, y, "targets") if is_structure(y) else [y]
        rows = inputs[0].shape[0]  # an input may have a batch size of its own
        targets = [t and jax.ShapeDtypeStruct((rows, *t.shape[1:]), t.dtype) for t in given]
    else:
        wanted = _losses_by_output(graph, options.loss)
        targets = [_target(loss, output) for loss, output in zip(wanted, outputs)]
    return Batch(inputs, targets, [None] * len(targets))


def _losses_by_output(graph: Graph, given: object) -> Sequence[Any]:
    """Returns the loss of each output as the user gave it; every output has the single one."""
    if is_structure(given):
        return by_output(graph, given, "losses")
    return [given] * len(graph.outputs)


def _target(loss: Any, output: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct | None:
    """Returns what a loss compares an output with."""
    if loss is None:
        return None
    name = loss if isinstance(loss, str) else getattr(loss, "name", None) or type(loss).__name__
    if "sparse" in str(name).lower():
        return jax.ShapeDtypeStruct(output.shape[:-1], jnp.int32)
    return jax.ShapeDtypeStruct(output.shape, jnp.float32)
