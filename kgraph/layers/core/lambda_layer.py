"""Lambda: a named function as a layer."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Unpack

from kgraph.errors import ConfigError
from kgraph.graph.traits import Traits
from kgraph.layers.base import Layer
from kgraph.layers.base.options import LayerOptions
from kgraph.registry import Opaque, describe
from kgraph.types import Function, Tree


# Nobody knows what the function does, and its name may be registered anew for another.
class Lambda(Layer, traits=Traits(rows_independent=False, same_shapes=False)):
    """Applies a function of the user's.

    Only a function that others can find by its name is taken, since nothing else can be written
    into a file and read back without running code from it.

    Shapes: whatever the function gives.

    Args:
        function: of the inputs; gets `mask` and `training` if it has parameters of these names.
        output_shape: accepted as in Keras; the shape comes from the function itself.
        mask: the output's mask, or a function of inputs and their mask that returns it.
        arguments: further keyword arguments of the function.

    Raises:
        ConfigError: the function is a lambda, or defined inside another function.

    >>> import jax.numpy as jnp
    >>> Lambda(jnp.square)(jnp.array([3.0])).tolist()
    [9.0]
    """

    def __init__(
        self,
        function: Function,
        output_shape: Any = None,
        mask: Any = None,
        arguments: Mapping[str, Any] | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        _check_findable(function, "function")
        if callable(mask):
            _check_findable(mask, "mask")
        self.function, self.mask = function, mask
        self.arguments = dict(arguments or {})
        self._known = _parameters(function)

    @property
    def _kgraph_makes_mask(self) -> bool:
        return self.mask is not None

    def call(self, inputs: Tree, mask: Tree = None, training: bool | None = None) -> Any:
        options = {"mask": mask, "training": training}
        given = {name: value for name, value in options.items() if name in self._known}
        return self.function(inputs, **{**self.arguments, **given})

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return self.mask(inputs, previous_mask) if callable(self.mask) else self.mask


def _check_findable(function: Any, option: str) -> None:
    """Raises ConfigError for a function that has no name to be found by."""
    if not callable(function):
        raise ConfigError(f"Lambda needs a function as `{option}`", received=f"{function!r}")
    if not isinstance(describe(function), Opaque):
        return
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", "")
    if name and "<" not in name:
        return
    raise ConfigError(
        f"Lambda cannot take a function that nobody else can find by name, as `{option}`",
        expected="a function defined at the top of a module",
        received=name or repr(function),
        hint=[
            "write it with kgraph.ops (kgraph.ops.tanh(x), x[:, 0], x * 2, ...),",
            "or as the call of a Layer subclass,",
            "or decorate it with @kgraph.saving.register_keras_serializable()",
        ],
    )


def _parameters(function: Function) -> frozenset[str]:
    try:
        return frozenset(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # some built-in functions have no signature
        return frozenset()
