"""What a `call` method takes, and how training and masks reach it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from kgraph.errors import GraphError
from kgraph.graph.structure import leaves, map_structure
from kgraph.layers.base.context import Context
from kgraph.layers.base.core import label_of
from kgraph.types import Function, Tree

if TYPE_CHECKING:
    from kgraph.layers.base.layer import Layer


@dataclass(frozen=True, eq=False)
class CallSpec:
    """The parameters of a `call`, without `self`. There is one for each class of layers."""

    signature: inspect.Signature
    names: tuple[str, ...]
    takes_training: bool
    takes_mask: bool

    def check(self, layer: Layer, args: tuple[object, ...], names: Iterable[str]) -> None:
        """Raises GraphError if these arguments and keywords do not fit the signature."""
        fault = _misfit(self, len(args), tuple(names))
        if fault is not None:
            raise GraphError(
                f"{label_of(layer)} cannot be called like this: {fault}",
                expected=f"call{self.signature}",
            )


@cache
def _misfit(spec: CallSpec, count: int, names: tuple[str, ...]) -> str | None:
    """Returns why so many arguments and these keywords do not fit, or None."""
    try:
        spec.signature.bind(*[None] * count, **dict.fromkeys(names))
    except TypeError as error:
        return str(error)
    return None


@cache
def call_spec(cls: type) -> CallSpec:
    """Returns the CallSpec of a layer class."""
    call: Function = cls.call  # type: ignore[attr-defined]
    parameters = list(inspect.signature(call).parameters.values())[1:]
    names = tuple(p.name for p in parameters)
    return CallSpec(inspect.Signature(parameters), names, "training" in names, "mask" in names)


def first_argument(spec: CallSpec, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
    """Returns the value of the first parameter of a call, or None."""
    if args:
        return args[0]
    return kwargs.get(spec.names[0]) if spec.names else None


def name_training(
    spec: CallSpec, args: tuple[object, ...], kwargs: dict[str, object]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Returns the arguments with a `training` by position (and what follows it) as keywords."""
    if not spec.takes_training or (at := spec.names.index("training")) >= len(args):
        return args, kwargs
    if spec.signature.parameters["training"].kind is inspect.Parameter.KEYWORD_ONLY:
        return args, kwargs  # call(self, *inputs, training=None)
    return args[:at], dict(zip(spec.names[at:], args[at:])) | kwargs


def resolve_training(
    spec: CallSpec, kwargs: dict[str, object], context: Context
) -> tuple[bool | None, dict[str, Any]]:
    """Returns the mode of this call, and its keyword arguments with `training` filled in.

    An explicit value wins, then the mode of the run or of the layer outside, then a default in the
    signature. Where nobody said anything the mode stays None, and `training` is False.
    """
    mode: Any = kwargs.get("training")
    if mode is None:
        mode = context.training
    if mode is None and spec.takes_training:
        default = spec.signature.parameters["training"].default
        mode = default if isinstance(default, bool) else None
    rest = {name: value for name, value in kwargs.items() if name != "training"}
    return mode, ({**rest, "training": bool(mode)} if spec.takes_training else rest)


def fill_masks(
    spec: CallSpec, args: tuple[object, ...], kwargs: dict[str, object], context: Context
) -> dict[str, Any]:
    """Returns the keyword arguments with the masks that come with the tensors filled in.

    The first argument's mask goes to `mask` (or `<name>_mask`), another argument's to
    `<name>_mask`, where the signature has that name and the caller gave no value.
    """
    filled = dict(kwargs)
    given = dict(zip(spec.names, args)) | kwargs
    for position, name in enumerate(spec.names):
        if name not in given or name in ("training", "mask") or name.endswith("_mask"):
            continue
        targets = ("mask", f"{name}_mask") if position == 0 else (f"{name}_mask",)
        for target in targets:
            if target in spec.names and given.get(target) is None:
                mask = mask_tree(given[name], context)
                if mask is not None:
                    filled[target] = mask
    return filled


def mask_tree(tensors: Tree, context: Context) -> Any:
    """Returns the masks in the structure of the tensors, or None if there is none at all."""
    masks = map_structure(context.mask_of, tensors)
    return masks if any(mask is not None for mask in leaves(masks)) else None
