"""Lambda: a function as a layer."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Unpack

from kgraph.errors import ConfigError
from kgraph.graph.traits import Traits
from kgraph.layers.base import Layer
from kgraph.layers.base.options import LayerOptions
from kgraph.types import Function, Tree


# Nobody knows what the function does, and its name may be registered anew for another.
class Lambda(Layer, traits=Traits(rows_independent=False, same_shapes=False)):
    """Applies a function of the user's.

    A function that others cannot find by its name (a lambda, one inside another function) works
    too, but a model with it cannot be saved: nothing else could be read back without running code
    from the file. Register functions with `kgraph.saving.register_keras_serializable`.

    Shapes: whatever the function gives.

    Args:
        function: of the inputs; gets `mask` and `training` if it has parameters of these names.
        output_shape: accepted as in Keras; the shape comes from the function itself.
        mask: the output's mask, or a function of inputs and their mask that returns it.
        arguments: further keyword arguments of the function.

    Raises:
        ConfigError: it is no function.

    >>> import jax.numpy as jnp
    >>> Lambda(jnp.square)(jnp.array([3.0])).tolist()
    [9.0]
    """

    def __init__(
        self,
        function: Function,
        output_shape: Any = None,
        mask: Any = None,
        arguments: Mapping[str, object] | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        _check_function(function, "function")
        if callable(mask):
            _check_function(mask, "mask")
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


def _check_function(function: Any, option: str) -> None:
    if not callable(function):
        raise ConfigError(f"Lambda needs a function as `{option}`", received=f"{function!r}")


def _parameters(function: Function) -> frozenset[str]:
    try:
        return frozenset(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # some built-in functions have no signature
        return frozenset()
