"""Computes repeated blocks by one body."""

from __future__ import annotations

from collections.abc import Callable

from kgraph.compiler.find_repeats import find_repeats
from kgraph.compiler.repeats import Repeats
from kgraph.compiler.signatures import LayerSignatures
from kgraph.compiler.stacking import Stacking
from kgraph.graph.graph import Graph


def stack_blocks(
    signatures: LayerSignatures | None = None,
    least: int = 2,
    saves: int = 0,
    remat: str | None = None,
) -> Callable[[Graph], Graph]:
    """Returns a pass that puts one node in the place of blocks that follow each other and are the
    same.

    Blocks are the same if their nodes do the same and are wired in the same way, each block reads
    what the one before made, and what else they read is the same for all. Their weights are stacked
    and the body runs in `jax.lax.scan`; a layer that is the same object in every block is not
    stacked. Outputs of any block may be used elsewhere.

    Needs: nodes in topological order; nested models inlined, or they stay closed. Comes last: what
    is inside a stacked run is hidden from other passes. Keeps: parameter paths, random keys (names
    of nodes are kept for each block), state, masks. Added losses come as sums over the blocks. A
    second run changes nothing.

    Args:
        signatures: what the graph does not know of its layers.
        least: the smallest number of blocks.
        saves: the smallest number of nodes that are no longer there.
        remat: "blocks" to compute a block's inner tensors again in the backward pass; "offload" to
            keep what enters a block on the host as well; or the name of a policy of
            `jax.checkpoint`.
    """

    def accept(repeats: Repeats) -> bool:
        count = len(repeats.blocks)
        return count >= least and repeats.size - repeats.size // count >= saves

    def pass_(graph: Graph) -> Graph:
        while (repeats := find_repeats(graph, signatures, accept)) is not None:
            graph = Stacking(graph, repeats, remat).graph()
        return graph

    pass_.__name__ = "stack_blocks"
    return pass_
