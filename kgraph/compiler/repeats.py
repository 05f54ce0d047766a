"""Repeated blocks as they are found in a graph, before one body takes their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from kgraph.compiler.signatures import reads_of
from kgraph.graph.graph import Graph
from kgraph.graph.node import Node, Ref


@dataclass(frozen=True)
class Inner:
    """A tensor that the same block made: which of its nodes, which output, tensor or mask."""

    node: int
    index: int
    mask: bool


@dataclass(frozen=True)
class Carried:
    """A tensor that the block before made, and what the first block reads in its place."""

    node: int
    index: int
    mask: bool
    first: Ref


@dataclass(frozen=True)
class Shared:
    """A tensor from outside that every block reads."""

    ref: Ref


Origin: TypeAlias = Inner | Carried | Shared | None
Blocks: TypeAlias = tuple[tuple[Node, ...], ...]


@dataclass(frozen=True)
class Repeats:
    """Blocks that one body can compute.

    Fields:
        blocks: nodes of each block; equal places correspond, and are in topological order.
        layers: name of each layer of the first block, and its names in the blocks.
        origins: where each node of a block reads (see `reads_of`) from.
    """

    blocks: Blocks
    layers: dict[str, tuple[str, ...]]
    origins: tuple[tuple[Origin, ...], ...]

    @property
    def carried(self) -> tuple[Carried, ...]:
        """What goes from block to block, each once."""
        found = [o for row in self.origins for o in row if isinstance(o, Carried)]
        return tuple(dict.fromkeys(found))

    @property
    def shared(self) -> tuple[Ref, ...]:
        """What all blocks read from outside, each once."""
        found = [o.ref for row in self.origins for o in row if isinstance(o, Shared)]
        return tuple(dict.fromkeys(found))

    @property
    def size(self) -> int:
        """Number of nodes in all blocks."""
        return len(self.blocks) * len(self.blocks[0])


def dependents(graph: Graph, names: Mapping[str, object]) -> set[str]:
    """Returns the nodes that depend on some of these without being one of them."""
    found: set[str] = set()
    for node in graph.nodes:
        if node.name not in names and any(
            ref is not None and (ref.node in names or ref.node in found) for ref in reads_of(node)
        ):
            found.add(node.name)
    return found
