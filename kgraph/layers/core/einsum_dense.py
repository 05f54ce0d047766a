"""EinsumDense: a product with a kernel along any axes, written as an einsum equation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import jax.numpy as jnp

from kgraph import activations
from kgraph.errors import ConfigError, GraphError
from kgraph.graph.traits import LinearForm, Projection, Traits
from kgraph.initializers.scaling import with_axes
from kgraph.layers.base import InputSpec
from kgraph.layers.base.adaptable import AdaptableOptions, _Adaptable, adapted
from kgraph.layers.base.core import label_of
from kgraph.layers.base.traits import activated
from kgraph.layers.base.weight_options import KernelAndBias, add_with_options, set_options
from kgraph.types import (
    ActivationLike,
    Array,
    ConstraintLike,
    InitializerLike,
    RegularizerLike,
    Shape,
)

_FORM = re.compile(
    r"(?P<left>\.{3})?(?P<inputs>[a-zA-Z]+)(?P<right>\.{3})?,(?P<kernel>[a-zA-Z]+)"
    r"->(?P<new_left>\.{3})?(?P<outputs>[a-zA-Z]+)(?P<new_right>\.{3})?"
)


@dataclass(frozen=True)
class Equation:
    """The letters of an equation `[...]inputs[...],kernel->[...]outputs[...]`.

    Fields:
        inputs, kernel, outputs: a letter for each axis that is not left to `...`.
        left, right: whether `...` stands before or after the letters of inputs and outputs.
    """

    inputs: str
    kernel: str
    outputs: str
    left: bool
    right: bool

    def input_axis(self, letter: str) -> int:
        """Returns the axis of the input that a letter stands for."""
        place = self.inputs.index(letter)
        return place - len(self.inputs) if self.left else place


def read_equation(equation: str) -> Equation:
    """Returns the parts of an equation.

    Raises:
        ConfigError: it has another form, or a letter of kernel or outputs has no match.

    >>> read_equation("...x,xy->...y")
    Equation(inputs='x', kernel='xy', outputs='y', left=True, right=False)
    """
    found = _FORM.fullmatch(equation) if isinstance(equation, str) else None
    if found is None or (found["left"], found["right"]) != (found["new_left"], found["new_right"]):
        raise _unreadable(equation)
    if found["left"] and found["right"]:
        raise _unreadable(equation)
    inputs, kernel, outputs = found["inputs"], found["kernel"], found["outputs"]
    for letter in kernel:
        if letter not in inputs + outputs:
            raise _unmatched(equation, letter, "kernel", "the input nor the output")
    for letter in outputs:
        if letter not in inputs + kernel:
            raise _unmatched(equation, letter, "output", "the input nor the kernel")
    return Equation(inputs, kernel, outputs, bool(found["left"]), bool(found["right"]))


def _unreadable(equation: Any) -> ConfigError:
    return ConfigError(
        "EinsumDense cannot read this equation",
        expected='"ab,bc->ac", "...ab,bc->...ac" or "ab...,bc->ac..."',
        received=repr(equation),
    )


def _unmatched(equation: str, letter: str, owner: str, others: str) -> ConfigError:
    return ConfigError(
        f"EinsumDense finds the {owner}'s letter {letter!r} neither in {others}",
        received=repr(equation),
    )


def _traits(layer: EinsumDense) -> Traits:
    """Features along an axis can be scaled if kernel and bias have its letter too."""
    if layer.lora_enabled:
        return Traits(activation=activated(layer))
    own, biased = layer.letters, layer.bias_axes
    forms = [
        LinearForm(axis, kernel_axes=(own.kernel.index(letter),), bias_axis=axis)
        for axis, letter in enumerate(own.outputs, -len(own.outputs))
        if letter in own.kernel and letter in (biased or letter) and not own.right
    ]
    projection = _projection(own, biased)
    return Traits(
        linear=tuple(forms),
        projection=projection,
        activation=activated(layer),
    )


def _projection(own: Equation, biased: str | None) -> Projection | None:
    """Returns the product over the last axis, if that is what the equation says."""
    last, new = own.inputs[-1], own.outputs[-1]
    kept = own.inputs[:-1] == own.outputs[:-1] and not own.right and biased in (None, new)
    if not kept or new == last or own.kernel not in (last + new, new + last):
        return None
    return Projection(transposed=own.kernel == new + last)


class EinsumDense(_Adaptable, KernelAndBias, traits=_traits):
    """Multiplies the input by a kernel as an equation says, adds a bias, applies an activation.

    Shapes: as the equation says, the first letter being the batch unless `...` stands before it.
    Weights: `kernel` with an axis for each of its letters; `bias` from the first letter of
    `bias_axes` to the last axis of the output, with size 1 where it is shared.
    Mask: goes through where the first two axes stay what they are. (In Keras it ends here.)

    Args:
        equation: `"ab,bc->ac"`, `"...ab,bc->...ac"` or `"ab...,bc->ac..."`.
        output_shape: sizes of the output's letters, without that of the batch; None for the size
            that the letter has in the input.
        activation: name or function; None for none.
        bias_axes: letters of the output that have their own bias; None for no bias.
        kernel_initializer, kernel_regularizer, kernel_constraint: of the kernel.
        bias_initializer, bias_regularizer, bias_constraint: of the bias.
        lora_rank, lora_alpha: see `enable_lora`.

    Raises:
        ConfigError: the equation cannot be read, or does not fit the other options.
        GraphError: the input has another rank or other sizes.

    >>> import numpy as np
    >>> layer = EinsumDense("abc,cde->abde", (None, 2, 4), bias_axes="de")
    >>> layer(np.ones((8, 5, 3), "float32")).shape
    (8, 5, 2, 4)
    >>> [weight.shape for weight in layer.weights]
    [(3, 2, 4), (2, 4)]
    """

    def __init__(
        self,
        equation: str,
        output_shape: int | Sequence[int | None],
        activation: ActivationLike | None = None,
        bias_axes: str | None = None,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        kernel_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        **options: Unpack[AdaptableOptions],
    ) -> None:
        super().__init__(**options)
        self.equation, self.bias_axes = equation, bias_axes
        self.letters = read_equation(equation)
        self.output_sizes = self._sizes_by_letter(output_shape)
        if bias_axes is not None and (not bias_axes or set(bias_axes) - set(self.letters.outputs)):
            raise ConfigError(
                f"{label_of(self)} can have a bias along axes of its output alone",
                expected=f"letters of {self.letters.outputs!r}",
                received=f"bias_axes={bias_axes!r}",
            )
        self.activation = activations.get(activation)
        set_options(self, "kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        set_options(self, "bias", bias_initializer, bias_regularizer, bias_constraint)
        self.input_spec = self._rank()

    def _sizes_by_letter(self, output_shape: Any) -> dict[str, int | None]:
        given = (output_shape,) if isinstance(output_shape, int) else tuple(output_shape)
        letters = self.letters.outputs
        batch = len(letters) - len(given)  # 1: the first letter is the batch
        if batch not in ((0, 1) if self.letters.left else (1,)):
            raise ConfigError(
                f"{label_of(self)} needs a size for each letter of its output but the batch",
                expected=f"sizes of {letters if self.letters.left else letters[1:]!r}",
                received=f"output_shape={output_shape!r}",
            )
        return dict(zip(letters, (None,) * batch + given))

    def _rank(self, **more: Any) -> InputSpec:
        rank = len(self.letters.inputs)
        if self.letters.left or self.letters.right:
            return InputSpec(min_ndim=rank, **more)
        return InputSpec(ndim=rank, **more)

    def build(self, input_shape: Shape) -> None:
        own = self.letters
        sizes = {letter: input_shape[own.input_axis(letter)] for letter in own.inputs}
        for letter, size in self.output_sizes.items():
            if size is not None and sizes.get(letter) not in (None, size):
                raise GraphError(
                    f"{label_of(self)} cannot keep axis {letter!r} of {self.equation!r}",
                    expected=f"size {size}, as output_shape says",
                    received=f"size {sizes[letter]}",
                )
            sizes[letter] = sizes.get(letter) if size is None else size
        self.kernel = add_with_options(
            self,
            "kernel",
            tuple(sizes[letter] for letter in own.kernel),
            initializer=self._fitted_initializer(),
        )
        self.bias = None
        if self.bias_axes is not None:
            elided = len(input_shape) - len(own.inputs) if own.right else 0
            self.bias = add_with_options(self, "bias", (*self._bias_sizes(sizes), *(1,) * elided))
        fixed = {own.input_axis(x): sizes[x] for x in own.inputs if x in own.kernel}
        self.input_spec = self._rank(axes=fixed)
        self._kgraph_start_lora()

    def _fitted_initializer(self) -> Any:
        """Returns the kernel's initializer, told which axes are inputs and which outputs."""
        summed = [letter not in self.letters.outputs for letter in self.letters.kernel]
        inputs = [i for i, is_input in enumerate(summed) if is_input]
        outputs = [i for i, is_input in enumerate(summed) if not is_input]
        return with_axes(self.kernel_initializer, inputs, outputs)

    def _bias_sizes(self, sizes: dict[str, int | None]) -> tuple[int | None, ...]:
        outputs, along = self.letters.outputs, self.bias_axes or ""
        first = min(outputs.index(letter) for letter in along)
        return tuple(sizes[letter] if letter in along else 1 for letter in outputs[first:])

    def call(self, inputs: Array) -> Array:
        outputs = jnp.einsum(self.equation, inputs, adapted(self, self.kernel))
        if self.bias is not None:
            outputs = outputs + jnp.expand_dims(self.bias, range(outputs.ndim - self.bias.ndim))
        return outputs if self.activation is None else self.activation(outputs)
