"""A stacked run as data: what a node of class `Stack` says about the blocks it stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from kgraph.graph.graph import Graph
from kgraph.graph.node import STACK_CLASS, LayerSpec


@dataclass(frozen=True)
class StackPlan:
    """How blocks that follow each other are computed by one body.

    The body is a graph: that of the first block, with an input for each tensor that comes from
    outside. Its first `carried` inputs come from the block before (for the first block: from
    outside), the others are the same for all blocks. Its first `carried` outputs go to the next
    block, the others are wanted outside.

    Fields:
        count: number of blocks.
        carried: number of tensors (or masks) that go from block to block.
        nodes: name of each node of the body, and its names in the blocks, in their order.
        layers: the same for layers.
        taken: for each output of the node, the body's output and the block it is taken from.
        remat: None, "blocks", "offload", or the name of a policy of `jax.checkpoint`.
    """

    count: int
    carried: int
    nodes: Mapping[str, tuple[str, ...]]
    layers: Mapping[str, tuple[str, ...]]
    taken: tuple[tuple[int, int], ...]
    remat: str | None = None

    def spec(self, body: Graph) -> LayerSpec:
        """Returns the description under which a graph keeps the run."""
        config = asdict(self)
        config["nodes"] = {name: list(names) for name, names in self.nodes.items()}
        config["layers"] = {name: list(names) for name, names in self.layers.items()}
        config["taken"] = [list(pair) for pair in self.taken]
        return LayerSpec(STACK_CLASS, config, graph=body)

    @classmethod
    def of(cls, spec: LayerSpec) -> StackPlan:
        """Returns the plan in a description."""
        config: dict[str, Any] = dict(spec.config)
        for field in ("nodes", "layers"):
            config[field] = {name: tuple(names) for name, names in config[field].items()}
        config["taken"] = tuple((output, block) for output, block in config["taken"])
        return cls(**config)


def stacks_in(graph: Graph) -> dict[str, LayerSpec]:
    """Returns the description of each stacked run of a graph, by the name of its node."""
    return {name: spec for name, spec in graph.layers.items() if spec.is_stack}
