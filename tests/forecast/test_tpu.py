"""The real compiler of TPUs, on a machine without one: needs libtpu, and takes minutes."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import forecast_models as m
import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec

import kgraph
from kgraph import distribution as dist
from kgraph import layers as L
from kgraph.distribution.chips import find_slice
from kgraph.errors import ConfigError
from kgraph.forecast.compiling import Traced, compile_for
from kgraph.forecast.hlo import read_module
from kgraph.forecast.profile import profile

sys.path.append(str(Path(__file__).parents[1] / "compiler"))
import itertools

from accelerator_models import MODELS

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("relaxed")]
pytest.importorskip("libtpu")

FSDP = partial(dist.FSDP, least_size=1000)


def decoder(dtype: str | None = None, blocks: int = 2, **options: Any) -> Any:
    inputs = kgraph.Input((128,), dtype="int32")
    x = L.Embedding(512, 256, dtype=dtype)(inputs)
    for n in range(blocks):
        h = L.LayerNormalization(dtype=dtype)(x)
        attention = L.MultiHeadAttention(2, 128, dtype=dtype, name=f"attention{n}")
        x = L.Add(dtype=dtype)([x, attention(h, h, use_causal_mask=True)])
        h = L.Dense(1024, activation="gelu", dtype=dtype)(L.LayerNormalization(dtype=dtype)(x))
        x = L.Add(dtype=dtype)([x, L.Dense(256, dtype=dtype)(h)])
    return m.compiled(kgraph.Model(inputs, L.Dense(512, dtype=dtype)(x)), **options)


def tensor_parallel() -> Any:
    mesh = dist.DeviceMesh((2, 4), ("batch", "model"), dist.list_devices("v5e:2x4"))
    layouts = dist.LayoutMap(mesh)
    layouts["up.*/kernel"] = (None, "model")
    layouts["down.*/kernel"] = ("model", None)
    layouts["up.*/output"] = ("batch", "model")
    return dist.ModelParallel(layout_map=layouts)


def resnet50() -> Any:
    model = kgraph.applications.ResNet50(weights=None, input_shape=(64, 64, 3), classes=10)
    return m.compiled(model)


ONE, EIGHT = "v5e:1x1", "v5e:2x4"
CASES: dict[str, tuple[Callable[[], Any], str]] = {
    "mlp": (MODELS["mlp"], ONE),
    "resnet": (MODELS["resnet"], ONE),
    "ticket": (MODELS["ticket"], ONE),
    "resnet50": (resnet50, ONE),
    "transformer": (MODELS["transformer"], ONE),
    "lstm": (MODELS["ticket"], EIGHT),
    "mixed precision": (partial(decoder, "mixed_bfloat16"), ONE),
    "batch normalization": (MODELS["batch_norm"], EIGHT),
    "fsdp": (lambda: decoder("mixed_bfloat16", distribution=FSDP()), EIGHT),
    "tensor parallel": (lambda: m.compiled(m.blocks(), distribution=tensor_parallel()), EIGHT),
    "stacked": (partial(decoder, "mixed_bfloat16", stack=True), ONE),
    "stacked and recomputed": (
        lambda: decoder("mixed_bfloat16", distribution=FSDP(), stack=True, remat="blocks"), EIGHT,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", ["train", "predict"])
@pytest.mark.parametrize("name", CASES)
def test_it_compiles_fits_and_keeps_to_the_chip(name, what):
    build, where = CASES[name]
    model = build()
    known = {"sizes": dict.fromkeys(unknown_sizes(model), 16)}
    found = model.forecast(where, 64, what=what, **known)
    text = found.compiled.text
    assert found.fits
    assert found.cycles > 0
    assert found.donated or what == "predict"
    assert not re.search(r"\bf64\[", text), "float64 somewhere"
    assert not re.search(r"callback|infeed|outfeed|send\(|recv\(", text), "the host"
    assert (found.collectives == []) == (where == ONE)  # a prediction is whole on each chip
    once = sum(map(int, re.findall(r'estimated_cycles":"(\d+)"', text)))
    assert found.cycles >= once or "while(" in text


def unknown_sizes(model: Any) -> list[str]:
    from kgraph.compiler.costs.dims import unknown_sizes as find

    return [name for name in find(model.graph) if name != "batch"]


@pytest.mark.parametrize("options", [{}, {"stack": True, "remat": "blocks"}])
def test_fsdp_gathers_weights_and_reduces_gradients(options):
    model = decoder("mixed_bfloat16", distribution=FSDP(), **options)
    found = model.forecast(EIGHT, 64)
    kinds = {one.kind for one in found.collectives}
    assert "all-gather" in kinds
    assert kinds & {"reduce-scatter", "all-reduce"}
    assert "all-to-all" not in kinds
    weights = max(weight.nbytes for weight in model.weights)
    for one in found.collectives:
        assert one.axes == ("fsdp",)
        assert one.kind != "all-gather" or one.bytes <= weights, one
    rows = {shape[:2] for one in found.collectives for shape in one.shapes}
    assert not rows & {(64, 128), (8, 128)}, "an activation moves"


def test_a_step_is_as_good_as_one_by_hand():
    """Three layers and SGD in plain JAX, compiled beside the model's step: cycles and bytes."""
    where, rows, sizes = find_slice(ONE), 512, (1024, 4096, 1024, 16)
    x = inputs = kgraph.Input(sizes[:1])
    for size in sizes[1:-1]:
        x = L.Dense(size, activation="relu")(x)
    model = kgraph.Model(inputs, L.Dense(sizes[-1])(x))
    loss = kgraph.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(kgraph.optimizers.SGD(0.1), loss)
    ours = model.forecast(ONE, rows)

    def loss_of(weights: Any, x: Any, y: Any) -> Any:
        for n, (kernel, bias) in enumerate(weights):
            x = x @ kernel + bias
            x = x if n == len(weights) - 1 else jax.nn.relu(x)
        return -jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], 1).mean()

    def step(*leaves: Any) -> Any:
        weights = list(zip(leaves[:-2:2], leaves[1:-2:2]))
        grads = jax.grad(loss_of)(weights, *leaves[-2:])
        return tuple(w - 0.1 * g for pair in zip(weights, grads) for w, g in zip(*pair))

    whole = NamedSharding(
        AbstractMesh((1,), ("batch",), axis_types=(AxisType.Auto,)), PartitionSpec()
    )
    spec = partial(jax.ShapeDtypeStruct, sharding=whole)
    shapes = [s for a, b in itertools.pairwise(sizes) for s in ((a, b), (b,))]
    given = [spec(shape, jnp.float32) for shape in shapes]
    batch = [spec((rows, sizes[0]), jnp.float32), spec((rows,), jnp.int32)]
    traced = Traced(step, [*given, *batch], len(given), [whole] * len(given))
    hand = compile_for(where, {"batch": 1}, traced)
    cycles = profile(read_module(hand.text), model.graph, where.chip).cycles
    assert ours.cycles <= 1.05 * cycles
    total = hand.arguments + hand.outputs - hand.aliased + hand.temporary + hand.code
    assert ours.bytes_per_chip.total <= 1.05 * total


def test_what_does_not_fit_says_what_would():
    wide = m.compiled(m.blocks(width=1 << 15))  # 2 x 2 x 2**31 parameters, and as many moments
    found = wide.forecast(EIGHT, 64)
    assert not found.fits
    assert found.bytes_per_chip.total > found.bytes_per_chip.limit
    assert "does NOT fit" in str(found)
    fsdp = wide.forecast(EIGHT, 64, distribution=dist.FSDP())
    assert fsdp.bytes_per_chip.total < found.bytes_per_chip.total / 4


def test_the_compiler_is_asked_whether_it_knows_a_topology():
    with pytest.raises(ConfigError, match=r"knows no topology 'v5e:3x3'[\s\S]*v5e:2x4"):
        m.compiled(m.blocks()).forecast("v5e:3x3", 9)
