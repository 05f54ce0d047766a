"""Rules of layers over sequences: recurrence and attention."""

from __future__ import annotations

import math
from typing import Any

from kgraph.compiler.costs.products import product
from kgraph.compiler.costs.work import Rule, Specs, Work, elements, item_bytes, sizes
from kgraph.layers import (
    GRU,
    LSTM,
    Attention,
    GroupQueryAttention,
    MultiHeadAttention,
    SimpleRNN,
)

_GATES: dict[type, tuple[int, int, int, int]] = {
    SimpleRNN: (1, 3, 8, 3),
    GRU: (3, 23, 36, 9),
    LSTM: (4, 26, 40, 12),
}
"""Products with each kernel; FLOPs forward and backward, and scalars kept, for a unit and step."""
_SOFTMAX = (7, 10)
"""FLOPs for each score, its scaling and masking included, forward and backward."""


def recurrence(layer: Any, inputs: Specs, outputs: Specs) -> Work:
    """At each step a product with the features and one with the state, then the gates.

    The gradient runs back through the states whatever it is wanted for.
    """
    kind = next(cls for cls in type(layer).__mro__ if cls in _GATES)
    gates, forward, backward, kept = _GATES[kind]
    batch, steps, features = sizes(inputs[0])[:3]
    rows, units = batch * steps, layer.units
    on_states = 2 * rows * units * gates * units
    return product(rows * features * gates * units) + Work(
        on_states + forward * rows * units,
        through=on_states + backward * rows * units,
        to_weights=on_states + gates * rows * units,
        keeps=kept * rows * units * item_bytes(outputs[0]),
    )


def multi_head_attention(layer: Any, inputs: Specs, outputs: Specs) -> Work | None:
    """Projections of query, key and value; scores and their mix; the projection of the result."""
    if len(inputs) not in (2, 3):  # a mask or query alone among the tensors
        return None
    query, value, key = inputs[0], inputs[1], inputs[-1] if len(inputs) == 3 else inputs[1]
    heads, shared = layer.num_heads, layer.key_value_heads
    rows, read = (elements(spec) // sizes(spec)[-1] for spec in (query, value))
    pairs = rows * math.prod(sizes(value)[axis] for axis in layer.axes) * heads
    asked = heads * layer.key_dim * (1 + layer.use_gate * layer.value_dim / layer.key_dim)
    into = product(
        int(rows * sizes(query)[-1] * asked)
        + read * shared * (sizes(key)[-1] * layer.key_dim + sizes(value)[-1] * layer.value_dim)
    )
    last = 2 * elements(outputs[0]) * heads * layer.value_dim
    mixed = 2 * pairs * (layer.key_dim + layer.value_dim)
    made = rows * heads * (layer.key_dim + layer.value_dim)
    made += read * shared * (layer.key_dim + layer.value_dim)
    return into + Work(
        last + mixed + _SOFTMAX[0] * pairs,
        through=last + 2 * mixed + _SOFTMAX[1] * pairs,
        to_weights=last,
        keeps=(made + 2 * pairs) * item_bytes(outputs[0]),
    )


def attention(layer: Any, inputs: Specs, outputs: Specs) -> Work | None:
    """Products of queries with keys, and of their weights with values."""
    if type(layer) is not Attention or layer.score_mode != "dot" or len(inputs) not in (2, 3):
        return None
    query, value = sizes(inputs[0]), sizes(inputs[1])
    pairs = math.prod(query[:-1]) * value[-2]
    mixed = 2 * pairs * (query[-1] + value[-1])
    return Work(
        mixed + _SOFTMAX[0] * pairs,
        through=2 * mixed + _SOFTMAX[1] * pairs,
        keeps=3 * pairs * item_bytes(outputs[0]),
        needs_inputs="always",
    )


RULES: dict[type, Rule] = {
    **dict.fromkeys((SimpleRNN, GRU, LSTM), recurrence),
    **dict.fromkeys((MultiHeadAttention, GroupQueryAttention), multi_head_attention),
    Attention: attention,
}
"""The rule of each class."""
