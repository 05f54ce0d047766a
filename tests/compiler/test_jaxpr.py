"""The jaxpr of a program is that of the function one would write by hand."""

from __future__ import annotations

import gc
from collections.abc import Callable

import jax
import jax.numpy as jnp
import pytest

import kgraph
from kgraph import Input, Model
from kgraph.layers import (
    Add,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    MaxPooling2D,
)

KEY = jax.random.key(0)


def equations(function: Callable, *args) -> list[str]:
    """Returns each equation, in order, as primitive and shapes; inner functions are opened."""
    found: list[str] = []

    def walk(jaxpr) -> None:
        for eqn in jaxpr.eqns:
            inner = [
                getattr(value, "jaxpr", value)
                for value in eqn.params.values()
                if hasattr(value, "eqns") or hasattr(getattr(value, "jaxpr", None), "eqns")
            ]
            if not inner:
                shapes = [str(v.aval) for v in (*eqn.invars, *eqn.outvars)]
                found.append(f"{eqn.primitive.name} {', '.join(shapes)}")
            for one in inner:
                walk(one)

    walk(jax.make_jaxpr(function)(*args).jaxpr)
    return found


def compare(model: Model, by_hand: Callable, shape: tuple[int, ...], training: bool) -> list[str]:
    program = kgraph.lower(model)
    variables = jax.eval_shape(program.init, KEY)
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    key = jax.eval_shape(lambda: KEY)

    def apply(variables, x, key):
        return program.apply(variables, x, training=training, key=key)[0]

    found = equations(apply, variables, x, key)
    assert found == equations(by_hand, variables["params"], x, key)
    return found


def dense(p, x):
    return x @ p["kernel"] + p["bias"][None]


@pytest.mark.parametrize("training", [False, True])
def test_the_guides_first_model(training):
    inputs = Input((784,))
    x = Dense(64, "relu")(inputs)
    x = Dense(64, "relu")(x)
    model = Model(inputs, Dense(10)(x))

    def by_hand(p, x, key):
        x = jax.nn.relu(dense(p["dense"], x))
        x = jax.nn.relu(dense(p["dense_1"], x))
        return dense(p["dense_2"], x)

    found = compare(model, by_hand, (32, 784), training)
    assert sum(line.startswith("dot_general") for line in found) == 3


def conv(p, x, padding="VALID"):
    y = jax.lax.conv_general_dilated(
        x, p["kernel"], (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return y + p["bias"][None, None, None]


def max_pool(x):
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 3, 3, 1), "VALID")


def toy_resnet() -> Model:
    inputs = Input((32, 32, 3), name="img")
    x = Conv2D(32, 3, activation="relu", name="a")(inputs)
    x = Conv2D(64, 3, activation="relu", name="b")(x)
    block_1 = MaxPooling2D(3)(x)
    x = Conv2D(64, 3, activation="relu", padding="same", name="c")(block_1)
    x = Conv2D(64, 3, activation="relu", padding="same", name="d")(x)
    block_2 = Add()([x, block_1])
    x = Conv2D(64, 3, activation="relu", padding="same", name="e")(block_2)
    x = Conv2D(64, 3, activation="relu", padding="same", name="f")(x)
    block_3 = Add()([x, block_2])
    x = Conv2D(64, 3, activation="relu", name="g")(block_3)
    x = GlobalAveragePooling2D()(x)
    x = Dense(256, activation="relu", name="h")(x)
    x = Dropout(0.5, name="drop")(x)
    return Model(inputs, Dense(10, name="i")(x))


@pytest.mark.parametrize("training", [False, True])
def test_the_guides_toy_resnet(training):
    relu = jax.nn.relu

    def by_hand(p, x, key):
        x = relu(conv(p["a"], x))
        x = relu(conv(p["b"], x))
        block_1 = max_pool(x)
        x = relu(conv(p["c"], block_1, "SAME"))
        x = relu(conv(p["d"], x, "SAME"))
        block_2 = x + block_1
        x = relu(conv(p["e"], block_2, "SAME"))
        x = relu(conv(p["f"], x, "SAME"))
        block_3 = x + block_2
        x = relu(conv(p["g"], block_3))
        x = jnp.mean(x, axis=(1, 2))
        x = relu(dense(p["h"], x))
        if training:
            drop_key = jax.random.fold_in(jax.random.fold_in(key, 0), 0)
            kept = jax.random.bernoulli(drop_key, 0.5, x.shape)
            x = jnp.where(kept, x / 0.5, 0)
        return dense(p["i"], x)

    found = compare(toy_resnet(), by_hand, (4, 32, 32, 3), training)
    assert sum(line.startswith("conv_general") for line in found) == 7


def test_batch_normalization_in_inference_is_one_scale_and_one_shift():
    x = Input((8,))
    program = kgraph.lower(Model(x, BatchNormalization()(x)))
    variables = jax.eval_shape(program.init, KEY)
    data = jax.ShapeDtypeStruct((4, 8), jnp.float32)
    found = equations(lambda v, x: program.apply(v, x)[0], variables, data)
    full = [line for line in found if line.endswith("float32[4,8]")]
    assert len([line for line in full if not line.startswith("broadcast")]) <= 4


def vgg19() -> Model:
    inputs = x = Input((224, 224, 3))
    for filters, count in ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)):
        for _ in range(count):
            x = Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = MaxPooling2D(2)(x)
    x = Dense(4096, "relu")(Flatten()(x))
    x = Dense(4096, "relu")(x)
    return Model(inputs, Dense(1000, "softmax")(x))


def test_a_large_model_is_built_and_described_without_one_array():
    gc.collect()  # what earlier tests left would else go away meanwhile
    before = len(jax.live_arrays())
    model = vgg19()
    program = kgraph.lower(model)
    assert model.count_params() == 143_667_240
    key = jax.eval_shape(lambda: jax.random.key(0))
    described = jax.eval_shape(program.init, key)
    assert sum(leaf.size for leaf in jax.tree.leaves(described)) == 143_667_240
    assert len(jax.live_arrays()) <= before
