"""A folded normalisation as data: what a layer of class `Conv2D+BatchNormalization` says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from kgraph.graph.graph import Graph
from kgraph.graph.node import FOLDED, LayerSpec, WeightSpec


@dataclass(frozen=True)
class FoldPlan:
    """How a linear layer computes the normalisation behind it too, at inference.

    Fields:
        layer, norm: names of the two layers, whose weights it is made of.
        class_name, config: the linear layer, with a bias.
        kernel: the weight that is scaled.
        scales: shape in which the normalisation's factors lie along the kernel.
        offsets: shape in which they lie along the bias.
    """

    layer: str
    norm: str
    class_name: str
    config: Mapping[str, Any]
    kernel: str
    scales: tuple[int, ...]
    offsets: tuple[int, ...]

    @property
    def name(self) -> str:
        """Name of the layer that does the work of both."""
        return f"{self.layer}+{self.norm}"

    def spec(self, weights: Mapping[str, WeightSpec]) -> LayerSpec:
        """Returns the description under which a graph keeps the two.

        Args:
            weights: those of the linear layer by path.
        """
        kernel = weights[self.kernel]
        shape = weights["bias"].shape if "bias" in weights else self.offsets
        weights = {**weights, "bias": WeightSpec("bias", shape, kernel.dtype, True)}
        return LayerSpec(f"{self.class_name}{FOLDED}", asdict(self), tuple(weights.values()))

    @classmethod
    def of(cls, spec: LayerSpec) -> FoldPlan:
        """Returns the plan in a description."""
        config: dict[str, Any] = dict(spec.config)
        for field in ("scales", "offsets"):
            config[field] = tuple(config[field])
        return cls(**config)


def folds_in(graph: Graph) -> dict[str, LayerSpec]:
    """Returns the description of each folded layer of a graph by its name."""
    return {name: spec for name, spec in graph.layers.items() if spec.is_folded}
