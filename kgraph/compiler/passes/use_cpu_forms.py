"""Marks convolutions and max pooling to be computed in the forms that suit a CPU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from kgraph.graph.graph import Graph
from kgraph.graph.node import FOLDED, LayerSpec, Node
from kgraph.layers.convolution.choice import MOST_TAPS, choose
from kgraph.layers.convolution.window import Window


def use_cpu_forms(graph: Graph) -> Graph:
    """Lets kgraph's own convolutions and max poolings compute as a CPU does it fastest.

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
    name = spec.class_name.removesuffix(FOLDED)
    if not spec.own:
        return ""
    if name.startswith("MaxPooling"):
        sizes = _per_axis(spec.config["pool_size"], int(name[-2]))
        return "gradient by cells" if math.prod(sizes) <= MOST_TAPS else ""
    kernels = [weight.shape for weight in spec.weights if weight.path.endswith("kernel")]
    if not kernels or "Conv" not in name or name.startswith("ConvLSTM"):
        return ""
    dtype = node.outputs[0].dtype
    if "Transpose" in name:
        *sizes, filters, channels = kernels[0]
        stretch = _per_axis(spec.config.get("strides", 1), len(sizes))
        window = _window(1, stretch)
        if spec.config.get("padding", "valid") == "valid":
            window = replace(window, padding=tuple((size, size) for size in sizes))
        return str(choose(window, (*sizes, channels, filters), dtype))
    if name.startswith(("Depthwise", "Separable")):
        *sizes, channels, multiplier = kernels[0]
        kernel = (*sizes, 1, channels * multiplier)
        first = choose(_window(channels, (1,) * len(sizes)), kernel, dtype)
        if name.startswith("Depthwise"):
            return str(first)
        then = choose(_window(1, (1,) * len(sizes)), kernels[1], dtype)
        return f"{first}, then {then}"
    stretch = (1,) * (len(kernels[0]) - 2)
    return str(choose(_window(spec.config.get("groups", 1), stretch), kernels[0], dtype))


def _window(groups: int, stretch: Sequence[int]) -> Window:
    ones = (1,) * len(stretch)
    return Window(ones, "VALID", ones, tuple(stretch), groups)


def _per_axis(value: Any, rank: int) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,) * rank
