"""The real compiler of TPUs, on a machine without one: needs libtpu, and takes minutes."""

from __future__ import annotations

import os
import re
from typing import Any

import forecast_models as m
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tpu_cases import CASES, EIGHT, FSDP, ONE, RESNET50, Case, decoder

from benchmarks.large_by_hand import stacked, state_specs, train_step
from benchmarks.on_tpu import compiled, figures
from kgraph.errors import ConfigError
from kgraph.forecast.collectives import Collective, find_collectives
from kgraph.forecast.compiling import Compiled
from kgraph.forecast.hlo import read_module

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("relaxed")]
pytest.importorskip("libtpu")
TRIED = (
    list(CASES) if os.environ.get("KGRAPH_THOROUGH")
    else ["mlp", "resnet", "mixed precision", "fsdp", "tensor parallel", "stacked and recomputed"]
)  # fmt: skip
"""Of which the prediction is compiled too, and a step by hand: all 12 take a quarter of an hour."""


@pytest.fixture(scope="module", params=CASES)
def trained(request):
    """A case, its model, and the forecast of a step."""
    case = CASES[request.param]
    model = case.model()
    return case, model, model.forecast(case.where, case.rows, sizes=case.sizes)


def test_a_step_compiles_fits_and_keeps_to_the_chip(trained):
    case, _, found = trained
    assert found.fits
    assert found.donated
    keeps_to_the_chip(found)
    moves = {(one.kind, axis) for one in found.collectives for axis in one.axes}
    assert moves <= case.moves
    assert bool(moves) == bool(case.moves)


def test_a_step_is_as_good_as_one_by_hand(trained):
    case, model, ours = trained
    if all(case is not CASES[name] for name in TRIED):
        pytest.skip("compared with KGRAPH_THOROUGH=1")
    made = step_by_hand(case, model)
    hand = figures(made, case.where)
    assert ours.cycles <= 1.05 * hand.cycles
    assert ours.bytes_per_chip.total <= 1.05 * hand.total
    exchanged = find_collectives(read_module(made.text), case.mesh)
    assert moved(ours.collectives) <= 1.05 * moved(exchanged)


def moved(collectives: list[Collective]) -> int:
    return sum(one.times * one.bytes for one in collectives)


@pytest.mark.parametrize("name", TRIED)
def test_inference_compiles_fits_and_keeps_to_the_chip(name):
    case = CASES[name]
    model = case.model()
    found = model.forecast(case.where, case.rows, what="predict", sizes=case.sizes)
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


def step_by_hand(case: Case, model: Any) -> Compiled:
    """Compiles the step of plain JAX, its weights laid out as those of the model are."""
    spread = case.options().get("distribution")
    cut = {w.shape: spread.axes_of(w.path, w.shape) for w in model.weights} if spread else {}
    cut |= {(2, *shape): (None, *axes) for shape, axes in cut.items()}
    shapes = [weight.shape for weight in model.weights]
    trained = [weight.trainable for weight in model.weights]
    if case.scan:
        shapes = stacked(shapes)
        trained = [True] * len(shapes)
    step = train_step(case.apply, case.loss, case.optimizer, trained)
    specs = [jax.ShapeDtypeStruct(shape, "float32") for shape in shapes]
    state = state_specs(specs, case.optimizer, trained)
    return compiled(
        case.where, case.mesh, step, state, case.arrays(case.rows), lambda s: cut.get(s, ())
    )  # fmt: skip


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


@pytest.mark.parametrize("options", [{}, {"stack": True, "remat": "blocks"}])
def test_fsdp_gathers_weights_and_reduces_gradients(options):
    model = m.compiled(decoder(dtype="mixed_bfloat16"), distribution=FSDP(), **options)
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
