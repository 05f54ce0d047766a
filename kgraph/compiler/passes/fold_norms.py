"""Folds BatchNormalization into the convolution or dense layer before it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from kgraph.compiler.foldable import as_linear
from kgraph.graph.fold import FoldPlan
from kgraph.graph.graph import Graph
from kgraph.graph.node import Node, Ref
from kgraph.graph.structure import Slot


def fold_norms(graph: Graph) -> Graph:
    """Lets a convolution or dense layer compute the BatchNormalization that follows it as well.

    Outside of training a normalisation multiplies each feature by a number and adds another, which
    kernel and bias can do: `kernel * factor` and `(bias - mean) * factor + beta`, where `factor` is
    `gamma / sqrt(variance + epsilon)`. The program makes these weights of the model's
    (`Program.fold`). Both layers must say what they are (`Traits`), with nothing in between, and
    the normalisation be the only reader of a tensor that is no output of the model.

    For inference alone. Needs: nested models inlined, noise dropped, or it finds less. Keeps: names
    of the nodes that stay; the model's variables; masks; results up to rounding. A second run
    changes nothing.
    """
    reads = Counter(ref for node in graph.nodes for ref in node.inputs) + Counter(graph.outputs)
    plans: dict[str, FoldPlan] = {}
    moved: dict[Ref, Ref] = {}
    layers = dict(graph.layers)
    for norm in graph.calls:
        plan = _plan(graph, norm, reads)
        if plan is not None:
            linear = norm.inputs[0]
            plans[linear.node], moved[Ref(norm.name)] = plan, linear
            layers[plan.name] = plan.spec(graph.layers[plan.layer])
    nodes = []
    for node in graph.nodes:
        if Ref(node.name) in moved:
            continue
        if node.name in plans:
            node = replace(node, layer=plans[node.name].name)
        nodes.append(replace(node, inputs=tuple(moved.get(ref, ref) for ref in node.inputs)))
    called = {node.layer for node in nodes}
    return replace(
        graph,
        nodes=tuple(nodes),
        layers={name: spec for name, spec in layers.items() if name in called},
        outputs=tuple(moved.get(ref, ref) for ref in graph.outputs),
    )


def _plan(graph: Graph, norm: Node, reads: Counter[Ref]) -> FoldPlan | None:
    """Returns how to fold a call of a normalisation, or None if it has to stay."""
    spec = graph.layers[norm.layer]
    said = spec.traits.normalization
    if said is None or "loss" in norm.effects:
        return None
    if norm.args != (Slot(0),) or set(norm.kwargs) - {"training"} or norm.kwargs.get("training"):
        return None
    ref = norm.inputs[0]
    before = graph.by_name[ref.node]
    if reads[ref] != 1 or "loss" in before.effects or before.outputs != norm.outputs:
        return None
    layer = graph.layers[before.layer]
    linear = as_linear(layer, said.axis, len(norm.outputs[0].dims))
    if linear is None:
        return None
    title = f"{layer.class_name}+{spec.class_name}"
    return FoldPlan(before.layer, norm.layer, title, layer.config, said, **vars(linear))
