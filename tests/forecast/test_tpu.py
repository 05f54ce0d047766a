"""The real compiler of TPUs, on a machine without one: needs libtpu, and takes minutes."""

from __future__ import annotations

import math
import os
import re
from functools import cache
from typing import Any

import forecast_models as m
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from steps_by_hand import compiled_anew, exchanged, written
from tpu_cases import CASES, EIGHT, LENGTH, ONE, RESNET50, WIDTH

from kgraph.errors import ConfigError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("relaxed")]
pytest.importorskip("libtpu")
THOROUGH = bool(os.environ.get("KGRAPH_THOROUGH"))
TRIED = ["mlp", "resnet", "mixed precision", "fsdp", "tensor parallel", "stacked and recomputed"]
"""Of which the prediction is compiled too: all 12 take a quarter of an hour."""
WRITTEN = written()
model_of = cache(lambda name: CASES[name].model())


@cache
def step_of(name: str) -> Any:
    """Returns the forecast of a step, for all tests that look at it."""
    case = CASES[name]
    return model_of(name).forecast(case.where, case.rows, sizes=case.sizes)


@pytest.fixture(params=[name for name in CASES if THOROUGH or name != "recomputed"])
def trained(request):
    """The name of a case, and the forecast of its step; "stacked and recomputed" has both."""
    return request.param, step_of(request.param)


def test_a_step_compiles_fits_and_keeps_to_the_chip(trained):
    name, found = trained
    case = CASES[name]
    assert found.fits
    assert found.donated
    keeps_to_the_chip(found)
    moves = {(one.kind, axis) for one in found.collectives for axis in one.axes}
    assert moves <= case.moves
    assert bool(moves) == bool(case.moves)


def test_a_step_is_as_good_as_one_by_hand(trained):
    name, ours = trained
    hand = WRITTEN.get(name)
    if THOROUGH or (hand is None and name in TRIED):
        hand = compiled_anew(CASES[name], model_of(name))
    if hand is None:
        pytest.skip("by other versions: python tests/forecast/steps_by_hand.py")
    assert hand == WRITTEN.get(name, hand), "the figures that are written down are of another step"
    assert ours.cycles <= 1.05 * hand.cycles
    assert ours.bytes_per_chip.total - ours.compiled.code <= 1.05 * hand.memory
    assert exchanged(ours.collectives) <= 1.05 * hand.exchanged


@pytest.mark.parametrize("name", CASES if THOROUGH else TRIED)
def test_inference_compiles_fits_and_keeps_to_the_chip(name):
    case = CASES[name]
    found = model_of(name).forecast(case.where, case.rows, what="predict", sizes=case.sizes)
    assert found.fits
    keeps_to_the_chip(found)
    assert (found.collectives == []) == (case.where == ONE)  # a prediction is whole on each chip


def keeps_to_the_chip(found: Any) -> None:
    text = found.compiled.text
    assert found.cycles > 0
    assert not re.search(r"\bf64\[", text), "float64 somewhere"
    assert not re.search(r"callback|infeed|outfeed|send\(|recv\(", text), "the host"
    once = sum(map(int, re.findall(r'estimated_cycles":"(\d+)"', text)))
    assert found.cycles >= once or "while(" in text


@pytest.mark.parametrize("name", ["resnet50", "transformer", "lstm", "tensor parallel"])
def test_the_step_by_hand_is_of_the_same_model(name):
    case = RESNET50 if name == "resnet50" else CASES[name]
    model = case.build()
    random = np.random.default_rng(0)
    spec = case.arrays(4)[0]
    x = random.normal(size=spec.shape) if spec.dtype == "float32" else 9 * random.random(spec.shape)
    x = x.astype(spec.dtype)
    outputs, _ = case.apply([jnp.asarray(w) for w in model.weights], x, jax.random.key(0))
    # The statistics of 53 norms are sums in another order.
    np.testing.assert_allclose(model(x, training=True), outputs, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["fsdp", "stacked and recomputed"])
def test_fsdp_gathers_weights_and_reduces_gradients(name):
    case, model, found = CASES[name], model_of(name), step_of(name)
    kinds = {one.kind for one in found.collectives}
    assert "all-gather" in kinds
    assert kinds & {"reduce-scatter", "all-reduce"}
    assert "all-to-all" not in kinds
    weights = max(weight.nbytes for weight in model.weights)
    for one in found.collectives:
        assert one.axes == ("fsdp",)
        assert one.kind != "all-gather" or one.bytes <= weights, one
    largest = max(math.prod(shape) for one in found.collectives for shape in one.shapes)
    assert largest < case.rows // 8 * LENGTH * WIDTH, "an activation moves"


def test_what_does_not_fit_says_what_would():
    wide = m.compiled(m.blocks(width=1 << 14))  # 2 x 2 x 2**29 parameters, and as many moments
    found = wide.forecast(EIGHT, 64)
    assert not found.fits
    assert found.bytes_per_chip.total > found.bytes_per_chip.limit
    assert "does NOT fit" in str(found)
    rows = {one.what: one.forecast for one in found.advice.tried}
    assert [one.what for one in found.advice.fitting] == ["FSDP"]
    assert rows["FSDP"].bytes_per_chip.total < found.bytes_per_chip.limit
    assert rows["a larger slice"].where.name == "v5e:4x4"
    assert not rows["a larger slice"].fits
    refused = dict(found.advice.refused)
    assert "does not fit either" in refused["largest batch"]


def test_the_compiler_is_asked_whether_it_knows_a_topology():
    with pytest.raises(ConfigError, match=r"knows no topology 'v5e:3x3'[\s\S]*v5e:2x4"):
        m.compiled(m.blocks()).forecast("v5e:3x3", 9)
