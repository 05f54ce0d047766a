"""The order of layers and weights on branching models is Keras' own, compared live."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np
import pytest

import kgraph


def residual(k: Any) -> Any:
    x = k.Input((8,), name="x")
    a = k.layers.Dense(5)(x)
    b = k.layers.Dense(6)(x)
    c = k.layers.Dense(5)(b)
    y = k.layers.Add()([c, a])
    return k.Model(x, k.layers.Dense(3)(y))


def uneven_branches(k: Any) -> Any:
    x, z = k.Input((4,), name="x"), k.Input((5,), name="z")
    deep = x
    for units in (7, 6, 5):
        deep = k.layers.Dense(units)(deep)
    flat = k.layers.Dense(9)(z)
    y = k.layers.Concatenate()([flat, deep, k.layers.Dense(8)(x)])
    return k.Model([x, z], [k.layers.Dense(2)(y), k.layers.Dense(11)(flat)])


def shared_layer(k: Any) -> Any:
    x, z = k.Input((4,), name="x"), k.Input((4,), name="z")
    shared = k.layers.Dense(4)
    one = shared(x)
    two = k.layers.Dense(6)(shared(k.layers.Dense(4, use_bias=False)(z)))
    return k.Model([z, x], k.layers.Concatenate()([two, k.layers.Dense(3)(one)]))


def nested_models(k: Any) -> Any:
    a = k.Input((4,))
    inner = k.Model(a, k.layers.BatchNormalization()(k.layers.Dense(4)(a)))
    x = k.Input((4,), name="x")
    y = k.layers.Dense(4, use_bias=False)(inner(x))
    return k.Model(x, k.layers.Add()([inner(y), k.layers.Dense(4)(x)]))


def normalised(k: Any) -> Any:
    x = k.Input((6,), name="x")
    y = k.layers.BatchNormalization()(k.layers.Dense(5)(x))
    y = k.layers.Dense(4)(k.layers.Dropout(0.5)(y))
    return k.Model(x, k.layers.BatchNormalization()(y))


def multiple_outputs(k: Any) -> Any:
    x = k.Input((4,), name="x")
    h = k.layers.Dense(8)(x)
    one = k.layers.Dense(2)(h)
    two = k.layers.Dense(3)(k.layers.Dense(7)(h))
    return k.Model(x, {"b": two, "a": one})


def inception(k: Any) -> Any:
    x = k.Input((9, 9, 3), name="x")
    branches = [
        k.layers.Conv2D(4, 1, padding="same")(x),
        k.layers.Conv2D(5, 3, padding="same")(k.layers.Conv2D(2, 1)(x)),
        k.layers.Conv2D(6, 1)(k.layers.MaxPooling2D(3, 1, padding="same")(x)),
    ]
    y = k.layers.Concatenate()(branches)
    y = k.layers.Concatenate()([y, k.layers.SeparableConv2D(3, 3, padding="same")(y), branches[0]])
    return k.Model(x, k.layers.Dense(2)(k.layers.GlobalAveragePooling2D()(y)))


def dicts(k: Any) -> Any:
    class Both(k.layers.Layer):
        def call(self, inputs):
            return inputs["z"] + inputs["c"]

    x = k.Input((4,), name="x")
    y = Both()({"z": k.layers.Dense(5)(x), "c": k.layers.Dense(5, use_bias=False)(x)})
    return k.Model(x, {"q": k.layers.Dense(2)(y), "b": k.layers.Dense(3)(y)})


def stack(k: Any) -> Any:
    return k.Sequential(
        [k.Input((4,)), k.layers.Dense(3), k.Sequential([k.layers.Dense(5)]), k.layers.Dense(2)]
    )


BUILDERS = [
    residual, uneven_branches, shared_layer, nested_models, normalised, multiple_outputs,
    inception, dicts, stack,
]  # fmt: skip


@pytest.mark.parametrize("build", BUILDERS)
def test_weights_have_keras_order(build: Callable[[Any], Any]):
    ours, theirs = build(kgraph), build(keras)
    assert [w.shape for w in ours.get_weights()] == [w.shape for w in theirs.get_weights()]
    assert [type(x).__name__ for x in ours.layers if not isinstance(x, kgraph.Model)] == [
        type(x).__name__ for x in theirs.layers if not isinstance(x, keras.Model)
    ]


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.usefixtures("relaxed")
def test_outputs_with_keras_weights_are_keras(build: Callable[[Any], Any]):
    ours, theirs = build(kgraph), build(keras)
    random = np.random.default_rng(0)
    weights = [np.abs(random.normal(size=w.shape)).astype(np.float32) for w in theirs.get_weights()]
    theirs.set_weights(weights)
    ours.set_weights(theirs.get_weights())
    data = [random.normal(size=(2, *s.shape[1:])).astype(np.float32) for s in ours.inputs]
    fed = data if len(data) > 1 else data[0]
    found, wanted = ours(fed), theirs(fed)
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted)):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
