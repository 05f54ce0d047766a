"""Predictions with BatchNormalization folded and without it: compiling, `predict`, calls.

`python -m benchmarks.inference` prints the tables.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import keras
import numpy as np

import kgraph
from benchmarks.large_networks import BUILDERS
from benchmarks.measure import Result, race, summarize, table
from kgraph.compiler import DEFAULT_PASSES, INFERENCE_PASSES, platform_passes

BATCH = 8
HERE = platform_passes(jax.default_backend())
PLAIN, FOLDING = (*DEFAULT_PASSES, *HERE), (*INFERENCE_PASSES, *HERE)


def mobilenet(api: Any) -> Any:
    """MobileNet (arXiv:1704.04861): depthwise convolutions and ones over single pixels."""
    layers = api.layers

    def normed(x: Any, convolution: Any) -> Any:
        return layers.ReLU(6.0)(layers.BatchNormalization()(convolution(x)))

    x = inputs = api.Input((64, 64, 3))
    x = normed(x, layers.Conv2D(32, 3, 2, padding="same", use_bias=False))
    for filters, strides in (
        (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2),
        (1024, 1),
    ):  # fmt: skip
        x = normed(x, layers.DepthwiseConv2D(3, strides, padding="same", use_bias=False))
        x = normed(x, layers.Conv2D(filters, 1, padding="same", use_bias=False))
    x = layers.Dropout(1e-3)(layers.GlobalAveragePooling2D()(x))
    return api.Model(inputs, layers.Dense(1000, activation="softmax")(x))


NETWORKS: dict[str, Callable[[Any], Any]] = {
    "resnet50": BUILDERS["resnet50"], "mobilenet": mobilenet
}  # fmt: skip


def randomize(model: Any) -> None:
    """Gives the statistics and scales of a model values as if it had been trained."""
    random = np.random.default_rng(0)
    for weight in model.weights:
        if weight.name.startswith(("gamma", "beta", "moving")):
            spread = random.uniform(-0.1, 0.1, weight.shape)
            start = 0.0 if weight.name in ("beta", "moving_mean") else 1.0
            weight.assign((start + spread).astype(np.float32))


def run(rounds: int = 5) -> Iterator[list[Result]]:
    """Yields, for each network, the times of predictions, of one call, and of folding."""
    for name, build in NETWORKS.items():
        model, oracle = build(kgraph), build(keras)
        randomize(model)
        oracle.set_weights([w.numpy() for w in model.weights])
        images = np.random.default_rng(1).random((BATCH, 64, 64, 3), dtype=np.float32)
        yield from _measure(name, model, oracle, images, rounds)


def _measure(
    name: str, model: Any, oracle: Any, images: np.ndarray, rounds: int
) -> Iterator[list[Result]]:
    plain = kgraph.Model(model.inputs, model.outputs[0])
    plain.compile(passes=PLAIN)
    contenders = {
        "kgraph, not folded": lambda: plain.predict(images, BATCH, 0),
        "kgraph": lambda: model.predict(images, BATCH, 0),
        "Keras": lambda: oracle.predict(images, BATCH, 0),
    }
    found = {who: predict() for who, predict in contenders.items()}  # compiled now
    limit = 1e-5 * np.abs(found["Keras"]).max()
    for who, values in found.items():
        np.testing.assert_allclose(values, found["Keras"], rtol=0, atol=limit, err_msg=who)
    yield race(f"predict, {name}", contenders, 1, "batch", rounds)
    yield race(f"forward, {name}", _forwards(model, images), 1, "batch", rounds)
    yield race(f"compile, {name}", _compilations(model, images), 1, "model", rounds)
    times = [_fold_time(model) for _ in range(rounds)]
    yield summarize(f"folding the weights, {name}", {"kgraph": times}, "model")


def _forwards(model: Any, images: np.ndarray) -> dict[str, Callable[[], object]]:
    """Returns jitted calls of the pure programs."""
    found: dict[str, Callable[[], object]] = {}
    array = jax.device_put(images)
    plain, folding = kgraph.lower(model, PLAIN), kgraph.lower(model, FOLDING)
    variables = model.variables_for(plain)
    given = {
        "not folded": (plain, variables),
        "folded once": (folding, folding.fold(variables)),
        "folded in each call": (folding, variables),
    }
    for who, (program, weights) in given.items():
        step = jax.jit(lambda v, x, program=program: program.apply(v, x)[0])
        found[who] = lambda step=step, weights=weights: jax.block_until_ready(step(weights, array))
        found[who]()
    return found


def _compilations(model: Any, images: np.ndarray) -> dict[str, Callable[[], object]]:
    """Returns functions that trace and compile a call anew each time."""

    def compilation(program: kgraph.Program, variables: Any) -> Callable[[], object]:
        def run() -> object:
            return jax.jit(lambda v, x: program.apply(v, x)[0]).lower(variables, images).compile()

        return run

    plain, folding = kgraph.lower(model, PLAIN), kgraph.lower(model, FOLDING)
    variables = model.variables_for(plain)
    return {
        "not folded": compilation(plain, variables),
        "folded": compilation(folding, folding.fold(variables)),
    }


def _fold_time(model: Any) -> float:
    inference = model._kgraph.programs.inference()
    inference.forget()
    start = time.perf_counter()
    jax.block_until_ready(inference.variables())
    return time.perf_counter() - start


if __name__ == "__main__":
    for results in run():
        print(table(results), end="\n\n", flush=True)
