"""Steps that are written by hand, or another library's, by the TPU's compiler without a TPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec

from kgraph.distribution.chips import find_slice
from kgraph.forecast.compiling import Compiled, Traced, compile_for
from kgraph.forecast.hlo import read_module
from kgraph.forecast.profile import Profile, profile
from kgraph.graph.graph import Graph

Axes = tuple[str | None, ...]
Layout = Callable[[tuple[int, ...]], Axes]
"""Along which axis of the mesh each dimension of a weight of some shape is cut."""


@dataclass(frozen=True)
class Figures:
    """What a compiled step needs and takes on each chip.

    Fields:
        fits: whether memory is large enough; of a step that does not fit only `total` and
            `temporary` are known, about.
        total: bytes of memory, the most at once.
        temporary: of them, what is neither argument nor result.
        moved: bytes read from memory and written to it.
        flops: of products of matrices.
        cycles: as the compiler estimates them, loops by their trips.
        seconds: that compiling took.
    """

    fits: bool
    total: int
    temporary: int
    moved: int
    flops: int
    cycles: int
    seconds: float


_NO_LAYERS = Graph((), (), (), {}, None, None)


def figures(made: Compiled, topology: str) -> Figures:
    """Returns the figures of a compiled step."""
    found = Profile()
    if made.fits:
        found = profile(read_module(made.text), _NO_LAYERS, find_slice(topology).chip)
    total = made.arguments + made.outputs - made.aliased + made.temporary + made.code
    seconds = made.lowering_seconds + made.compiling_seconds
    amounts = total, made.temporary, found.bytes, found.flops, found.cycles
    return Figures(made.fits, *amounts, seconds)


def whole(shape: tuple[int, ...]) -> Axes:
    """The layout that cuts nothing."""
    return ()


def compiled(
    topology: str,
    mesh: Mapping[str, int],
    step: Callable[..., Any],
    state: Any,
    batch: Sequence[Any],
    layout: Layout = whole,
    rows: str | None = None,
) -> Compiled:
    """Compiles `step(state, *batch)`, which gives the next state, for a slice.

    Args:
        topology: such as "v5e:2x4".
        mesh: its axes.
        step: a training step; its state is donated.
        state, batch: shapes.
        layout: of the arrays of a state.
        rows: the axis that batches are cut along; by default the first.
    """
    abstract = AbstractMesh(
        tuple(mesh.values()), tuple(mesh), axis_types=(AxisType.Auto,) * len(mesh)
    )

    def placed(leaf: Any, axes: Axes) -> jax.ShapeDtypeStruct:
        sharding = NamedSharding(abstract, PartitionSpec(*axes))
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    state = jax.tree.map(lambda leaf: placed(leaf, layout(leaf.shape)), state)
    batch = jax.tree.map(lambda leaf: placed(leaf, (rows or next(iter(mesh)),)), list(batch))
    kept, structure = len(jax.tree.leaves(state)), jax.tree.structure((state, *batch))

    def flat(*arrays: Any) -> tuple[Any, ...]:
        return tuple(jax.tree.leaves(step(*structure.unflatten(arrays))))

    given = jax.tree.leaves((state, *batch))
    traced = Traced(flat, given, kept, [leaf.sharding for leaf in given[:kept]])
    return compile_for(find_slice(topology), mesh, traced)
