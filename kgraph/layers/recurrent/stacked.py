"""StackedRNNCells: several cells as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from kgraph.errors import ConfigError
from kgraph.layers.base import Layer
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.recurrent.recurrence import initial_states
from kgraph.types import Array, Shape, Tree


class StackedRNNCells(Layer):
    """Feeds the output of each cell to the next, within one step.

    Shapes: inputs `[batch, features]`, states a list with the states of each cell in a list.

    Args:
        cells: the cells, the first to see the input first.

    Raises:
        ConfigError: one of them is not a layer with a `state_size`.

    >>> from kgraph.layers import Input
    >>> from kgraph.layers import RNN, GRUCell
    >>> RNN(StackedRNNCells([GRUCell(8), GRUCell(4)]))(Input((10, 3))).shape
    (None, 4)
    """

    def __init__(self, cells: Sequence[object], **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        for cell in cells:
            if not isinstance(cell, Layer) or not hasattr(cell, "state_size"):
                raise ConfigError(
                    "StackedRNNCells needs cells",
                    expected="Layers called as cell(inputs, states), with a state_size",
                    received=repr(cell),
                )
        self.cells: list[Any] = list(cells)

    @property
    def state_size(self) -> list[Any]:
        """The state size of each cell."""
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self) -> int:
        """The width of the last cell's output."""
        return _output_size(self.cells[-1])

    def build(self, input_shape: Shape) -> None:
        for cell in self.cells:
            if not cell.built:
                cell.build(input_shape)
                cell.built = True
            input_shape = (input_shape[0], _output_size(cell))

    def get_initial_state(self, batch_size: int | Array | None = None) -> list[Any]:
        """Returns the states of each cell before the first step."""
        return [initial_states(cell, batch_size) for cell in self.cells]

    def call(
        self,
        inputs: Array,
        states: Sequence[Tree],
        training: bool | None = None,
        constants: Tree = None,
    ) -> tuple[Array, list[Any]]:
        options = {} if constants is None else {"constants": constants}
        after = []
        for cell, before in zip(self.cells, states):
            inputs, new = cell(inputs, before, training=training, **options)
            after.append(new)
        return inputs, after


def _output_size(cell: Any) -> Any:
    size = getattr(cell, "output_size", None)
    if size is None:
        size = cell.state_size
    return size[0] if isinstance(size, (list, tuple)) else size
