"""Operation: one function of `kgraph.ops` as a layer, what the graph holds for `ops.tanh(x)`."""

from __future__ import annotations

import math
from typing import Any

from kgraph.errors import ConfigError, GraphError
from kgraph.graph.structure import leaves
from kgraph.graph.traits import Convolution, Traits
from kgraph.layers.base import Layer
from kgraph.layers.base.core import label_of
from kgraph.ops.limits import MOST_ENTRIES, MOST_GROWTH, MOST_WRITTEN_OUT, written_out
from kgraph.ops.names import ELEMENTWISE, NEVER_NODES, TAKES_FUNCTIONS
from kgraph.ops.plain import function as plain_function
from kgraph.types import Config, Tree

_CONVOLUTIONS = frozenset({"convolve", "correlate", "conv_general_dilated", "conv"})


def _traits(operation: Operation) -> Traits:
    function = operation.function
    return Traits(
        rows_independent=function in ELEMENTWISE,
        convolution=Convolution() if function in _CONVOLUTIONS else None,
        same_shapes=function not in TAKES_FUNCTIONS,  # they may be other functions next time
    )


class Operation(Layer, traits=_traits):
    """One function of `kgraph.ops` as a layer: what the graph holds for `ops.tanh(x)`.

    Args:
        function: its name in `kgraph.ops`.

    Raises:
        GraphError: the call would be written out as too many operations, or its result be far
            larger than its inputs.
    """

    autocast = False

    def __init__(self, function: str, **options: Any) -> None:
        super().__init__(autocast=False, **options)
        self.function = function
        self.supports_masking = function in ELEMENTWISE
        self.built = True

    @classmethod
    def from_config(cls, config: Config) -> Any:
        name = config.get("function")
        if name in TAKES_FUNCTIONS or name in NEVER_NODES:
            raise ConfigError(
                f"kgraph.ops.{name} cannot be read from a file or cloned",
                expected="functions of tensors and plain options",
                hint="a function of Python is part of it: put it into the call of a Layer subclass",
            )
        return super().from_config(config)

    @property
    def _kgraph_base_name(self) -> str:
        return self.function

    def _kgraph_check_call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        count = written_out(self.function, args, kwargs)
        if count > MOST_WRITTEN_OUT:
            raise GraphError(
                f"{label_of(self)} would be written out as too many operations",
                expected=f"at most {MOST_WRITTEN_OUT}",
                received=count,
            )

    def call(self, *args: Any, **kwargs: Any) -> Any:
        if self.function != "getitem":  # where a list and a tuple mean different things
            args, kwargs = _options_as_tuples(args), _options_as_tuples(kwargs)
        outputs = plain_function(self.function)(*args, **kwargs)
        if self._kgraph.context is not None and self._kgraph.context.describing:
            self._check_growth([args, kwargs], outputs)
        return outputs

    def _check_growth(self, inputs: Tree, outputs: Tree) -> None:
        """Refuses what a small file could ask for: `linspace(x, y, 10**9)`, a wide padding."""
        most = max(MOST_ENTRIES, MOST_GROWTH * _largest(inputs))
        if _largest(outputs) > most:
            raise GraphError(
                f"{label_of(self)} would make an array that is far larger than its inputs",
                expected=f"at most {most} entries, not counting axes of unknown size",
                received=_largest(outputs),
            )


def _largest(tree: Tree) -> int:
    """Returns how many entries the largest array has, unknown sizes counted as 1."""
    shapes = [getattr(item, "shape", ()) for item in leaves(tree)]
    return max((math.prod(n for n in shape if isinstance(n, int)) for shape in shapes), default=0)


def _options_as_tuples(tree: Tree) -> Any:
    """Returns arguments with lists of plain values as tuples: JAX wants those, files give lists."""
    if isinstance(tree, dict):
        return {key: _options_as_tuples(item) for key, item in tree.items()}
    if not isinstance(tree, (list, tuple)):
        return tree
    items = [_options_as_tuples(item) for item in tree]
    if isinstance(tree, list) and any(hasattr(item, "shape") for item in leaves(items)):
        return items
    return type(tree)(*items) if hasattr(tree, "_fields") else tuple(items)
