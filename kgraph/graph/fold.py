"""A folded normalisation as data: what a layer of class `Fold` says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from kgraph.graph.node import FOLD_CLASS, LayerSpec, WeightSpec
from kgraph.graph.traits import Normalization


@dataclass(frozen=True)
class FoldPlan:
    """How a linear layer computes the normalisation behind it too, at inference.

    Fields:
        layer, norm: names of the two layers, whose weights it is made of.
        title: the classes of both.
        config: the options of the linear layer.
        normalization: what the second layer says of itself.
        kernel, bias: the weights that are changed.
        scales: shape in which the normalisation's factors lie along the kernel.
        offsets: shape in which they lie along the bias.
    """

    layer: str
    norm: str
    title: str
    config: Mapping[str, Any]
    normalization: Normalization
    kernel: str
    bias: str
    scales: tuple[int, ...]
    offsets: tuple[int, ...]

    @property
    def name(self) -> str:
        """Name of the layer that does the work of both."""
        return f"{self.layer}+{self.norm}"

    def spec(self, linear: LayerSpec) -> LayerSpec:
        """Returns the description under which a graph keeps the two.

        Args:
            linear: the description of the linear layer.
        """
        weights = {weight.path: weight for weight in linear.weights}
        kernel, bias = weights[self.kernel], weights.get(self.bias)
        shape = self.offsets if bias is None else bias.shape
        weights[self.bias] = WeightSpec(self.bias, shape, kernel.dtype, True)
        traits = replace(linear.traits, linear=())
        return LayerSpec(FOLD_CLASS, asdict(self), tuple(weights.values()), traits=traits)

    @classmethod
    def of(cls, spec: LayerSpec) -> FoldPlan:
        """Returns the plan in a description."""
        config: dict[str, Any] = dict(spec.config)
        for field in ("scales", "offsets"):
            config[field] = tuple(config[field])
        config["normalization"] = Normalization(**config["normalization"])
        return cls(**config)
