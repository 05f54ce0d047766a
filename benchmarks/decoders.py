"""Dense decoders as MaxText's published table has them, to compare forecasts with measurements."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import AbstractMesh, AxisType, PartitionSpec

import kgraph as keras
from kgraph import layers as L

LENGTH, WORDS = 2048, 32000


def splash(query: Any, key: Any, value: Any) -> Any:
    """Causal attention by JAX's kernel for TPUs, of `[rows, length, heads, size]`."""
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernels
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks

    length, heads, size = query.shape[1:]
    fields = [
        "block_q",
        "block_kv",
        "block_kv_compute",
        "block_q_dkv",
        "block_kv_dkv",
        "block_kv_dkv_compute",
        "block_q_dq",
        "block_kv_dq",
    ]
    sized: Any = dict.fromkeys(fields, 512)
    sizes = kernels.BlockSizes(**sized)
    mask = masks.MultiHeadMask([masks.CausalMask((length, length))] * heads)
    call: Any = kernels.make_splash_mha(mask, head_shards=1, q_seq_shards=1, block_sizes=sizes)
    q, k, v = (x.swapaxes(1, 2) for x in (query * size**-0.5, key, value))
    return jax.vmap(call)(q, k, v).swapaxes(1, 2)


class FlashAttention(L.Layer):
    """Splash attention on the rows that each chip has.

    Args:
        chips: along the one axis of the mesh, "fsdp".
    """

    def __init__(self, chips: int, **options: Any) -> None:
        super().__init__(**options)
        self.chips = chips

    def call(self, query: Any, key: Any, value: Any) -> Any:
        mesh = AbstractMesh((self.chips,), ("fsdp",), axis_types=(AxisType.Auto,))
        rows = PartitionSpec("fsdp")
        return jax.shard_map(
            splash, mesh=mesh, in_specs=(rows,) * 3, out_specs=rows, check_vma=False
        )(query, key, value)

    def compute_output_spec(self, query: Any, key: Any, value: Any) -> Any:
        return query

    def count_flops(self, inputs: Any, outputs: Any) -> int:
        rows, length, heads, size = inputs[0].dims
        return 2 * 2 * rows * heads * length * length * size


def decoder(
    width: int,
    blocks: int,
    heads: int,
    size: int,
    hidden: int,
    flash: int = 0,
    rows: int | None = None,
) -> Any:
    """Returns a decoder: pre-norm, gated feed-forward, no biases; rotary positions are left out.

    Args:
        width, blocks, heads, size, hidden: sizes of the model.
        flash: chips, for the kernel; 0 for attention in plain JAX.
        rows: of the batch; the kernel needs to know them.
    """
    dense = partial(L.Dense, use_bias=False)
    inputs = keras.Input((LENGTH,), dtype="int32", batch_size=rows)
    x = L.Embedding(WORDS, width, name="words")(inputs)
    for n in range(blocks):
        h = L.RMSNormalization(name=f"norm_a_{n}")(x)
        if flash:
            q, k, v = (
                L.EinsumDense("btd,dhe->bthe", (None, heads, size), name=f"{part}_{n}")(h)
                for part in ("query", "key", "value")
            )
            h = FlashAttention(flash, name=f"attention_{n}")(q, k, v)
            h = L.EinsumDense("bthe,hed->btd", (None, width), name=f"project_{n}")(h)
        else:
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
        model = compiled(decoder(*sizes, flash=chips, rows=rows * chips))
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
