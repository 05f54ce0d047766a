"""Bidirectional: the same recurrence from both ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

import jax
import jax.numpy as jnp

from kgraph.errors import ConfigError, StateError, check_choice
from kgraph.graph.structure import leaves, map_structure
from kgraph.layers.base import Layer
from kgraph.layers.base.core import label_of
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.recurrent.recreate import recreate
from kgraph.types import Array, Shape

if TYPE_CHECKING:
    from kgraph.layers import RNN


_COMMON = ("stateful", "return_sequences", "return_state")


class Bidirectional(Layer):
    """Runs a recurrent layer forwards and a second one backwards, and merges their outputs.

    Shapes: as the layer, with twice the features under `"concat"`. With `return_state` the states
    of the forward layer come first.
    Mask: goes to both; the outputs of masked steps are 0 with `return_sequences`.

    Args:
        layer: an RNN layer. Both directions are made anew from its options, and named
            `forward_<name>` and `backward_<name>`.
        merge_mode: "concat", "sum", "ave", "mul", or None for both outputs as they are.
        weights: the first values of all weights, those of the forward layer first.
        backward_layer: the layer for the other direction, by default made from `layer`.

    Raises:
        ConfigError: an unknown merge mode, or layers that do not fit each other.

    >>> from kgraph.layers import Input
    >>> from kgraph.layers import LSTM
    >>> Bidirectional(LSTM(4))(Input((10, 3))).shape
    (None, 8)
    """

    supports_masking = True

    def __init__(
        self,
        layer: RNN,
        merge_mode: str | None = "concat",
        weights: Sequence[Any] | None = None,
        backward_layer: Any = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        check_choice(
            "Bidirectional", "merge_mode", merge_mode, ("concat", "sum", "ave", "mul", None)
        )
        super().__init__(**options)
        for given in (layer, backward_layer or layer):
            _check_layer(given)
        name = layer.name
        self.forward_layer = recreate(layer, name=f"forward_{name.removeprefix('forward_')}")
        if backward_layer is None:
            name = f"backward_{name.removeprefix('backward_')}"
            backward_layer = recreate(layer, name=name, go_backwards=not layer.go_backwards)
        self.backward_layer = backward_layer
        _check_pair(self.forward_layer, self.backward_layer)
        for one in (self.forward_layer, self.backward_layer):
            if hasattr(one, "zero_output_for_mask"):
                one.zero_output_for_mask = one.return_sequences
        self.merge_mode, self.initial_weights = merge_mode, weights
        self.stateful, self.return_state = layer.stateful, layer.return_state
        self.return_sequences = layer.return_sequences
        self.input_spec = layer.input_spec

    def _kgraph_check_call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        self.forward_layer._kgraph_check_call(args, kwargs)

    def build(self, input_shape: Shape) -> None:
        for layer in (self.forward_layer, self.backward_layer):
            if not layer.built:
                layer.build(input_shape)
        if self.initial_weights is not None:
            with jax.ensure_compile_time_eval():
                self.set_weights(list(self.initial_weights))

    @property
    def states(self) -> list[Any] | None:
        """The kept states of a stateful layer, those of the forward layer first."""
        return [*self.forward_layer.states, *self.backward_layer.states] if self.stateful else None

    def reset_state(self) -> None:
        """Sets the kept states to zero."""
        if not self.stateful:
            raise StateError(f"{label_of(self)} keeps no states", hint="stateful=True")
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    reset_states = reset_state

    def call(
        self,
        sequences: Array,
        initial_state: Sequence[Any] | None = None,
        mask: Array | None = None,
        training: bool | None = None,
    ) -> Any:
        half = None if initial_state is None else len(initial_state) // 2
        first = None if initial_state is None else initial_state[:half]
        second = None if initial_state is None else initial_state[half:]
        ahead = self.forward_layer(sequences, initial_state=first, mask=mask, training=training)
        back = self.backward_layer(sequences, initial_state=second, mask=mask, training=training)
        ahead, back = map_structure(lambda y: y.astype(self.compute_dtype), (ahead, back))
        states: tuple[Any, ...] = ()
        if self.return_state:
            states = (*ahead[1:], *back[1:])
            ahead, back = ahead[0], back[0]
        if self.return_sequences:
            back = jnp.flip(back, axis=1)
        merged = _merge(self.merge_mode, ahead, back)
        if self.merge_mode is None:
            return (*merged, *states)
        return (merged, *states) if self.return_state else merged

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        mask = next(leaves(previous_mask))
        kept = mask if self.return_sequences else None
        if self.merge_mode is None:
            return [kept, kept]
        return [kept] if self.return_state else kept


def _merge(mode: str | None, ahead: Array, back: Array) -> Any:
    if mode == "concat":
        return jnp.concatenate([ahead, back], axis=-1)
    if mode == "sum":
        return ahead + back
    if mode == "ave":
        return (ahead + back) / 2
    return ahead * back if mode == "mul" else (ahead, back)


def _check_layer(layer: Layer) -> None:
    if not isinstance(layer, Layer) or not all(hasattr(layer, name) for name in _COMMON):
        raise ConfigError(
            "Bidirectional wraps a recurrent layer",
            expected=f"an RNN layer, or a Layer with go_backwards, {', '.join(_COMMON)}",
            received=repr(layer),
        )


def _check_pair(ahead: Any, back: Any) -> None:
    if ahead.go_backwards == back.go_backwards:
        raise ConfigError(
            "Bidirectional needs layers that run in opposite directions",
            received=f"go_backwards={ahead.go_backwards} in both",
        )
    for name in _COMMON:
        if getattr(ahead, name) != getattr(back, name):
            raise ConfigError(
                f"Bidirectional needs layers with the same {name}",
                received=f"{getattr(ahead, name)} forwards, {getattr(back, name)} backwards",
            )
