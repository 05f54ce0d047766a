"""Makes forecasts: a model's step is traced here, and compiled for devices that are not here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax

from kgraph.checks import is_whole
from kgraph.compiler import Program
from kgraph.compiler.lower import Stacking
from kgraph.distribution.base import Distribution
from kgraph.distribution.chips import Slice, find_slice, slice_of
from kgraph.distribution.current import check_distribution
from kgraph.distribution.current import distribution as in_force
from kgraph.distribution.data_parallel import DataParallel
from kgraph.distribution.mesh import DeviceMesh, list_devices
from kgraph.errors import ConfigError, check_choice
from kgraph.forecast.compiling import Traced, compile_for, require_compiler
from kgraph.forecast.report import Forecast, Options
from kgraph.forecast.words import as_key, as_words, spec_of_words
from kgraph.graph.graph import Graph
from kgraph.layers.base.platform import lowering_for
from kgraph.training.abstract_step import abstract_step
from kgraph.training.engine import Engine
from kgraph.training.placement import Placement
from kgraph.training.step import Batch
from kgraph.types import Array, Tree


def make_forecast(
    subject: Any,
    topology: str | DeviceMesh,
    batch_size: int,
    y: Tree,
    sizes: Mapping[str, int] | None,
    what: str,
    distribution: Distribution | None,
    stack: Stacking | None,
    remat: Any,
    compiler_options: Mapping[str, object] | None,
) -> Forecast:
    """Does what `Model.forecast` has to; see there.

    Args:
        subject: what `models.forecasting.Subject` gives of a model.
    """
    given = dict(locals())
    del given["subject"]
    check_choice("A forecast", "what", what, ("train", "predict"))
    check_distribution(distribution)
    if not isinstance(compiler_options, Mapping | None):
        raise ConfigError(
            "compiler_options are names with values", received=repr(compiler_options),
            hint='compiler_options={"xla_tpu_enable_latency_hiding_scheduler": True}',
        )  # fmt: skip
    trains = what == "train"
    where = find_slice(topology) if isinstance(topology, str) else _here(topology)
    require_compiler(where)
    wanted = distribution or subject.distribution or in_force() or _usual(where, topology)
    placement = Placement(wanted.over(wanted.device_mesh.over(where.devices)))
    _check_divides(where, placement.parts, batch_size)
    batch, again_computed = subject.batch(batch_size, y, sizes, trains), subject.remat(remat)
    mesh = placement.distribution.device_mesh
    axes = dict(zip(mesh.axis_names, mesh.shape))
    with lowering_for(where.platform):
        if trains:
            traced, graph = _step(subject.engine(batch, placement, stack, again_computed), batch)
        else:
            traced, graph = _prediction(subject.inference(placement), batch, placement)
        here = None if isinstance(topology, str) else topology.backend_mesh.devices
        made = compile_for(where, axes, traced, compiler_options, here)
    flops = subject.flops(batch_size, sizes, trains)
    options = Options(what, batch_size, axes, type(wanted).__name__, again_computed, flops)

    def again(**changes: Any) -> Forecast:
        if unknown := changes.keys() - given.keys():
            raise ConfigError(
                "A forecast has no such option", expected=", ".join(given), received=sorted(unknown)
            )
        return make_forecast(subject, **{**given, **changes})

    return Forecast(where, options, made, graph, again, subject.identity(trains))


def _usual(where: Slice, topology: str | DeviceMesh) -> DataParallel:
    """Returns how batches are spread where nobody says it."""
    if isinstance(topology, DeviceMesh):
        return DataParallel(topology)
    return DataParallel(DeviceMesh((where.devices,), ("batch",), list_devices(topology)))


def _step(engine: Engine, batch: Batch) -> tuple[Traced, Graph]:
    """Returns the step that `fit` runs on a batch from a stream."""
    step = abstract_step(engine, batch)
    given: list[Any] = [step.state, step.batch]
    if engine.pads_training:  # a last batch of fewer rows then needs no step of its own
        rows = jax.tree.leaves(step.batch)[0].sharding
        given.append(jax.ShapeDtypeStruct((batch.rows,), bool, sharding=rows))
    donated = len(jax.tree.leaves(step.state))
    results = jax.tree.leaves(step.results)
    traced = _traced("train_step", step, tuple(given), donated, results)
    return traced, engine.program.graph


def _prediction(program: Program, batch: Batch, placement: Placement) -> tuple[Traced, Graph]:
    variables = jax.eval_shape(program.fold, program.weights.layout.specs)
    inputs = placement.batch_specs(batch).inputs
    given: list[Any] = [placement.specs(program.weights.folded, variables), inputs]
    if program.draws_always:
        given.append(
            jax.ShapeDtypeStruct((2,), "uint32", sharding=placement.distribution.replicated)
        )

    def predict(variables: Any, inputs: Any, words: Array | None = None) -> Any:
        key = None if words is None else jax.random.wrap_key_data(words, impl="threefry2x32")
        return program.apply(variables, inputs, key=key)[0]

    return _traced("predict", predict, tuple(given), 0, None), program.graph


def _here(mesh: Any) -> Slice:
    if not isinstance(mesh, DeviceMesh):
        raise ConfigError(
            "A forecast is for a topology",
            expected='a name such as "v5e:2x4", or a DeviceMesh', received=repr(mesh),
        )  # fmt: skip
    return slice_of(list(mesh.backend_mesh.devices.flat))


def _check_divides(where: Slice, parts: int, rows: int) -> None:
    if not is_whole(rows, least=1) or rows % parts:
        raise ConfigError(
            f"A batch of {rows} rows cannot be cut into equal parts for {where.name}",
            expected=f"a whole number, divisible by {parts}",
            hint=f"batch_size={parts}" if not isinstance(rows, int) or rows < 1
            else f"batch_size={-(-rows // parts) * parts}",
        )  # fmt: skip


def _traced(name: str, function: Any, given: tuple[Tree, ...], kept: int, results: Any) -> Traced:
    """Returns a function of trees as one of leaves, with keys as their words."""
    leaves, structure = jax.tree.flatten(given)

    def flat(*arrays: Array) -> tuple[Array, ...]:
        typed = map(as_key, leaves, arrays)
        return tuple(map(as_words, jax.tree.leaves(function(*structure.unflatten(typed)))))

    flat.__name__ = name
    return Traced(flat, [spec_of_words(leaf) for leaf in leaves], kept, results)
