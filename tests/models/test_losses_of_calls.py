"""What a call on arrays adds to `model.losses`."""

from typing import Any

import jax.numpy as jnp
import numpy as np

import kgraph
from kgraph import layers

X = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)


class Adds(layers.Layer):
    def call(self, inputs: Any) -> Any:
        self.add_loss(jnp.sum(inputs))
        return inputs


def test_losses_of_the_last_call() -> None:
    inputs = kgraph.Input((2,))
    model = kgraph.Model(inputs, layers.Activation("linear", activity_regularizer="l2")(
        Adds()(inputs)
    ))  # fmt: skip
    assert model.losses == []
    model(X)
    # 1 + 2 + 3 + 4, and 0.01 (1 + 4 + 9 + 16) over two rows
    np.testing.assert_allclose([float(loss) for loss in model.losses], [10.0, 0.15], rtol=1e-6)
    model(X[:1], training=True)
    np.testing.assert_allclose([float(loss) for loss in model.losses], [3.0, 0.05], rtol=1e-6)


def test_losses_of_the_call_and_of_weights() -> None:
    model = kgraph.Sequential([
        kgraph.Input((2,)), Adds(),
        layers.Dense(1, kernel_initializer="ones", kernel_regularizer="l2"),
    ])  # fmt: skip
    model(X)
    np.testing.assert_allclose([float(loss) for loss in model.losses], [10.0, 0.02], rtol=1e-6)
