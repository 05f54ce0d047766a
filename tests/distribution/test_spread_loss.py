"""A loss in pieces on eight devices: the numbers of one, and sums over devices outside the loop."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import kgraph
from kgraph import distribution as dist
from kgraph import layers as L
from kgraph import losses
from kgraph.training import compilation

LENGTH, WIDTH, CLASSES = 16, 32, 64
WORDS = np.random.default_rng(0).integers(0, CLASSES, (32, LENGTH)).astype(np.int32)
LABELS = np.random.default_rng(1).integers(0, CLASSES, (32, LENGTH)).astype(np.int32)


def by_classes() -> dist.ModelParallel:
    layouts = dist.LayoutMap(dist.DeviceMesh((2, 4), ("batch", "model")))
    layouts["head/kernel"], layouts["head/bias"] = (None, "model"), ("model",)
    return dist.ModelParallel(layout_map=layouts)


def by_features() -> dist.ModelParallel:
    layouts = dist.LayoutMap(dist.DeviceMesh((2, 4), ("batch", "model")))
    layouts["head/kernel"] = ("model", None)
    return dist.ModelParallel(layout_map=layouts)


def trained(distribution: Any, tied: bool = False) -> tuple[Any, list[Any], str]:
    """Returns losses and metrics of two epochs, weights, and the text of the compiled step."""
    kgraph.utils.set_random_seed(0)
    compilation.forget_shared()
    inputs = kgraph.Input((LENGTH,), dtype="int32")
    words = L.ReversibleEmbedding(CLASSES, WIDTH, name="words")
    x = L.Dense(WIDTH, "tanh", name="mid")(words(inputs))
    outputs = words(x, reverse=True) if tied else L.Dense(CLASSES, name="head")(x)
    model = kgraph.Model(inputs, outputs)
    model.compile(
        "sgd", losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"],
        distribution=distribution, loss_in_pieces=8,
    )  # fmt: skip
    how: Any = {"batch_size": 16, "epochs": 2, "shuffle": False, "verbose": 0}
    history = model.fit(WORDS, LABELS, **how).history
    model.memory(16)
    made: Any = next(reversed(compilation._SHARED.values())).result()
    text = made.as_text()
    return history, model.get_weights(), text


@pytest.fixture(scope="module")
def alone() -> Any:
    return {tied: trained(None, tied) for tied in (False, True)}


@pytest.mark.slow
@pytest.mark.parametrize("tied", [False, True], ids=["dense", "tied"])
@pytest.mark.parametrize(
    "make", [dist.DataParallel, lambda: dist.FSDP(least_size=0)], ids=["data", "fsdp"]
)
def test_rows_on_eight_devices_are_summed_after_the_loop(alone, make, tied):
    history, weights, text = trained(make(), tied)
    compare(alone[tied], history, weights)
    entry = text[text.index("\nENTRY") :]
    moves = r" (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\("
    assert len(re.findall(moves, text)) == len(re.findall(moves, entry)) > 0
    kernels = rf"= f32\[{WIDTH},{CLASSES}\]\S* all-gather(?:-start)?\("
    assert len(re.findall(kernels, text)) <= 2  # once to be read, and once the new one


@pytest.mark.slow
@pytest.mark.parametrize("make", [by_classes, by_features])
def test_kernels_that_are_cut_give_the_same_numbers(alone, make):
    compare(alone[False], *trained(make())[:2])


def compare(alone: Any, history: Any, weights: Any) -> None:
    for key, values in alone[0].items():
        np.testing.assert_allclose(history[key], values, rtol=1e-6)
    for one, other in zip(alone[1], weights, strict=True):
        np.testing.assert_allclose(other, one, atol=1e-7)
