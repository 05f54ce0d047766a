"""Removes layers that do nothing outside of training."""

from __future__ import annotations

from dataclasses import replace

from kgraph.graph.graph import Graph
from kgraph.graph.node import Node, Ref

IDLE = frozenset({
    "ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise",
    "Identity", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D",
    "AugMix", "CutMix", "MixUp", "RandAugment", "RandomBrightness", "RandomColorDegeneration",
    "RandomColorJitter", "RandomContrast", "RandomElasticTransform", "RandomErasing", "RandomFlip",
    "RandomGaussianBlur", "RandomGrayscale", "RandomHue", "RandomInvert", "RandomPerspective",
    "RandomPosterization", "RandomRotation", "RandomSaturation", "RandomSharpness", "RandomShear",
    "RandomTranslation", "RandomZoom", "Solarization",
})  # fmt: skip
"""Classes that return their input outside of training, if it has their dtype."""


def drop_noise(graph: Graph) -> Graph:
    """Removes dropout, noise, random changes of images, penalties and linear activations: what
    reads them reads their input.

    For inference alone: random draws and added losses are gone. Stays: a call that is in training
    always (`training=True`), changes the dtype, has several inputs, or ends a mask. Needs: nothing.
    Keeps: names of the nodes that stay, masks. A second run changes nothing.
    """
    moved: dict[Ref, Ref] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        node = replace(node, inputs=tuple(moved.get(ref, ref) for ref in node.inputs))
        if _is_idle(graph, node):
            moved[Ref(node.name)] = node.inputs[0]
        else:
            nodes.append(node)
    called = {node.layer for node in nodes}
    return replace(
        graph,
        nodes=tuple(nodes),
        layers={name: spec for name, spec in graph.layers.items() if name in called},
        outputs=tuple(moved.get(ref, ref) for ref in graph.outputs),
    )


def _is_idle(graph: Graph, node: Node) -> bool:
    spec = graph.layers[node.layer]
    linear = spec.class_name == "Activation" and spec.config.get("activation") in (None, "linear")
    if not spec.own or not (linear or spec.class_name in IDLE) or node.kwargs.get("training"):
        return False
    source = node.inputs[0]
    same = node.outputs == (graph.spec(source),)
    return same and node.output_masks == (graph.mask_of(source),)
