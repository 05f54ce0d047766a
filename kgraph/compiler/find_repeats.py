"""Finds blocks that follow each other and are the same: by class, options and wiring.

In `input -> a1 -> b1 -> a2 -> b2 -> a3 -> b3 -> head` the search begins with a late node, say `b3`,
and an earlier one that does the same, `b2`. Going back from both in step, `a3` pairs with `a2`; the
pairs of one kind link up to chains, `a1 a2 a3` and `b1 b2 b3`. Chains of equal length are rows of a
table whose columns are the blocks. What remains is to check that each column is wired as the one
before (`Repeats`): reads its own nodes, the block before, or what all blocks share.

Nodes are compared by the text of what they do (`Signatures`): a few comparisons a node;
`_CANDIDATES` and `_BUDGET` keep it so where almost everything is alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias

from kgraph.compiler.repeats import Blocks, Carried, Inner, Origin, Repeats, Shared, dependents
from kgraph.compiler.signatures import LayerSignatures, Signatures, has_seed, reads_of
from kgraph.graph.graph import Graph
from kgraph.graph.node import Node, Ref

_CANDIDATES = 8
_BUDGET = 100


def find_repeats(
    graph: Graph, signatures: LayerSignatures | None, accept: Callable[[Repeats], bool]
) -> Repeats | None:
    """Returns repeated blocks that are accepted, or None.

    From the end of the graph on, each node is tried as part of a last block, together with an
    earlier node like it as its counterpart in the block before. Going back from both in step gives
    all pairs of counterparts; chains of pairs give the blocks, which are then checked. Among the
    counterparts of one node the one that covers most nodes wins, then the smallest block: so their
    chains are checked in this order, until some are blocks.
    """
    search = _Search(graph, signatures)
    for last in reversed(graph.nodes):
        found = [search.chains(before, last.name) for before in search.alike_before(last)]
        for chains in sorted(found, key=_covered, reverse=True):
            repeats = search.blocks(chains)
            if repeats is not None and accept(repeats):
                return repeats
    return None


Chains: TypeAlias = list[list[str]]
"""For each node of a block, its counterparts in the order of the blocks."""


def _covered(chains: Chains) -> tuple[int, int]:
    """Returns how many nodes, in how many blocks, these chains can make."""
    count = min(map(len, chains), default=0)
    return count * len(chains), count


class _Search:
    """One search through a graph."""

    def __init__(self, graph: Graph, signatures: LayerSignatures | None) -> None:
        self.graph = graph
        self.place = {node.name: i for i, node in enumerate(graph.nodes)}
        self.reads = {node.name: reads_of(node) for node in graph.nodes}
        self.budget = _BUDGET * len(graph.nodes)
        nodes = Signatures(graph, signatures)
        self.kind = {node.name: nodes.of(node) for node in graph.nodes}
        self.of_kind: dict[str, list[str]] = {}
        self.number: dict[str, int] = {}
        for name, kind in self.kind.items():
            if kind is not None:
                self.number[name] = len(self.of_kind.setdefault(kind, []))
                self.of_kind[kind].append(name)

    @cached_property
    def calls(self) -> dict[str, list[Node]]:
        """The calls of each layer, aliases being one."""
        found: dict[str, list[Node]] = {}
        for node in self.graph.nodes:
            found.setdefault(self.layer(node), []).append(node)
        return found

    @cached_property
    def first_names(self) -> dict[str, str]:
        """For each layer object, by its first path in the model, its first name in this graph."""
        names = [node.layer for node in reversed(self.graph.nodes)]
        return {self.graph.aliases.get(name, name): name for name in names}

    @cached_property
    def by_reads(self) -> dict[tuple[str | None, tuple[Ref | None, ...]], str]:
        """The nodes by what they do and read."""
        return {(self.kind[name], reads): name for name, reads in self.reads.items()}

    def layer(self, node: Node) -> str:
        """Returns the name of the layer that a node calls; of its aliases the first."""
        return self.first_names[self.graph.aliases.get(node.layer, node.layer)]

    def alike_before(self, node: Node) -> list[str]:
        """Returns the nearest earlier nodes that do the same, the nearest first."""
        kind = self.kind[node.name]
        if kind is None:
            return []
        at = self.number[node.name]
        return self.of_kind[kind][max(0, at - _CANDIDATES) : at][::-1]

    def blocks(self, chains: Chains) -> Repeats | None:
        """Returns the blocks that chains make, or None if they make none."""
        count = min(map(len, chains), default=0)
        if count < 2:
            return None
        chains.sort(key=lambda chain: self.place[chain[-count]])  # so the same for equal graphs
        late = [0] * len(chains)
        best = self._checked(chains, late, count)
        if best is None:
            return None
        shifted = best
        for i in reversed(range(len(chains))):  # a block may as well begin one node later
            if len(chains[i]) > count:
                late[i] = 1
                trial = self._checked(chains, late, count)
                if trial is None or len(trial.carried) > len(shifted.carried):
                    late[i] = 0
                else:
                    shifted = trial
        return shifted if len(shifted.carried) < len(best.carried) else best

    def chains(self, before: str, last: str) -> Chains:
        """Returns the chains of counterparts that begin with these two."""
        later, earlier = {before: last}, {last: before}
        stack = [(before, last)]
        while stack:
            self.budget -= 1
            if self.budget < 0:
                return []
            one, other = stack.pop()
            for a, b in zip(self.reads[one], self.reads[other]):
                if a is None or b is None or a == b or a.node == b.node:
                    continue
                if (a.index, a.mask) != (b.index, b.mask) or a.node in later or b.node in earlier:
                    continue
                if self.kind[a.node] is not None and self.kind[a.node] == self.kind[b.node]:
                    later[a.node], earlier[b.node] = b.node, a.node
                    stack.append((a.node, b.node))
        self._go_on(later, earlier)
        chains = []
        for start in later:
            if start not in earlier:
                chain = [start]
                while chain[-1] in later:
                    chain.append(later[chain[-1]])
                chains.append(chain)
        return chains

    def _go_on(self, later: dict[str, str], earlier: dict[str, str]) -> None:
        """Adds counterparts after the last: where several tensors are carried, the last block has
        nodes that lead to others of its outputs than the one from which the search began.
        """
        ends = sorted((name for name in earlier if name not in later), key=self.place.__getitem__)
        while ends:
            self.budget -= len(ends)
            found = []
            for end in ends:
                reads = tuple(
                    ref if ref is None or ref.node not in later else
                    Ref(later[ref.node], ref.index, ref.mask)
                    for ref in self.reads[end]
                )  # fmt: skip
                after = self.by_reads.get((self.kind[end], reads))
                if after is not None and after not in earlier and reads != self.reads[end]:
                    later[end], earlier[after] = after, end
                    found.append(after)
            ends = found if self.budget > 0 else []

    def _checked(
        self, chains: Sequence[Sequence[str]], late: Sequence[int], count: int
    ) -> Repeats | None:
        """Returns the blocks that the last `count` nodes of the chains make, if they are blocks."""
        rows = [chain[len(chain) - count - n : len(chain) - n] for chain, n in zip(chains, late)]
        rows.sort(key=lambda row: self.place[row[0]])
        by_name = self.graph.by_name
        blocks = tuple(tuple(by_name[row[k]] for row in rows) for k in range(count))
        layers = self._layers(blocks)
        where = {row[k]: (p, k) for p, row in enumerate(rows) for k in range(count)}
        if layers is None or len(where) != count * len(rows):
            return None
        origins = []
        for row in rows:
            found = [self._origin(refs, where) for refs in zip(*(self.reads[name] for name in row))]
            if "none" in found:
                return None
            origins.append(tuple(origin for origin in found if origin != "none"))
        repeats = Repeats(blocks, layers, tuple(origins))
        outside = {ref.node for ref in (*repeats.shared, *(c.first for c in repeats.carried))}
        reading = dependents(self.graph, where)
        if not repeats.carried or outside & reading or self._order_matters(where, reading):
            return None
        return repeats

    def _order_matters(self, where: Mapping[str, Any], reading: set[str]) -> bool:
        """Tells whether a node that would move behind the blocks must stay among its neighbours.

        State may be updated, and a numbered seed drawn from, by several nodes in their order.
        """
        last = max(self.place[name] for name in where)
        moved = (self.graph.by_name[name] for name in reading if self.place[name] < last)
        return any(
            "state" in node.effects
            or ("random" in node.effects and has_seed(self.graph.layers[node.layer].config))
            for node in moved
        )

    def _origin(
        self, refs: Sequence[Ref | None], where: Mapping[str, tuple[int, int]]
    ) -> Origin | str:
        """Returns where one read of one node comes from in every block; "none" if it differs."""
        first, second = refs[0], refs[1]
        if first is None or second is None:
            return None if all(ref is None for ref in refs) else "none"
        if first.node not in where and all(ref == first for ref in refs):
            return Shared(first)
        if second.node not in where:
            return "none"
        p, k = where[second.node]
        step = 1 - k
        for k, ref in enumerate(refs):
            if k == 0 and step == 1:
                continue
            if ref is None or (ref.index, ref.mask) != (second.index, second.mask):
                return "none"
            if where.get(ref.node) != (p, k - step):
                return "none"
        if step == 0:
            return Inner(p, second.index, second.mask)
        fits = first.mask == second.mask and self.graph.spec(first) == self.graph.spec(second)
        if step != 1 or first.node in where or not fits:
            return "none"
        return Carried(p, second.index, second.mask, first)

    def _layers(self, blocks: Blocks) -> dict[str, tuple[str, ...]] | None:
        """Returns the layers of the blocks if each is either in all of them or in one alone."""
        found: dict[str, tuple[str, ...]] = {}
        inside = {node.name: k for k, block in enumerate(blocks) for node in block}
        for row in zip(*blocks):
            names = tuple(map(self.layer, row))
            if found.setdefault(names[0], names) != names:
                return None
            if len(set(names)) == 1:
                if any("state" in call.effects for call in self.calls[names[0]]):
                    return None
            elif len(set(names)) != len(names) or any(
                inside.get(call.name) != k
                for k, name in enumerate(names)
                for call in self.calls[name]
            ):
                return None
        every = [name for names in found.values() for name in set(names)]
        return found if len(set(every)) == len(every) else None
