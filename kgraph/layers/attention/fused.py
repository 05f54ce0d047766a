"""Attention that keeps no scores of all positions in memory, and where which form of it is taken.

On a TPU it is JAX's splash kernel, on an NVIDIA GPU cuDNN's. Elsewhere, where the scores would take
a gigabyte or more, queries are taken in chunks, and their scores are computed again for gradients.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from kgraph.layers.attention.heads import band
from kgraph.layers.base.context import running
from kgraph.layers.base.platform import platform
from kgraph.layers.base.remarks import remark
from kgraph.types import Array

Form: TypeAlias = Literal["splash", "cudnn", "chunks", "plain"]

_LANES = 128
_LEAST_SCORES = 1 << 20
_MANY_SCORES, _FEW_SCORES = 1 << 28, 1 << 26
"""Scores of all heads on a device from which on queries are taken in chunks, and of a chunk."""


@dataclass(frozen=True)
class Seen:
    """What each query sees.

    Fields:
        mask: `[batch, heads, target, source]`, with size 1 where it is the same for all; or None.
        causal: whether no later position is seen either.
        keys: if the mask says nothing but which positions of the source count, and `window`: these,
            `[batch, source]`; None for all.
        window: how many positions to either side are seen; None for all.
        is_simple: whether `keys` and `window` say all that `mask` does.
    """

    mask: Array | None = None
    causal: bool = False
    keys: Array | None = None
    window: int | None = None
    is_simple: bool = True


def attention(
    query: Array, key: Array, value: Array, seen: Seen, scale: float, flash: bool | None, name: str
) -> Array:
    """Returns attention over `[batch, time, heads, size]`, in the form that serves best.

    Args:
        query, key, value: heads of key and value divide those of the query.
        seen: what each query sees; one that sees nothing may get anything.
        scale: of the scores.
        flash: whether to take a fused kernel; None where that is sure to pay.
        name: for remarks.
    """
    form, why = choose(query, key, seen, flash)
    if why:
        remark(f"attention of {name!r} is {form}: {why}")
    if form == "splash":
        return _over_devices(query, key, value, seen, scale)
    if form == "chunks":
        return in_chunks(query, key, value, seen, scale, _chunks(query, key))
    if seen.causal and seen.mask is not None:
        band_ = band(query.shape[1], key.shape[1], True, None)
        assert band_ is not None
        seen = Seen(seen.mask & band_[None, None])
    return _plain(query, key, value, seen, scale, "cudnn" if form == "cudnn" else None)


def choose(query: Array, key: Array, seen: Seen, flash: bool | None) -> tuple[Form, str]:
    """Returns the form to take, and why, where that is worth a word."""
    if not all(isinstance(size, int) for size in (*query.shape, *key.shape)):
        return "plain", ""
    where, short = platform(), query.dtype in (jnp.float16, jnp.bfloat16)
    refused = ""
    if flash or (flash is None and short):
        if where == "gpu" and (flash or not (refused := _cudnn_refuses(query, key))):
            return "cudnn", "cuDNN's kernel"
        if where == "tpu" and not (refused := _splash_refuses(query, key, seen, bool(flash))):
            return "splash", "JAX's kernel for TPUs"
    elif flash is None and where in ("gpu", "tpu"):
        refused = f"fused kernels are taken for floats of 16 bits, and this is {query.dtype}"
    if flash is not False and _chunks(query, key) > 1:
        return "chunks", refused or f"{_scores(query, key):,} scores are many"
    return "plain", refused


def _cudnn_refuses(query: Array, key: Array) -> str:
    size = query.shape[-1]
    if size % 8 or size > 128:
        return f"cuDNN takes heads of 8 to 128 numbers, by eights, and not {size}"
    if query.shape[1] % 2 or key.shape[1] % 2:
        return f"cuDNN takes even lengths, and not {query.shape[1]} and {key.shape[1]}"
    # Kinds of devices that are not here are not known; Turing and before cannot.
    kinds = {str(getattr(device, "compute_capability", "")) for device in jax.devices()}
    numbers = [re.fullmatch(r"(\d+)\.\d+", kind) for kind in kinds]  # AMD's are "gfx942"
    if not all(number and int(number[1]) >= 8 for number in numbers):
        return "cuDNN's kernel takes NVIDIA's devices of compute capability 8.0"
    return ""


def _splash_refuses(query: Array, key: Array, seen: Seen, asked: bool) -> str:
    lengths, size = (query.shape[1], key.shape[1]), query.shape[-1]
    if not seen.is_simple:
        return "the kernel takes masks of keys, and none of pairs"
    if any(length % _LANES for length in lengths):
        return f"the kernel takes lengths divided by {_LANES}, and not {lengths}"
    if size not in (64, 128, 256):
        return f"the kernel takes heads of 64, 128 and 256 numbers, and not {size}"
    if (seen.causal or seen.window is not None) and lengths[0] != lengths[1]:
        return f"query and key have other lengths, {lengths}"
    if not asked and lengths[0] * lengths[1] < _LEAST_SCORES:
        return f"{lengths[0]} steps are few"
    context = running()
    alone = jax.default_backend() != "tpu" or jax.device_count() == 1
    if not alone and (context is None or context.mesh is None):
        return "there are several devices, and no distribution says how they are used"
    return ""


# --- forms


def _plain(
    query: Array, key: Array, value: Array, seen: Seen, scale: float, kernel: Any = None
) -> Array:
    dtype = query.dtype
    if dtype == jnp.float16 and platform() == "cpu":  # has no products that sum in float32
        query, key, value = (x.astype(jnp.float32) for x in (query, key, value))
    with jax.numpy_dtype_promotion("standard"):  # its softmax of short floats needs that
        picked = jax.nn.dot_product_attention(
            query, key, value, mask=seen.mask, scale=scale, is_causal=seen.causal,
            implementation=kernel,
        )  # fmt: skip
    return picked.astype(dtype)


def _scores(query: Array, key: Array) -> int:
    """Returns the number of scores on each device."""
    context = running()
    mesh = None if context is None else context.mesh
    return math.prod(query.shape[:3]) * key.shape[1] // (1 if mesh is None else mesh.size)


def _chunks(query: Array, key: Array) -> int:
    """Returns into how many chunks of equal size the queries are cut; 1 leaves them whole."""
    scores, steps = _scores(query, key), query.shape[1]
    if scores < _MANY_SCORES:
        return 1
    wanted = -(-scores // _FEW_SCORES)
    return next((n for n in range(wanted, 4 * wanted) if steps % n == 0), 1)


def in_chunks(
    query: Array, key: Array, value: Array, seen: Seen, scale: float, count: int
) -> Array:
    """Returns what attention picks, of the same numbers, some queries at a time."""
    batch, steps = query.shape[:2]
    size = steps // count
    queries = jnp.moveaxis(query.reshape(batch, count, size, *query.shape[2:]), 1, 0)
    masks = seen.mask
    by_chunk = masks is not None and masks.shape[2] > 1
    if masks is not None and by_chunk:
        masks = jnp.moveaxis(masks.reshape(*masks.shape[:2], count, size, masks.shape[3]), 2, 0)

    @jax.checkpoint
    def chunk(number: Array, query: Array, mask: Array | None) -> Array:
        if seen.causal:
            shape = (1, 1, size, key.shape[1])
            row = jax.lax.broadcasted_iota(jnp.int32, shape, 2) + number * size
            near = row >= jax.lax.broadcasted_iota(jnp.int32, shape, 3)
            mask = near if mask is None else mask & near
        return _plain(query, key, value, Seen(mask), scale)

    def step(_: None, x: Any) -> tuple[None, Array]:
        return None, chunk(*x) if by_chunk else chunk(*x, masks)

    numbers = jnp.arange(count, dtype=jnp.int32)
    xs = (numbers, queries, masks) if by_chunk else (numbers, queries)
    _, picked = jax.lax.scan(step, None, xs)
    return jnp.moveaxis(picked, 0, 1).reshape(query.shape)


def splash(
    query: Array, key: Array, value: Array, seen: Seen, scale: float, interpret: bool = False
) -> Array:
    """Returns what JAX's kernel for TPUs picks, on one device."""
    from jax.experimental.pallas.ops.tpu import splash_attention as kernels

    steps, others = query.shape[1], key.shape[1]
    shape = steps, others
    block = next(n for n in (512, 256, _LANES) if steps % n == others % n == 0)
    rule: Any = kernels.FullMask(shape)
    if seen.window is not None:
        rule = kernels.LocalMask(shape, (seen.window - 1, seen.window - 1), 0)
    if seen.causal:
        causal = kernels.CausalMask(shape)
        rule = causal if seen.window is None else rule & causal
    names = "block_q", "block_kv", "block_kv_compute", "block_q_dkv", "block_kv_dkv"
    names += "block_kv_dkv_compute", "block_q_dq", "block_kv_dq"
    call: Any = kernels.make_splash_mha(
        kernels.MultiHeadMask([rule] * query.shape[2]), head_shards=1, q_seq_shards=1,
        block_sizes=kernels.BlockSizes(**dict.fromkeys(names, block)), interpret=interpret,
    )  # fmt: skip
    query, key, value = (jnp.swapaxes(x, 1, 2) for x in (_scaled(query, scale), key, value))
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        if seen.keys is None:
            return jnp.swapaxes(jax.vmap(call)(query, key, value), 1, 2)
        ones = jnp.ones((query.shape[0], steps), jnp.int32)

        def one(query: Array, key: Array, value: Array, own: Array, other: Array) -> Array:
            return call(query, key, value, segment_ids=kernels.SegmentIds(own, other))

        keys = seen.keys.astype(jnp.int32)
        return jnp.swapaxes(jax.vmap(one)(query, key, value, ones, keys), 1, 2)


def _scaled(query: Array, scale: float) -> Array:
    """Returns the query with the scale of the scores in it: the kernel has none."""
    if math.frexp(scale)[0] == 0.5:  # a power of two is exact, and part of the projection for XLA
        return query * jnp.asarray(scale, query.dtype)
    return (query.astype(jnp.float32) * scale).astype(query.dtype)


def _over_devices(query: Array, key: Array, value: Array, seen: Seen, scale: float) -> Array:
    """Returns the same on the devices of a run: each computes its rows, and its heads.

    XLA cannot spread a kernel by itself.
    """
    context = running()
    mesh = None if context is None else context.mesh
    if context is None or mesh is None or mesh.size == 1:
        return splash(query, key, value, seen, scale)
    rows = [name for name in mesh.axis_names if name in context.batch_axes]
    others = [name for name in mesh.axis_names if name not in rows]
    along = tuple(rows) if _divides(mesh, rows, query.shape[0]) else None
    heads = tuple(others) if _divides(mesh, others, key.shape[2], query.shape[2]) else None
    spec = PartitionSpec(along, None, heads, None)
    keys = PartitionSpec(along, None)

    def local(query: Array, key: Array, value: Array, keys: Array | None) -> Array:
        mine = Seen(causal=seen.causal, keys=keys, window=seen.window)
        return splash(query, key, value, mine, scale)

    return jax.shard_map(
        local, mesh=mesh, in_specs=(spec, spec, spec, keys), out_specs=spec, check_vma=False
    )(query, key, value, seen.keys)


def _divides(mesh: Any, names: list[str], *sizes: int) -> bool:
    parts = math.prod(mesh.shape[name] for name in names)
    return bool(names) and all(size % parts == 0 for size in sizes)
