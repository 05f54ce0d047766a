"""Plan: where the weights of a model will lie, before there are any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax.numpy as jnp

from kgraph.compiler.lower import graph_of
from kgraph.distribution.constrain_outputs import ruled_output
from kgraph.distribution.layout import Axes
from kgraph.errors import ConfigError, StateError, nearest
from kgraph.graph.graph import Graph
from kgraph.layers.base.core import label_of
from kgraph.layers.base.tree import named_weights
from kgraph.tables import Table, Tabular, readable

if TYPE_CHECKING:
    from kgraph.distribution.base import Distribution
    from kgraph.distribution.layout_map import LayoutMap
    from kgraph.models.model import Model


@dataclass(frozen=True, slots=True)
class PlannedWeight:
    """Where one weight lies.

    Fields:
        path, shape, dtype: of the weight.
        axes: the axis of the mesh for each dimension; () if each device has all of it.
        bytes: on each device.
        total: bytes of all of it.
        key: the rule that decided it, or None.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    axes: Axes
    bytes: int
    total: int
    key: str | None


@dataclass(frozen=True, repr=False)
class Plan(Tabular):
    """Where the weights of a model lie on a mesh; printed, it is a table.

    Fields:
        mesh: shape by name of the axis.
        weights: a row for each.
        outputs: axes of what layers return, by path, where a rule says them.
        unused: rules that nothing falls under and that are not optional.
        known: every path that a rule could have matched.
    """

    mesh: Mapping[str, int]
    weights: tuple[PlannedWeight, ...]
    outputs: Mapping[str, Axes]
    unused: tuple[str, ...]
    known: tuple[str, ...]

    @property
    def bytes_per_device(self) -> int:
        """Bytes of weights on each device."""
        return sum(row.bytes for row in self.weights)

    @property
    def total_bytes(self) -> int:
        """Bytes of all weights, each counted once."""
        return sum(row.total for row in self.weights)

    def refuse_unused(self) -> None:
        """Raises ConfigError for a rule that nothing falls under, and that is not optional."""
        for key in self.unused:
            raise ConfigError(
                f"The key {key!r} of the LayoutMap matches no path of the model whole",
                hint=[nearest(key, self.known) or "plan(model) lists the paths",
                      f"or, if it need not be there: layouts.optional({key!r}, axes)"],
            )  # fmt: skip

    def _kgraph_table(self) -> Table:
        axes = ", ".join(f"{name} {size}" for name, size in self.mesh.items())
        title = (
            f"{len(self.weights)} weights, {readable(self.total_bytes)}, on a mesh of {axes}: "
            f"{readable(self.bytes_per_device)} on each device"
        )
        rows = [("weight", "shape", "dtype", "layout", "on each device")]
        for row in self.weights:
            shown = str(row.axes) if any(row.axes) else "whole"
            rows.append((row.path, str(list(row.shape)), row.dtype, shown, readable(row.bytes)))
        rows += [(path, "", "", str(axes), "") for path, axes in self.outputs.items()]
        unused = [f"no path matches {key!r}" for key in self.unused]
        return Table(title, rows, right=(4,), below=unused)


def make_plan(distribution: Distribution, model: Model) -> Plan:
    """Returns the plan for a model; see `Distribution.plan`."""
    graph = graph_of(model)
    if graph is None:
        raise StateError(f"{label_of(model)} has no graph yet", hint="call it on data once")
    mesh = distribution.device_mesh
    rows: dict[int, PlannedWeight] = {}
    for path, weight in named_weights(model):
        if id(weight) in rows:
            continue
        ruled = distribution.ruled_path(path, weight.path)
        axes = distribution.axes_of(ruled, weight.shape)
        total = weight.nbytes
        parts = 1
        for axis in axes:
            parts *= mesh.size(axis)
        dtype = jnp.dtype(weight.dtype).name
        rows[id(weight)] = PlannedWeight(
            path, weight.shape, dtype, axes, total // parts, total, distribution.key_of(ruled)
        )
    found = {ruled_output(distribution, path) for path in layer_paths(graph)}
    outputs = {
        path: layout.axes
        for path in sorted(found)
        if (layout := distribution.get_tensor_layout(path)) is not None
    }
    used = {row.key for row in rows.values()} | {distribution.key_of(path) for path in outputs}
    rules: LayoutMap | None = getattr(distribution, "layout_map", None)
    needed = () if rules is None else rules.needed()
    unused = tuple(key for key in needed if key not in used)
    named = [weight.path or path for path, weight in named_weights(model)]
    known = tuple(dict.fromkeys([*named, *(row.path for row in rows.values()), *sorted(found)]))
    sizes = dict(zip(mesh.axis_names, mesh.shape))
    return Plan(sizes, tuple(rows.values()), outputs, unused, known)


def layer_paths(graph: Graph, prefix: str = "") -> Iterator[str]:
    """Yields the path of each layer, also of those in nested models."""
    for name, spec in graph.layers.items():
        yield prefix + name
        if spec.graph is not None:
            yield from layer_paths(spec.graph, f"{prefix}{name}/")
