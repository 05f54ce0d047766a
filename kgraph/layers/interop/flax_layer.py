"""FlaxLayer: a module of flax, linen or nnx, as a layer."""

from __future__ import annotations

from typing import Any, Unpack

from kgraph.errors import ConfigError
from kgraph.interrupts import held
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.interop.jax_layer import JaxLayer
from kgraph.layers.interop.linen import linen_functions
from kgraph.layers.interop.nnx import nnx_functions
from kgraph.types import Function, Tree


class FlaxLayer(JaxLayer):
    """Wraps a flax module: its parameters are the layer's weights, other variables its state.

    A module whose method takes `training`, `train`, `deterministic` or `use_running_average` is
    told the mode by it. Random streams get keys in training only.

    A linen module is initialised when the layer is built; an nnx module starts with the values that
    it has when it is passed, and is itself never changed.

    Dtype: the module decides in what it computes; the layer casts nothing.

    Args:
        module: a `flax.linen.Module` or a `flax.nnx.Module`.
        method: what is called in the place of `__call__`: the name of a method, or a function of
            the module and the inputs.
        variables: initial variables of a linen module, as its `init` returns them.

    Raises:
        ConfigError: the module is neither, or `variables` is given for an nnx module.

    >>> import flax.linen as nn
    >>> import numpy as np
    >>> FlaxLayer(nn.Dense(3))(np.ones((2, 4), "float32")).shape
    (2, 3)
    """

    def __init__(
        self,
        module: Any,
        method: str | Function | None = None,
        variables: Tree = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        with held():
            from flax import linen, nnx

        self.module, self.method = module, method
        if isinstance(module, linen.Module):
            made = linen_functions(module, method, variables)
        elif isinstance(module, nnx.Module) and variables is None:
            made = nnx_functions(module, method)
        else:
            raise ConfigError(
                "FlaxLayer wraps a flax module",
                expected="a linen Module, or an nnx Module without variables",
                received=type(module).__name__,
            )
        super().__init__(made.call_fn, made.init_fn, made.params, made.state, **options)
        self.needs_rng = made.needs_rng

    def pick_inputs(self, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        return args

    def build(self, input_shape: Any) -> None:
        if self.example is None and input_shape is not None:
            input_shape = (input_shape,)
        super().build(input_shape)
        self.draws = self.needs_rng(self)

    def call(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, *inputs: Any, training: bool | None = None
    ) -> Any:
        return self.compute(inputs, bool(training))
