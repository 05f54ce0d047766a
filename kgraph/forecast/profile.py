"""Which layer the compiler's estimates belong to, forward and backward apart."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from kgraph.distribution.chips import Chip
from kgraph.forecast.hlo import Instruction, Module
from kgraph.forecast.kernels import is_kernel, kernel_cycles, kernel_flops
from kgraph.forecast.work import bytes_of, flops_of
from kgraph.graph.graph import Graph
from kgraph.graph.stack import StackPlan

OUTSIDE = "loss, metrics and optimizer"
"""Name of the row for what belongs to no layer."""

_WRAPPER = re.compile(r"\b(?:jit|jvp|vmap|transpose|pjit|remat|shard_map)\(|\)")


@dataclass(frozen=True)
class LayerTime:
    """What the compiler estimates for a layer, or for one that stands for several equal ones.

    Fields:
        names: of the layer's calls in the model: of repeated blocks, that in each block.
        forward, recomputed, backward: cycles on each chip, of all of them.
        flops: of matrix products, on each chip.
        share: of all cycles.
    """

    names: tuple[str, ...]
    forward: int
    recomputed: int
    backward: int
    flops: int
    share: float

    @property
    def cycles(self) -> int:
        """All three together."""
        return self.forward + self.recomputed + self.backward

    @property
    def label(self) -> str:
        """The name, or the first and the last of them."""
        first, last = self.names[0], self.names[-1]
        return first if first == last else f"{first} ... {last}"


@dataclass
class Profile:
    """The estimates of a program, summed.

    Fields:
        layers: a row for each, in the order of the model.
        cycles, flops, bytes: on each chip.
        kernel_cycles: of them, what Pallas kernels take by the cost that they state, or by their
            shapes.
        unknown: what has no estimate, with how often it runs: it counts nothing.
    """

    layers: tuple[LayerTime, ...] = ()
    cycles: int = 0
    flops: int = 0
    bytes: int = 0
    kernel_cycles: int = 0
    unknown: Counter[str] = field(default_factory=Counter)


def profile(module: Module, graph: Graph, chip: Chip) -> Profile:
    """Returns the estimates for each layer of the graph that was lowered.

    A fusion has one name: what the optimizer adds to the product that makes a gradient counts with
    that layer's backward pass.
    """
    names = _Names(graph)
    found = Profile()
    cycles: dict[str, Counter[str]] = {}
    for instruction, times in module.executed():
        flops = times * flops_of(module, instruction)
        estimate = instruction.number("estimated_cycles")
        if is_kernel(instruction):
            estimate = kernel_cycles(module, instruction, chip)
            flops = times * (kernel_flops(module, instruction) or 0)
            found.kernel_cycles += times * (estimate or 0)
        if estimate is None and _computes(instruction):
            found.unknown[_kind(instruction)] += times
        found.flops += flops
        found.bytes += times * bytes_of(module, instruction)
        found.cycles += times * (estimate or 0)
        layer, way = names.of(instruction.op_name)
        cycles.setdefault(layer, Counter()).update({way: times * (estimate or 0), "flops": flops})
    found.layers = tuple(
        LayerTime(
            names.blocks.get(layer, (layer,)),
            of["forward"], of["recomputed"], of["backward"], of["flops"],
            (of.total() - of["flops"]) / max(found.cycles, 1),
        )
        for layer, of in sorted(cycles.items(), key=lambda item: names.order(item[0]))
        if of.total()
    )  # fmt: skip
    return found


def _computes(instruction: Instruction) -> bool:
    kinds = ("fusion", "convolution", "dot", "reduce", "sort", "scatter", "gather")
    return instruction.opcode in kinds or is_kernel(instruction)


def _kind(instruction: Instruction) -> str:
    if is_kernel(instruction):
        return f"kernel {instruction.op_name.rpartition('/')[2] or instruction.name}"
    if instruction.opcode == "fusion":
        return re.sub(r"[._]?\d*$", "", instruction.name)
    return instruction.opcode


_Level: TypeAlias = Mapping[str, Sequence[str]]
"""Names of the layers of a graph, the longest first, by the part before their first slash."""


class _Names:
    """Finds the layer of an operation by the names that JAX gave it while tracing.

    A name is a path such as `jit(step)/transpose(jvp(encoder/x12))/while/body/attention/dot`, in
    which names of layers may hold slashes themselves. The last part is what is computed. JAX's own
    words between the layers are others in each of its versions, and are passed over.
    """

    def __init__(self, graph: Graph) -> None:
        self._inside: dict[str, _Level] = {}
        self.blocks: dict[str, tuple[str, ...]] = {}
        self._places: dict[str, int] = {}
        self._top = self._read(graph)
        self._known: dict[str, tuple[str, str]] = {}

    def _read(self, graph: Graph) -> _Level:
        found: dict[str, list[str]] = {}
        for node in graph.nodes:
            spec = graph.layers[node.layer]
            found.setdefault(node.name.partition("/")[0], []).append(node.name)
            if spec.is_stack and spec.graph is not None:
                self.blocks.update(StackPlan.of(spec).nodes)
                self._inside[node.name] = self._read(spec.graph)
            self._places[node.name] = len(self._places)
        return {first: sorted(names, key=len, reverse=True) for first, names in found.items()}

    def order(self, name: str) -> int:
        """Returns the place of a layer in the model; what is outside comes last."""
        return self._places.get(name, len(self._places))

    def of(self, op_name: str) -> tuple[str, str]:
        """Returns the layer, and "forward", "recomputed" or "backward"."""
        if op_name not in self._known:
            self._known[op_name] = self._find(op_name)
        return self._known[op_name]

    def _find(self, op_name: str) -> tuple[str, str]:
        traced = _WRAPPER.sub("", op_name.partition("call_exported/")[2] or op_name)
        parts = [part for part in traced.split("/")[1:-1] if part]
        way = "backward" if "transpose(" in op_name else "forward"
        if "rematted_computation" in op_name:
            way = "recomputed"
        name, level = OUTSIDE, self._top
        while parts:
            path = "/".join(parts)
            found = _longest(level.get(parts[0], ()), path)
            if found is None:
                parts = parts[1:]
                continue
            name, level = found, self._inside.get(found, {})
            parts = parts[found.count("/") + 1 :]
        return name, way


def _longest(names: Sequence[str], path: str) -> str | None:
    """Returns the longest of the names, which are sorted so, that a path begins with."""
    return next((n for n in names if path == n or path.startswith(n + "/")), None)
