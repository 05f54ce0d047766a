"""Marks convolutions and max pooling to be computed in the forms that suit a CPU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from kgraph.graph.graph import Graph
from kgraph.graph.node import LayerSpec, Node
from kgraph.layers.convolution.choice import MOST_TAPS, choose
from kgraph.layers.convolution.window import Window


def use_cpu_forms(graph: Graph) -> Graph:
    """Lets convolutions and max poolings that know several forms compute as a CPU does it fastest.

    Numbers are the same up to rounding. It changes how these calls, and above all their gradients,
    are written for XLA (`layers/convolution/choice.py`, `layers/pooling/max_on_cpu.py`); they then
    run in loops as fast as outside. The result computes the same anywhere, only slower.
    Needs: nested models inlined, as it does not look into layers. Keeps: nodes, layers and names.
    A second run changes nothing.
    """
    nodes = tuple(
        replace(node, lowering=_form(graph.layers[node.layer], node)) for node in graph.nodes
    )
    return replace(graph, nodes=nodes)


def _form(spec: LayerSpec, node: Node) -> str:
    """Returns in words how a layer is to compute; "" for as always."""
    said = spec.traits.convolution
    if spec.traits.max_pooling:
        few = math.prod(spec.traits.max_pooling) <= MOST_TAPS
        return "gradient by cells" if few else ""
    if said is None or not said.kernels:
        return ""
    shapes = {weight.path: weight.shape for weight in spec.weights}
    kernel, *mixing = (shapes[name] for name in said.kernels)
    dtype = node.outputs[0].dtype
    if said.transposed:
        *sizes, filters, channels = kernel
        window = _window(1, said.strides)
        if said.padding == "valid":
            window = replace(window, padding=tuple((size, size) for size in sizes))
        return str(choose(window, (*sizes, channels, filters), dtype))
    ones, groups = (1,) * (len(kernel) - 2), said.groups
    if said.depthwise:
        *sizes, groups, multiplier = kernel
        kernel = (*sizes, 1, groups * multiplier)
    forms = [choose(_window(groups, ones), kernel, dtype)]
    forms += [choose(_window(1, ones), other, dtype) for other in mixing]
    return ", then ".join(map(str, forms))


def _window(groups: int, stretch: Sequence[int]) -> Window:
    ones = (1,) * len(stretch)
    return Window(ones, "VALID", ones, tuple(stretch), groups)
