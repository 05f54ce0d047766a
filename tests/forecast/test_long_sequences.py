"""Attention and loss of long sequences by the compiler of TPUs: needs libtpu, takes minutes."""

from __future__ import annotations

import math
import os
import re
from functools import partial
from typing import Any

import pytest

import kgraph
from kgraph import distribution as dist
from kgraph import layers as L

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("relaxed")]
pytest.importorskip("libtpu")

SLICE, ROWS, LENGTH, WORDS = "v5e:2x4", 64, 1024, 2048
FSDP = partial(dist.FSDP, least_size=1000)


def heads_apart() -> dist.ModelParallel:
    layouts = dist.LayoutMap(dist.DeviceMesh((2, 4), ("batch", "model"), dist.list_devices(SLICE)))
    layouts["attention/(query|key|value)/kernel"] = (None, "model", None)
    layouts["attention/attention_output/kernel"] = ("model", None, None)
    return dist.ModelParallel(layout_map=layouts)


@pytest.mark.parametrize(("make", "parts"), [(FSDP, 8), (heads_apart, 2)], ids=["rows", "heads"])
def test_long_attention_is_a_kernel_and_the_loss_is_in_pieces(make, parts):
    inputs = kgraph.Input((LENGTH,), dtype="int32")
    short: Any = {"dtype": "mixed_bfloat16"}
    x = L.Embedding(WORDS, 128, **short)(inputs)
    attention = L.MultiHeadAttention(4, 64, name="attention", **short)
    x = L.Add(**short)([x, attention(x, x, use_causal_mask=True)])
    model = kgraph.Model(inputs, L.Dense(WORDS, name="head", **short)(x))
    loss = kgraph.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, distribution=make())

    found = model.forecast(SLICE, ROWS)
    assert "splash_mha_fwd_residuals" in found.compiled.text
    logits = re.findall(rf"(?:bf16|f32)\[([\d,]+),{WORDS}\]", found.compiled.text)
    most = max(math.prod(map(int, sizes.split(","))) for sizes in logits)
    assert most <= ROWS * LENGTH // parts // 4
    assert not [one for one in found.collectives if one.kind == "all-to-all"]


@pytest.mark.skipif(not os.environ.get("KGRAPH_THOROUGH"), reason="a minute: KGRAPH_THOROUGH=1")
def test_blocks_that_wait_on_the_host_leave_room_on_the_chip():
    inputs = x = kgraph.Input((512, 512))
    for _ in range(16):
        h = L.Dense(1024, "gelu", dtype="mixed_bfloat16")(x)
        x = L.Add(dtype="mixed_bfloat16")([x, L.Dense(512, dtype="mixed_bfloat16")(h)])
    model = kgraph.Model(inputs, L.Dense(8)(x))
    model.compile("adam", "mse", stack=True)
    usual, found = (model.forecast("v5e:1x1", 32, remat=r) for r in ("blocks", "offload"))
    assert found.bytes_per_chip.temporary < 0.5 * usual.bytes_per_chip.temporary
    assert found.cycles < 1.02 * usual.cycles
