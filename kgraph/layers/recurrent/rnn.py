"""RNN: runs a cell over time."""

from __future__ import annotations

import itertools
from typing import Any, Unpack

import jax
import jax.numpy as jnp

from kgraph.errors import ConfigError, GraphError
from kgraph.graph.node import TensorSpec
from kgraph.graph.structure import leaves, map_structure
from kgraph.layers.base import InputSpec, Layer, Variable
from kgraph.layers.base.core import label_of
from kgraph.layers.base.mask_check import check_mask
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.recurrent.recurrence import initial_states, layers_inside, recurrence
from kgraph.layers.recurrent.scan import run
from kgraph.layers.recurrent.stacked import StackedRNNCells
from kgraph.types import Array, Shape, Tree


class RNN(Layer):
    """Runs a cell over the time axis of its input, in one loop.

    A cell is a layer that is called as `cell(inputs, states)`, returns `(output, new_states)` and
    has a `state_size`: a whole number, or a (nested) list of them. It may have
    `get_initial_state(batch_size)`; otherwise the states start as zeros `[batch, size]`.

    Shapes: `[batch, time, *features]` in; the cell's output `[batch, *out]` of the last step out,
    or `[batch, time, *out]` with `return_sequences`; then the states, with `return_state`.
    Mask: `[batch, time]`. A masked step leaves the states and repeats the output before it.

    Args:
        cell: the cell, or a list of cells to be stacked.
        return_sequences: whether to return the outputs of all steps.
        return_state: whether to return the last states as well.
        go_backwards: whether to begin at the last step; outputs come in the order of computation.
        stateful: whether the states are kept from call to call (sample i continues sample i of the
            batch before). Needs a known batch size; `reset_state()` begins again.
        unroll: whether to write the loop out, which needs a known number of steps and compiles
            longer.
        zero_output_for_mask: whether the output of a masked step is 0.

    Call arguments: `initial_state` (a list of arrays or symbols), `mask`, `training`, and
    `constants`, which are passed on to the cell.

    Raises:
        ConfigError: the cell is not a layer with a `state_size`.
        GraphError: the input lacks a time axis, or a size that has to be known.

    >>> from kgraph.layers import Input
    >>> from kgraph.layers import LSTMCell
    >>> RNN(LSTMCell(4), return_sequences=True)(Input((10, 3))).shape
    (None, 10, 4)
    """

    supports_masking = True
    input_spec = InputSpec(min_ndim=3)
    states: Any = None

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        if isinstance(cell, (list, tuple)):
            cell = StackedRNNCells(cell, dtype=self.dtype_policy)
        self.cell: Any = cell
        if not isinstance(self.cell, Layer) or not hasattr(self.cell, "state_size"):
            raise ConfigError(
                "RNN needs a cell",
                expected="a Layer called as cell(inputs, states), with a state_size",
                received=repr(cell),
            )
        self.return_sequences, self.return_state = return_sequences, return_state
        self.go_backwards, self.stateful, self.unroll = go_backwards, stateful, unroll
        self.zero_output_for_mask = zero_output_for_mask

    def _kgraph_check_call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        shape = getattr((*args, kwargs.get("sequences"))[0], "shape", None)
        if shape is None or len(shape) < 3:
            return  # `input_spec` says what is wrong
        if self.unroll and not isinstance(shape[1], int):
            raise GraphError(
                f"{label_of(self)} can be unrolled only if the number of steps is known",
                received="an unknown size on axis 1",
                hint="leave unroll=False, or give the size in Input",
            )
        if self.stateful and not isinstance(shape[0], int):
            raise GraphError(
                f"{label_of(self)} keeps its states between calls, so it needs a known batch size",
                received="an unknown size on axis 0",
                hint="Input(batch_shape=(16, 10, 5))",
            )

    def build(self, input_shape: Shape) -> None:
        step_shape = (input_shape[0], *input_shape[2:])
        if not self.cell.built:
            self.cell.build(step_shape)
            self.cell.built = True
        if any(not layer.built for layer in layers_inside(self.cell)):
            self._build_by_calling(step_shape)
        if self.stateful and isinstance(input_shape[0], int):
            self.states = self._declare_states(input_shape[0])

    def _build_by_calling(self, step_shape: Shape) -> None:
        """Builds the layers inside a cell whose `build` leaves that to their first call."""
        shape = tuple(2 if i == 0 else size or f"d{i}" for i, size in enumerate(step_shape))
        dtype = self.cell.compute_dtype
        specs = map_structure(lambda s: TensorSpec(s.shape, str(s.dtype)), self._state_shapes(2))
        self.cell.compute_output_spec(TensorSpec(shape, dtype), specs)

    def _state_shapes(self, batch: int) -> Any:
        return jax.eval_shape(lambda: self.get_initial_state(batch))

    def _declare_states(self, batch: int) -> Any:
        """Declares the kept states; they begin as the cell says."""
        numbers = itertools.count()

        def declare(state: Any) -> Any:
            number = next(numbers)

            def start(shape: Shape, dtype: str) -> Array:
                return list(leaves(self.get_initial_state(batch)))[number].astype(dtype)

            return self.add_weight(state.shape, start, trainable=False, name="state")

        return map_structure(declare, self._state_shapes(batch))

    def get_initial_state(self, batch_size: int | Array) -> list[Any]:
        """Returns the states before the first step, for so many samples."""
        return initial_states(self.cell, batch_size)

    def reset_state(self) -> None:
        """Sets the kept states of a stateful layer to those before the first step."""
        for weight in leaves(self.states):
            if isinstance(weight, Variable):
                weight.assign(weight.initializer(weight.shape, weight.dtype))

    reset_states = reset_state

    def call(
        self,
        sequences: Array,
        initial_state: Tree = None,
        mask: Array | None = None,
        training: bool | None = None,
        constants: Tree = None,
    ) -> Any:
        if initial_state is None:
            initial_state = self.states
        check_mask(self, mask, sequences.shape[:2])
        inputs = jnp.swapaxes(sequences.astype(self.cell.compute_dtype), 0, 1)
        if mask is not None:
            mask = jnp.swapaxes(mask, 0, 1).astype(bool)
        outputs, states = self.run_steps(inputs, initial_state, mask, training, constants)
        if self.stateful:
            self.states = states
        if self.return_sequences:
            outputs = jnp.swapaxes(outputs, 0, 1)
        result = (outputs, *states) if self.return_state else outputs
        return map_structure(lambda y: y.astype(self.compute_dtype), result)

    def run_steps(
        self,
        inputs: Array,
        initial_state: Tree,
        mask: Array | None,
        training: bool | None,
        constants: Tree,
    ) -> tuple[Array, list[Any]]:
        """Returns the outputs and the states after the last step.

        Shapes: inputs `[time, batch, *features]`, mask `[time, batch]`, outputs
        `[time, batch, *out]` in the order of computation, or `[batch, *out]`.
        """
        return run(
            recurrence(self.cell, inputs, initial_state, training, constants),
            mask,
            collect=self.return_sequences,
            zero_output_for_mask=self.zero_output_for_mask,
            go_backwards=self.go_backwards,
            unroll=self.unroll,
        )

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        mask = next(leaves(previous_mask))
        kept = mask if self.return_sequences else None
        return [kept] if self.return_state else kept
