"""What the chips send to each other: kind, bytes, and along which axes of the mesh."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kgraph.forecast.hlo import Instruction, Module

_KINDS = (
    "all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute",
    "collective-broadcast", "ragged-all-to-all",
)  # fmt: skip
_LISTED = re.compile(r"replica_groups=\{\{([\d,]+)\}")
_IOTA = re.compile(r"replica_groups=\[(\d+),(\d+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?")
_MESH = re.compile(r"replica_groups=mesh\[([^\]]*)\]\s*\{([^}]*)\}")
_PAIRS = re.compile(r"source_target_pairs=\{((?:\{\d+,\d+\},?)+)\}")
_CHANNEL = re.compile(r"channel_id=(\d+)")


@dataclass(frozen=True)
class Collective:
    """Chips that exchange the parts of some arrays.

    Fields:
        kind: such as "all-gather".
        axes: of the mesh, along which the chips that exchange lie.
        bytes: of the whole arrays: what one chip has after gathering, or before reducing.
        times: how often in a step.
        op_name: where it comes from in what JAX traced.
        shapes: of the arrays.
    """

    kind: str
    axes: tuple[str, ...]
    bytes: int
    times: int
    op_name: str
    shapes: tuple[tuple[int, ...], ...]


def find_collectives(module: Module, mesh: Mapping[str, int]) -> list[Collective]:
    """Returns what is exchanged in one run.

    TPU's compiler draws an exchange out over several fusions, so that computing goes on meanwhile;
    each of them names it, by the same channel.

    Args:
        module: the program.
        mesh: sizes of the axes, in order.
    """
    found: dict[str, Collective] = {}
    for instruction, times in module.executed():
        for computation, inner in _exchanges(module, instruction):
            channel = _CHANNEL.search(inner.rest)
            key = channel[1] if channel else inner.name
            if key not in found:
                found[key] = _collective(module, computation, inner, mesh, times)
    return list(found.values())


def _exchanges(module: Module, instruction: Instruction) -> Iterator[tuple[str, Instruction]]:
    """Yields what an instruction exchanges, itself or inside of its fusion."""
    within = [(module.home[instruction.name], instruction), *module.inside(instruction)]
    for computation, inner in within:
        if inner.opcode.removesuffix("-start") in _KINDS:
            yield computation, inner


def _collective(
    module: Module, computation: str, inner: Instruction, mesh: Mapping[str, int], times: int
) -> Collective:
    names = module.by_name[computation]
    operands = [names[name] for name in inner.operands]
    sent = [array for operand in operands for array in operand.arrays]
    kind = inner.opcode.removesuffix("-start")
    given = inner.arrays
    if kind != inner.opcode:  # results of a start are its operands, what comes, and flags
        given = given[len(sent) : 2 * len(sent)]
    arrays = max(sent, given, key=lambda arrays: sum(array.bytes for array in arrays))
    if kind == "all-reduce" and computation.startswith("all-reduce-scatter"):
        kind = "reduce-scatter"  # how TPU's compiler writes it: each chip keeps a slice
    return Collective(
        kind, _axes(inner, mesh), sum(array.bytes for array in arrays), times, inner.op_name,
        tuple(array.shape for array in arrays),
    )  # fmt: skip


def _axes(inner: Instruction, mesh: Mapping[str, int]) -> tuple[str, ...]:
    """Returns the axes of the mesh along which chips of one group differ."""
    group = _first_group(inner.rest, math.prod(mesh.values()))
    places = np.unravel_index(group, tuple(mesh.values()))
    return tuple(name for name, along in zip(mesh, places) if len(set(along.tolist())) > 1)


def _first_group(text: str, chips: int) -> Sequence[int]:
    """Returns the numbers of the chips in one of the groups that exchange, all if none is named."""
    if listed := _LISTED.search(text):
        return [int(n) for n in listed[1].split(",")]
    if iota := _IOTA.search(text):
        grid = np.arange(chips).reshape([int(n) for n in iota[3].split(",")])
        if iota[4]:
            grid = grid.transpose([int(n) for n in iota[4].split(",")])
        return grid.reshape(int(iota[1]), int(iota[2]))[0].tolist()
    if meshed := _MESH.search(text):
        sizes = [(name, int(size)) for name, size in re.findall(r"'([^']*)'=(\d+)", meshed[1])]
        along = re.findall(r"'([^']*)'", meshed[2])
        grid = np.arange(chips).reshape([size for _, size in sizes])
        kept = tuple(slice(None) if name in along else 0 for name, _ in sizes)
        return grid[kept].ravel().tolist()
    if pairs := _PAIRS.search(text):
        return [int(n) for n in re.findall(r"\d+", pairs[1])[:2]]
    return range(chips)
