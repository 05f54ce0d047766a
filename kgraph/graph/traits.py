"""Traits: what a layer says of itself, as data that passes and the engine read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

RowsIndependent: TypeAlias = bool | Literal["at inference", "by mask"]
"""Whether the result for a row of a batch depends on that row alone."""


@dataclass(frozen=True, slots=True)
class LinearForm:
    """Weights that decide the scale and the offset of each feature, before the activation.

    If the kernel is multiplied by a number for each feature, so is what comes of it; then the bias
    is added. Features are numbered along the kernel's axes in their order.

    Fields:
        axis: of the output, along which the features lie.
        kernel: attribute that holds the kernel.
        kernel_axes: of the kernel, along which the features lie.
        bias: attribute that holds the bias; it may be None, and be set.
        bias_axis: of the bias, counted from its end.
    """

    axis: int = -1
    kernel: str = "kernel"
    kernel_axes: tuple[int, ...] = (-1,)
    bias: str = "bias"
    bias_axis: int = -1


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution. On a CPU, XLA computes its gradients slowly inside of loops (jax 0.7 to 0.10).

    Fields:
        kernels: attributes that hold the kernels, for a layer that computes in the form that a pass
            chooses for it; none for one that leaves it to XLA.
        transposed: whether it is transposed: kernel `[*sizes, filters, channels]`.
        depthwise: whether each channel has kernels of its own, `[*sizes, channels, multiplier]`. A
            second kernel then mixes the channels.
        strides, padding, groups: as of `Conv2D`.
    """

    kernels: tuple[str, ...] = ()
    transposed: bool = False
    depthwise: bool = False
    strides: tuple[int, ...] = ()
    padding: str = "valid"
    groups: int = 1


@dataclass(frozen=True, slots=True)
class Normalization:
    """Outside of training, a factor and a term for each feature, from statistics that are kept:
    `(inputs - mean) / sqrt(variance + epsilon) * scale + offset`.

    Fields:
        axis: along which the features lie.
        epsilon: added to the variance.
        mean, variance: attributes that hold the statistics.
        scale, offset: attributes that hold these weights, or None.
    """

    axis: int = -1
    epsilon: float = 1e-3
    mean: str = "moving_mean"
    variance: str = "moving_variance"
    scale: str = "gamma"
    offset: str = "beta"


@dataclass(frozen=True, slots=True)
class Activated:
    """A function that a layer applies last.

    Fields:
        function: its name in `kgraph.activations`; "linear" for none, "" for one that is not there.
        option: the option that holds it; None for a layer that does nothing else.
        uses_mask: whether a mask changes it.
    """

    function: str
    option: str | None = None
    uses_mask: bool = False


@dataclass(frozen=True, slots=True)
class Projection:
    """A product with a kernel over the last axis: `inputs @ kernel + bias`, before the activation.

    Fields:
        kernel: attribute that holds the kernel, `[features, outputs]`.
        bias: attribute that holds the bias, `[outputs]`; it may be None, or missing.
        transposed: whether the kernel lies as `[outputs, features]`.
        dtype: of the product, "" for that in which the layer computes.
        flag: argument that is True in calls that do this, of a layer that does something else too.
    """

    kernel: str = "kernel"
    bias: str = "bias"
    transposed: bool = False
    dtype: str = ""
    flag: str = ""


@dataclass(frozen=True, slots=True)
class Traits:
    """What a layer says of itself, so that it can be left out, folded, padded and stacked.

    A class says it in its `class` statement: `traits=Traits(...)`, or a function of the layer that
    returns it, if it depends on options. A subclass that defines a method or an attribute of its
    bases anew says it again. What is not said is not assumed.

    Fields:
        idle_at_inference: outside of training the layer returns its first argument as it is. Then
            predictions leave it out, and what it stands between is folded.
        rows_independent: whether the result for a row of a batch depends on that row alone: True,
            False, "at inference" for not in training, or "by mask" for there as well if the mask
            of the first argument (of its shape without the last axis) leaves out all other rows.
            Where it holds of all layers, a smaller last batch is padded instead of compiled for. By
            default False; of a built-in class that a subclass leaves as it is, what that class
            says. Layers inside have a say of their own, and get no such mask.
        linear: which weights scale and shift the features, for each axis where such are. A
            normalization behind the layer is then made part of them in predictions.
        projection: that the layer is a product with a kernel, before its activation. A loss of
            classes behind it can then be computed in pieces, so that the product never exists as a
            whole.
        normalization: how features are scaled and shifted outside of training.
        activation: the function that is applied last.
        convolution: that it is a convolution, and of which kind.
        max_pooling: sizes of the windows of which the layer takes the maximum, in the form that a
            pass chooses for it.
        same_shapes: whether the shapes of the results follow from class, options and inputs, so
            that they are found once for all such calls. Not for a layer that calls what may be
            another function next time.
        any_size: of an input: its sizes are those of the data that a model saw first, and other
            data may have others.

    >>> import jax
    >>> import kgraph
    >>> class Jitter(kgraph.Layer, traits=kgraph.Traits(idle_at_inference=True)):
    ...     def call(self, inputs, training=None):
    ...         return inputs + jax.random.normal(self.next_key(), inputs.shape) * bool(training)
    >>> inputs = kgraph.Input((4,))
    >>> model = kgraph.Model(inputs, kgraph.layers.Dense(2, name="dense")(Jitter()(inputs)))
    >>> [node.name for node in kgraph.lower(model, inference=True).graph.calls]
    ['dense']
    """

    idle_at_inference: bool = False
    rows_independent: RowsIndependent | None = None
    linear: tuple[LinearForm, ...] = ()
    projection: Projection | None = None
    normalization: Normalization | None = None
    activation: Activated | None = None
    convolution: Convolution | None = None
    max_pooling: tuple[int, ...] = ()
    same_shapes: bool | None = None
    any_size: bool = False
