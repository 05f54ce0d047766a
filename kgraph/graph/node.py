"""The pure data of a graph: specs, references, layer descriptions and nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kgraph.graph.dims import public_shape, rename_dims, show_dims
from kgraph.graph.traits import Traits
from kgraph.source import Source
from kgraph.types import Dims, Shape

if TYPE_CHECKING:
    from kgraph.graph.graph import Graph


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Shape and dtype of a tensor. A size that is text is an expression in named unknowns."""

    dims: Dims
    dtype: str

    @property
    def shape(self) -> Shape:
        """The shape with None for unknown sizes."""
        return public_shape(self.dims)

    def renamed(self, names: Mapping[str, str]) -> TensorSpec:
        """Returns the spec with its unknown sizes renamed."""
        return TensorSpec(rename_dims(self.dims, names), self.dtype)

    def __str__(self) -> str:
        return f"{show_dims(self.dims)} {self.dtype}"


@dataclass(frozen=True, slots=True)
class Ref:
    """Names one output of a node, or the mask that goes with that output."""

    node: str
    index: int = 0
    mask: bool = False

    def __str__(self) -> str:
        return f"{self.node}[{self.index}]" + (".mask" if self.mask else "")


@dataclass(frozen=True, slots=True)
class WeightSpec:
    """A weight of a layer: its path inside the layer, shape, dtype and whether it is trained."""

    path: str
    shape: tuple[int, ...]
    dtype: str
    trainable: bool


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """A layer as data.

    Fields:
        class_name: the name under which its class is known in files.
        config: its recorded options.
        weights: what it declared.
        graph: the graph inside, if it is a functional model.
        own: whether the class is kgraph's. Of those options and weights decide everything.
        traits: what the layer says of itself. It counts for what passes do, not for equality: it
            follows from the rest, or from code that no graph knows.
    """

    class_name: str
    config: dict[str, Any] = field(hash=False)
    weights: tuple[WeightSpec, ...] = ()
    graph: Graph | None = None
    own: bool = True
    traits: Traits = field(default=Traits(), compare=False)

    @property
    def is_input(self) -> bool:
        """Whether it describes an entry through which data comes in."""
        return self.own and self.class_name == INPUT_CLASS

    @property
    def is_stack(self) -> bool:
        """Whether it describes repeated blocks that are computed by one body (`StackPlan`)."""
        return self.own and self.class_name == STACK_CLASS

    @property
    def is_folded(self) -> bool:
        """Whether it describes a layer with a normalisation folded into it (`FoldPlan`)."""
        return self.own and self.class_name == FOLD_CLASS

    @property
    def is_factors(self) -> bool:
        """Whether it describes what a layer multiplies (see `expose_factors`)."""
        return self.own and self.class_name == FACTORS_CLASS

    @property
    def title(self) -> str:
        """What it is called where graphs are shown."""
        if self.is_factors:
            return f"{self.class_name} of {self.config['layer']}"
        return f"{self.config['title']}" if self.is_folded else self.class_name

    @property
    def parameters(self) -> int:
        """Number of scalars in the weights."""
        total = 0
        for weight in self.weights:
            count = 1
            for size in weight.shape:
                count *= size
            total += count
        return total


@dataclass(frozen=True, slots=True)
class Node:
    """One call of one layer.

    Fields:
        name: unique in its graph. A layer's first call has the layer's name, later ones `name:1`,
            ...
        layer: key into the graph's `layers`; calls of a shared layer have the same.
        args, kwargs: the call's arguments; a `Slot(i)` stands for `inputs[i]`.
        inputs: the tensors read, in the order of their slots.
        masks: for each input the mask that comes with it, or None.
        structure: the nesting of the outputs, with slots.
        outputs: spec of each output.
        output_masks: where the mask of each output comes from (this node or an earlier one), or
            None.
        mask_specs: spec of each mask that this node makes itself, or None.
        effects: what a call does besides its result: "random", "state", "loss", "stops mask"; or
            "states sizes" where the layer's word for its output has to be checked.
        lowering: how a pass has decided that the layer computes, where it knows several ways.
        layout: axes of a mesh of devices along which a pass has spread the outputs; () for none,
            `...` at the end for dimensions that XLA may spread as it likes. Of factors it is the
            kernel's.
        source: the user's line.
    """

    name: str
    layer: str
    args: tuple[Any, ...] = field(default=(), hash=False)
    kwargs: dict[str, Any] = field(default_factory=dict, hash=False)
    inputs: tuple[Ref, ...] = ()
    masks: tuple[Ref | None, ...] = ()
    structure: Any = field(default=None, hash=False)
    outputs: tuple[TensorSpec, ...] = ()
    output_masks: tuple[Ref | None, ...] = ()
    mask_specs: tuple[TensorSpec | None, ...] = ()
    effects: tuple[str, ...] = ()
    lowering: str = ""
    layout: tuple[Any, ...] = ()
    source: Source | None = field(default=None, compare=False)

    @property
    def reads(self) -> tuple[Ref, ...]:
        """Every reference that must be computed before this node."""
        return (*self.inputs, *(mask for mask in self.masks if mask is not None))

    @property
    def call_index(self) -> int:
        """0 for the first call of the layer in this graph, 1 for the second, ..."""
        return int(self.name.rpartition(":")[2]) if ":" in self.name else 0


INPUT_CLASS = "InputLayer"
"""Class name of the nodes through which data enters a graph."""

STACK_CLASS = "Stack"
"""Class name of the nodes that stand for repeated blocks."""

FOLD_CLASS = "Fold"
"""Class name of layers with a normalisation folded into them."""

FACTORS_CLASS = "Factors"
"""Class name of nodes that give what a layer multiplies: inputs, kernel and bias."""
