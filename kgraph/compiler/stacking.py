"""Rewrites a graph: one node stands for blocks of nodes, and one of these is its body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from kgraph.compiler.repeats import Carried, Inner, Origin, Repeats, dependents
from kgraph.compiler.signatures import reads_of
from kgraph.graph.graph import Graph
from kgraph.graph.node import INPUT_CLASS, LayerSpec, Node, Ref, TensorSpec
from kgraph.graph.stack import StackPlan
from kgraph.graph.structure import Slot


class Stacking:
    """Puts one node in the place of repeated blocks.

    Args:
        graph: where the blocks are.
        repeats: the blocks; there may be only one.
        remat: as in `StackPlan`.
        name: of the new node, by default that of the first block with the number of blocks.
    """

    def __init__(
        self, graph: Graph, repeats: Repeats, remat: str | None, name: str | None = None
    ) -> None:
        self.old, self.repeats, self.remat = graph, repeats, remat
        self.blocks, self.carried, self.shared = repeats.blocks, repeats.carried, repeats.shared
        self.count = len(self.blocks)
        self.where = {
            node.name: (p, k) for k, block in enumerate(self.blocks) for p, node in enumerate(block)
        }
        self.name = name or f"{self.blocks[0][0].name}/x{self.count}"
        self.exports = self._find_exports()

    def _find_exports(self) -> dict[Ref, int]:
        """Returns the number of each tensor and mask that is read outside of the blocks."""
        found: dict[Ref, int] = {}

        def note(ref: Ref | None) -> None:
            if ref is not None and ref.node in self.where:
                found.setdefault(ref, len(found))

        for node in self.old.nodes:
            if node.name not in self.where:
                for ref in reads_of(node):
                    note(ref)
        for ref in self.old.outputs:
            note(ref)
            note(self.old.mask_of(ref))
        return found

    # --- the graph around ------------------------------------------------------------------------

    def graph(self) -> Graph:
        """Returns the graph with one node in the place of the blocks."""
        body, taken = self._body()
        plan = StackPlan(
            self.count, len(self.carried),
            {row[0].name: tuple(node.name for node in row) for row in zip(*self.blocks)},
            self.repeats.layers, taken, self.remat,
        )  # fmt: skip
        before, after = self._around()
        nodes = [*before, self._node(), *(self._reread(node) for node in after)]
        called = {node.layer for node in nodes}
        layers = {name: spec for name, spec in self.old.layers.items() if name in called}
        return replace(
            self.old,
            nodes=tuple(nodes),
            layers={**layers, self.name: plan.spec(body)},
            outputs=tuple(self._now(ref) for ref in self.old.outputs),
        )

    def _around(self) -> tuple[list[Node], list[Node]]:
        """Returns the other nodes: those to compute before, and those that read the blocks."""
        reading = dependents(self.old, self.where)
        others = [node for node in self.old.nodes if node.name not in self.where]
        last = max(i for i, node in enumerate(self.old.nodes) if node.name in self.where)
        early = {node.name for node in self.old.nodes[:last]} - reading
        before = [node for node in others if node.name in early]
        return before, [node for node in others if node.name not in early]

    def _now(self, ref: Ref) -> Ref:
        number = self.exports.get(ref)
        return ref if number is None else Ref(self.name, number, ref.mask)

    def _reread(self, node: Node) -> Node:
        return replace(
            node,
            inputs=tuple(self._now(ref) for ref in node.inputs),
            masks=tuple(mask and self._now(mask) for mask in node.masks),
            output_masks=tuple(mask and self._now(mask) for mask in node.output_masks),
        )

    def _node(self) -> Node:
        inputs = (*(carried.first for carried in self.carried), *self.shared)
        specs = [self.old.spec(ref) for ref in self.exports]
        return Node(
            name=self.name,
            layer=self.name,
            args=tuple(Slot(i) for i in range(len(inputs))),
            inputs=inputs,
            masks=(None,) * len(inputs),
            structure=tuple(Slot(i) for i in range(len(specs))),
            outputs=tuple(specs),
            output_masks=tuple(self._mask_of(ref) for ref in self.exports),
            mask_specs=tuple(spec if ref.mask else None for ref, spec in zip(self.exports, specs)),
            effects=tuple(sorted({effect for n in self.blocks[0] for effect in n.effects})),
            source=self.blocks[0][0].source,
        )

    def _mask_of(self, ref: Ref) -> Ref | None:
        """Returns where the mask of an exported tensor is, if it is known outside."""
        mask = ref if ref.mask else self.old.mask_of(ref)
        if mask is None or (mask.node in self.where and mask not in self.exports):
            return None
        return self._now(mask)

    # --- the body --------------------------------------------------------------------------------

    def _body(self) -> tuple[Graph, tuple[tuple[int, int], ...]]:
        """Returns the graph of one block, and which output of which block each export is."""
        names = {c: Ref(f"/carried_{i}", 0, c.mask) for i, c in enumerate(self.carried)}
        entries: dict[Ref, TensorSpec] = {
            ref: self.old.spec(carried.first) for carried, ref in names.items()
        }
        outer = {ref: Ref(f"/shared_{i}", 0, ref.mask) for i, ref in enumerate(self.shared)}
        entries |= {inside: self.old.spec(ref) for ref, inside in outer.items()}
        outputs = [self._made(carried) for carried in self.carried]
        taken = []
        for ref in self.exports:
            p, k = self.where[ref.node]
            made = Ref(self.blocks[0][p].name, ref.index, ref.mask)
            final = k == self.count - 1 and made in outputs[: len(self.carried)]
            if not final and made not in outputs[len(self.carried) :]:
                outputs.append(made)
            start = 0 if final else len(self.carried)
            taken.append((outputs.index(made, start), k))
        nodes = [_entry(ref, spec) for ref, spec in entries.items()]
        for node, origins in zip(self.blocks[0], self.repeats.origins):
            nodes.append(self._body_node(node, origins, names, outer))
        layers = {node.layer: LayerSpec(INPUT_CLASS, {}) for node in nodes[: len(entries)]}
        layers |= {node.layer: self.old.layers[node.layer] for node in nodes[len(entries) :]}
        body = Graph(
            inputs=tuple(entries),
            outputs=tuple(outputs),
            nodes=tuple(nodes),
            layers=layers,
            input_structure=[Slot(i) for i in range(len(entries))],
            output_structure=[Slot(i) for i in range(len(outputs))],
        )
        return body, tuple(taken)

    def _made(self, origin: Inner | Carried) -> Ref:
        return Ref(self.blocks[0][origin.node].name, origin.index, origin.mask)

    def _body_node(
        self,
        node: Node,
        origins: tuple[Origin, ...],
        names: Mapping[Carried, Ref],
        outer: Mapping[Ref, Ref],
    ) -> Node:
        def read(origin: Origin) -> Ref | None:
            if origin is None or isinstance(origin, Inner):
                return None if origin is None else self._made(origin)
            return names[origin] if isinstance(origin, Carried) else outer[origin.ref]

        found = [read(origin) for origin in origins]
        count = len(node.inputs)
        own = [ref is not None and ref.node == node.name for ref in node.output_masks]
        passed = found[2 * count :]
        return replace(
            node,
            layer=self.first_name(node),
            inputs=tuple(ref for ref in found[:count] if ref is not None),
            masks=tuple(found[count : 2 * count]),
            output_masks=tuple(
                ref if mine else other for mine, ref, other in zip(own, node.output_masks, passed)
            ),
        )

    def first_name(self, node: Node) -> str:
        """Returns the name of a node's layer; of its aliases the first."""
        if node.layer in self.repeats.layers:
            return node.layer
        aliases = self.old.aliases
        root = aliases.get(node.layer, node.layer)
        return next(n for n in self.repeats.layers if aliases.get(n, n) == root)


def _entry(ref: Ref, spec: TensorSpec) -> Node:
    """Returns the node through which a tensor or mask enters the body."""
    return Node(
        name=ref.node,
        layer=ref.node,
        structure=Slot(0),
        outputs=(spec,),
        output_masks=(Ref(ref.node, 0, mask=True) if ref.mask else None,),
        mask_specs=(spec if ref.mask else None,),
    )
