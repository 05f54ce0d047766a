"""The options that every layer has, the shape of inputs, and unknown keywords."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypedDict

from kgraph.errors import ConfigError, nearest
from kgraph.source import warn
from kgraph.types import PolicyLike, RegularizerLike

if TYPE_CHECKING:
    from kgraph.layers.base.layer import Layer


class Flags(TypedDict, total=False):
    """The keyword arguments that no layer names among its own; `Layer` documents all of these."""

    trainable: bool
    autocast: bool


class OptionsButName(Flags, total=False):
    """For layers that name `name` among their own."""

    activity_regularizer: RegularizerLike | None
    dtype: PolicyLike | None


class CommonOptions(Flags, total=False):
    """For layers that name `activity_regularizer` among their own."""

    dtype: PolicyLike | None
    name: str | None


class LoraOptions(TypedDict, total=False):
    """For layers that have `enable_lora`, which is called with them when the layer is built."""

    lora_rank: int | None
    lora_alpha: float | None


class LayerOptions(OptionsButName, total=False):
    """All that layers share."""

    name: str | None


_INSTEAD = {
    "rms_scaling": "RMSNormalization: this option, Keras warns, divides by another number",
}
"""What to use in the place of options of Keras that are not here."""
_SHAPE = ("input_shape", "input_dim", "batch_input_shape", "input_length")


def take_shape(layer: Layer, options: dict[str, Any]) -> None:
    """Takes the shape of inputs off a layer's keywords: a Sequential that begins with it wants it.

    The recorded arguments lose it too, unless the constructor itself names it: in configs, the
    Input of the Sequential says it.
    """
    idle: frozenset[str] = layer._kgraph_idle
    given = {name: options.pop(name) for name in (*_SHAPE, *idle) if name in options}
    if not given:
        return
    for name in given.keys() & idle:
        warn(f"{name} has no effect, as in Keras 3: there is one way to compute it")
    if given.get("input_length") is not None:
        warn("input_length has no effect, as in Keras 3: layers take sequences of any length")
    shape, features = given.get("input_shape"), given.get("input_dim")
    shape = shape if features is None else features
    if shape is not None:
        shape = (None, *((shape,) if isinstance(shape, int) else shape))
    core = layer._kgraph
    core.input_shape = given.get("batch_input_shape", shape)
    args, kwargs = core.arguments
    named = inspect.signature(type(layer).__init__).parameters
    core.arguments = args, {k: v for k, v in kwargs.items() if k in named or k not in given}


def unknown_options(cls: type, unknown: Iterable[str]) -> ConfigError:
    """Returns the error for keywords that no constructor of a layer class takes."""
    names = [
        p.name
        for p in inspect.signature(cls.__init__).parameters.values()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name != "self"
    ]
    known = list(dict.fromkeys([*names, *LayerOptions.__annotations__]))
    first = next(iter(unknown))
    return ConfigError(
        f"{cls.__name__} has no option {', '.join(map(repr, unknown))}",
        expected=", ".join(known),
        hint=_INSTEAD.get(first) or nearest(first, known),
    )
