"""What a layer multiplies, in the place of the product: inputs, kernel and bias."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from kgraph.compiler.foldable import kernel_shape
from kgraph.graph.graph import Graph
from kgraph.graph.node import FACTORS_CLASS, LayerSpec, Node, TensorSpec
from kgraph.graph.structure import Slot
from kgraph.graph.traits import Projection, Traits
from kgraph.layers.base.arithmetic import value_of
from kgraph.layers.base.calling import cast_inputs
from kgraph.types import Array


def factors_node(graph: Graph, product: Node, said: Projection) -> tuple[Node, LayerSpec]:
    """Returns a node that gives the factors of another one, and the description of its layer."""
    layer = graph.layers[product.layer]
    shapes = [kernel_shape(layer, said.kernel)]
    if said.transposed:
        shapes = [shapes[0][::-1]]
    shapes += [weight.shape for weight in layer.weights if weight.path == said.bias]
    dtype = product.outputs[0].dtype
    inputs = replace(graph.spec(product.inputs[0]), dtype=dtype)
    outputs = (inputs, *(TensorSpec(shape, dtype) for shape in shapes))
    spec = LayerSpec(
        FACTORS_CLASS, {"layer": product.layer, **asdict(said)},
        traits=Traits(rows_independent=True),
    )  # fmt: skip
    none = (None,) * len(outputs)
    name = f"{product.name}.factors"
    node = Node(
        name, f"{product.layer}.factors", args=(Slot(0),), inputs=product.inputs[:1], masks=(None,),
        structure=[Slot(i) for i in range(len(outputs))], outputs=outputs, output_masks=none,
        mask_specs=none, source=product.source,
    )  # fmt: skip
    return node, spec


def factors(layer: Any, spec: LayerSpec, inputs: Array) -> list[Array]:
    """Returns inputs and kernel, and the bias if there is one, in the dtype of their product.

    Args:
        layer: bound copy of the layer.
        spec: what `factors_node` returned.
        inputs: what the layer is called on.
    """
    said = Projection(**{name: given for name, given in spec.config.items() if name != "layer"})
    if layer.autocast:
        (inputs,), _ = cast_inputs(layer, (inputs,), {})
    kernel = value_of(getattr(layer, said.kernel))
    found = [inputs, kernel.T if said.transposed else kernel]
    bias = getattr(layer, said.bias, None) if said.bias else None
    if bias is not None:
        found.append(value_of(bias))
    return [factor.astype(said.dtype) for factor in found] if said.dtype else found
