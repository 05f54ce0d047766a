"""Forward and backward time of single layers at realistic sizes, jitted: kgraph against Keras."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.measure import Result, race

Make = Callable[[Any], Any]

IMAGE = (16, 32, 32, 32)
SEQUENCE = (16, 64, 128)
CASES: dict[str, tuple[Make, tuple[int, ...]]] = {
    "Dense": (lambda L: L.Dense(512, activation="relu"), (256, 512)),
    "EinsumDense": (lambda L: L.EinsumDense("abc,cd->abd", (None, 128)), SEQUENCE),
    "Embedding": (lambda L: L.Embedding(10000, 128), (32, 128)),
    "Conv1D": (lambda L: L.Conv1D(128, 3, padding="same"), SEQUENCE),
    "Conv2D": (lambda L: L.Conv2D(32, 3, padding="same"), IMAGE),
    "Conv2D strided": (lambda L: L.Conv2D(64, 3, strides=2), IMAGE),
    "Conv2D 1x1": (lambda L: L.Conv2D(64, 1), IMAGE),
    "Conv3D": (lambda L: L.Conv3D(8, 3), (4, 12, 12, 12, 8)),
    "Conv2DTranspose": (lambda L: L.Conv2DTranspose(16, 3, strides=2), (8, 16, 16, 32)),
    "DepthwiseConv2D": (lambda L: L.DepthwiseConv2D(3, padding="same"), IMAGE),
    "SeparableConv2D": (lambda L: L.SeparableConv2D(32, 3, padding="same"), IMAGE),
    "MaxPooling2D": (lambda L: L.MaxPooling2D(2), IMAGE),
    "AveragePooling2D": (lambda L: L.AveragePooling2D(2), IMAGE),
    "GlobalAveragePooling2D": (lambda L: L.GlobalAveragePooling2D(), IMAGE),
    "BatchNormalization": (lambda L: L.BatchNormalization(), IMAGE),
    "LayerNormalization": (lambda L: L.LayerNormalization(), (16, 256, 256)),
    "GroupNormalization": (lambda L: L.GroupNormalization(8), IMAGE),
    "RMSNormalization": (lambda L: L.RMSNormalization(), (16, 256, 256)),
    "UnitNormalization": (lambda L: L.UnitNormalization(), (16, 256, 256)),
    "Dropout": (lambda L: L.Dropout(0.5), (256, 2048)),
    "GaussianNoise": (lambda L: L.GaussianNoise(0.5), (256, 2048)),
    "PReLU": (lambda L: L.PReLU(), (256, 2048)),
    "Softmax": (lambda L: L.Softmax(), (256, 2048)),
    "LSTM": (lambda L: L.LSTM(64), SEQUENCE),
    "GRU": (lambda L: L.GRU(64), SEQUENCE),
    "SimpleRNN": (lambda L: L.SimpleRNN(64), SEQUENCE),
    "Bidirectional": (lambda L: L.Bidirectional(L.LSTM(32)), SEQUENCE),
    "TimeDistributed": (lambda L: L.TimeDistributed(L.Dense(128)), SEQUENCE),
    "ConvLSTM2D": (lambda L: L.ConvLSTM2D(8, 3), (4, 5, 16, 16, 8)),
    "UpSampling2D": (lambda L: L.UpSampling2D(2), IMAGE),
    "ZeroPadding2D": (lambda L: L.ZeroPadding2D(2), IMAGE),
}
"""What makes the layer, and the shape of its input with the batch."""

INTEGERS = {"Embedding": 10000}


def run(rounds: int = 5, names: tuple[str, ...] = tuple(CASES)) -> Iterator[list[Result]]:
    """Yields the results for each layer; Keras is the baseline."""
    import keras

    import kgraph

    for name in names:
        make, shape = CASES[name]
        random = np.random.default_rng(0)
        if name in INTEGERS:
            x = jnp.asarray(random.integers(0, INTEGERS[name], shape))
        else:
            x = jnp.asarray(random.normal(size=shape), jnp.float32)
        theirs, weights = _keras(make(keras.layers), x, name in INTEGERS)
        ours = _kgraph(kgraph, make(kgraph.layers), x, weights, name in INTEGERS)
        contenders = {"Keras": theirs, "kgraph": ours}
        for contender in contenders.values():
            contender()  # compiles
        yield race(f"layer, {name}", contenders, 1, "step", rounds)


def _step(function: Callable[..., Any], weights: Any, x: Any, integers: bool) -> Callable[[], Any]:
    """Returns a jitted loss with its gradients by weights and, unless integers, by input."""

    def loss(weights: Any, x: Any) -> Any:
        return jnp.sum(jnp.square(function(weights, x)))

    step = jax.jit(jax.value_and_grad(loss, argnums=(0,) if integers else (0, 1)))
    return lambda: jax.block_until_ready(step(weights, x))


def _keras(layer: Any, x: Any, integers: bool) -> tuple[Callable[[], Any], list[np.ndarray]]:
    layer.build(x.shape)
    weights = [jnp.asarray(v.value) for v in layer.trainable_variables]
    state = [jnp.asarray(v.value) for v in layer.non_trainable_variables]
    takes = "training" in inspect.signature(layer.call).parameters

    def function(weights: Any, x: Any) -> Any:
        options = {"training": True} if takes else {}
        return layer.stateless_call(weights, state, x, **options)[0]

    return _step(function, weights, x, integers), layer.get_weights()


def _kgraph(
    kgraph: Any, layer: Any, x: Any, weights: list[np.ndarray], integers: bool
) -> Callable[[], Any]:
    inputs = kgraph.Input(x.shape[1:], dtype=str(x.dtype))
    model = kgraph.Model(inputs, layer(inputs))
    if len(layer.get_weights()) == len(weights):  # Keras counts the states of seeds as well
        layer.set_weights(weights)
    program = kgraph.lower(model)
    variables = model.variables_for(program)
    state, key = variables["state"], jax.random.key(0)

    def function(params: Any, x: Any) -> Any:
        own = {"params": params, "state": state}
        return program.apply(own, x, training=True, key=key)[0]

    return _step(function, variables["params"], x, integers)
