"""Dense decoders as MaxText's published table has them, to compare forecasts with measurements."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

import kgraph as keras
from kgraph import layers as L

LENGTH, WORDS = 2048, 32000


def decoder(width: int, blocks: int, heads: int, size: int, hidden: int) -> Any:
    """Returns a decoder: pre-norm, gated feed-forward, no biases; rotary positions are left out."""
    dense = partial(L.Dense, use_bias=False)
    inputs = keras.Input((LENGTH,), dtype="int32")
    x = L.Embedding(WORDS, width, name="words")(inputs)
    for n in range(blocks):
        h = L.RMSNormalization(name=f"norm_a_{n}")(x)
        attention = L.MultiHeadAttention(heads, size, use_bias=False, name=f"attention_{n}")
        h = attention(h, h, use_causal_mask=True)
        x = L.Add(name=f"add_a_{n}")([x, h])
        h = L.RMSNormalization(name=f"norm_m_{n}")(x)
        gate = dense(hidden, activation="silu", name=f"gate_{n}")(h)
        h = L.Multiply(name=f"gated_{n}")([gate, dense(hidden, name=f"up_{n}")(h)])
        x = L.Add(name=f"add_m_{n}")([x, dense(width, name=f"down_{n}")(h)])
    x = L.RMSNormalization(name="norm")(x)
    return keras.Model(inputs, dense(WORDS, name="logits")(x))


def parameters(model: Any) -> int:
    """Returns the number of parameters."""
    return sum(int(np.prod(weight.shape)) for weight in model.weights)


def compiled(model: Any) -> Any:
    """Returns the model, compiled for the next word; every block is recomputed."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(3e-4), loss, stack=True, remat="blocks")
    return model


MEASURED = {
    "16B": ((4096, 32, 64, 128, 28672), "v5e:16x16", 6, 120e12),
    "32B": ((8192, 32, 64, 128, 28672), "v5e:16x16", 4, 132e12),
    "64B": ((8192, 64, 64, 128, 28672), "v5e:16x16", 2, 118e12),
}
"""Sizes, slice, rows for each chip, and FLOP/s for each chip as MaxText's table gives them."""


def main(names: Sequence[str]) -> None:
    """Prints the forecast of models that somebody has measured, beside the measurement."""
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    for name in names or MEASURED:
        sizes, topology, rows, measured = MEASURED[name]
        chips = len(keras.distribution.list_devices(topology))
        model = compiled(decoder(*sizes))
        found = model.forecast(topology, rows * chips, distribution=keras.distribution.FSDP())
        print(found, flush=True)
        if found.step_seconds:
            rate = found.options.model_flops / chips / found.step_seconds
            print(
                f"{name}: at most {rate / 1e12:.0f}, measured {measured / 1e12:.0f} TFLOP/s a chip",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
