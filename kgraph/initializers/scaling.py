"""Initializers whose spread follows from the number of inputs and outputs of the weight."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any, TypeAlias

from kgraph.errors import ConfigError, check_choice
from kgraph.initializers.base import RandomInitializer
from kgraph.initializers.variates import Kind
from kgraph.types import AnyArray, InitializerLike

# The standard deviation of a standard normal cut at two deviations: what is left to divide by.
_TRUNCATED_STDDEV = 0.87962566103423978

_VARIATES: dict[str, Kind] = {
    "truncated_normal": "truncated_normal",
    "untruncated_normal": "normal",
    "uniform": "uniform",
}

Axes: TypeAlias = Sequence[int] | None


class VarianceScaling(RandomInitializer):
    """Draws values of mean 0 and variance `scale / n`, with n from the shape of the weight.

    Args:
        scale: positive; the variance of an output for inputs of mean square 1.
        mode: n is the number of inputs (`"fan_in"`), of outputs (`"fan_out"`), or
            their mean (`"fan_avg"`).
        distribution: `"truncated_normal"` (cut at two deviations), `"untruncated_normal"` or
            `"uniform"`.
        seed: see `RandomInitializer`.
        input_axes: the axes that inputs run over, where they are not all but the last.
        output_axes: the axes that outputs run over; needed with `input_axes`.

    Raises:
        ConfigError: if an option has a value that it cannot have.

    Source: He et al., "Delving Deep into Rectifiers", arXiv:1502.01852; Glorot and Bengio,
    "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010.
    """

    pointwise = True

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
        input_axes: Axes = None,
        output_axes: Axes = None,
    ) -> None:
        super().__init__(seed)
        if not scale > 0:
            raise ConfigError("VarianceScaling needs a positive scale", received=repr(scale))
        distribution = "truncated_normal" if distribution == "normal" else distribution
        check_choice("VarianceScaling", "mode", mode, ("fan_in", "fan_out", "fan_avg"))
        check_choice("VarianceScaling", "distribution", distribution, _VARIATES)
        if (input_axes is None) != (output_axes is None):
            raise ConfigError(
                "VarianceScaling needs both or neither of `input_axes` and `output_axes`",
                received=f"input_axes {input_axes!r}, output_axes {output_axes!r}",
            )
        self.scale, self.mode, self.distribution = scale, mode, distribution
        self.input_axes, self.output_axes = input_axes, output_axes
        self.variates = _VARIATES[distribution]

    def transform(self, z: AnyArray, shape: tuple[int, ...], xp: ModuleType) -> AnyArray:
        fan_in, fan_out = compute_fans(shape, self.input_axes, self.output_axes)
        fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
        variance = self.scale / max(1.0, fans[self.mode])
        if self.distribution == "uniform":
            return math.sqrt(3 * variance) * (2 * z - 1)
        if self.distribution == "untruncated_normal":
            return math.sqrt(variance) * z
        return math.sqrt(variance) / _TRUNCATED_STDDEV * z


def with_axes(
    initializer: InitializerLike | None, inputs: Sequence[int], outputs: Sequence[int]
) -> Any:
    """Returns an initializer told which axes of a kernel are inputs and which are outputs.

    One that has been told, or does not ask, stays as it is.
    """
    if not isinstance(initializer, VarianceScaling) or initializer.input_axes is not None:
        return initializer
    told = copy.copy(initializer)  # whatever the constructor of a user's subclass takes
    told.input_axes, told.output_axes = list(inputs), list(outputs)
    return told


def compute_fans(
    shape: Sequence[int], input_axes: Axes = None, output_axes: Axes = None
) -> tuple[int, int]:
    """Returns to how many inputs and outputs a weight of this shape connects a unit.

    The last two axes are inputs and outputs, and what is before them (a convolution's window)
    multiplies both. A vector counts as both.

    >>> compute_fans((3, 3, 16, 32))
    (144, 288)
    """
    if input_axes is not None and output_axes is not None:
        return math.prod(shape[i] for i in input_axes), math.prod(shape[i] for i in output_axes)
    if len(shape) < 2:
        return math.prod(shape), math.prod(shape)
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


class GlorotUniform(VarianceScaling):
    """Draws uniformly within `sqrt(6 / (inputs + outputs))` of 0."""

    def __init__(
        self, seed: int | None = None, input_axes: Axes = None, output_axes: Axes = None
    ) -> None:
        super().__init__(1.0, "fan_avg", "uniform", seed, input_axes, output_axes)


class GlorotNormal(VarianceScaling):
    """Draws from a truncated normal with variance `2 / (inputs + outputs)`."""

    def __init__(
        self, seed: int | None = None, input_axes: Axes = None, output_axes: Axes = None
    ) -> None:
        super().__init__(1.0, "fan_avg", "truncated_normal", seed, input_axes, output_axes)


class HeUniform(VarianceScaling):
    """Draws uniformly within `sqrt(6 / inputs)` of 0."""

    def __init__(
        self, seed: int | None = None, input_axes: Axes = None, output_axes: Axes = None
    ) -> None:
        super().__init__(2.0, "fan_in", "uniform", seed, input_axes, output_axes)


class HeNormal(VarianceScaling):
    """Draws from a truncated normal with variance `2 / inputs`."""

    def __init__(
        self, seed: int | None = None, input_axes: Axes = None, output_axes: Axes = None
    ) -> None:
        super().__init__(2.0, "fan_in", "truncated_normal", seed, input_axes, output_axes)


class LecunUniform(VarianceScaling):
    """Draws uniformly within `sqrt(3 / inputs)` of 0."""

    def __init__(
        self, seed: int | None = None, input_axes: Axes = None, output_axes: Axes = None
    ) -> None:
        super().__init__(1.0, "fan_in", "uniform", seed, input_axes, output_axes)


class LecunNormal(VarianceScaling):
    """Draws from a truncated normal with variance `1 / inputs`."""

    def __init__(
        self, seed: int | None = None, input_axes: Axes = None, output_axes: Axes = None
    ) -> None:
        super().__init__(1.0, "fan_in", "truncated_normal", seed, input_axes, output_axes)
