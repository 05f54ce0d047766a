"""Stateful recurrent layers go on from call to call, in predictions and evaluations too."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kgraph
from kgraph import layers
from kgraph.errors import DataError

ONES = np.ones((1, 2, 1), np.float32)
ADDS: dict[str, Any] = {
    "kernel_initializer": "ones", "recurrent_initializer": "ones", "use_bias": False,
    "activation": "linear", "stateful": True,
}  # fmt: skip


class Sums(layers.Layer):
    """A cell written by a user: the state is the sum of what has come."""

    state_size = output_size = 1

    def call(self, inputs: Any, states: Any) -> Any:
        total = inputs + states[0]
        return total, [total]


def simple(**options: Any) -> layers.SimpleRNN:
    return layers.SimpleRNN(1, **ADDS, **options)


# All weights are 1: each step adds 1 to the state. Two cells: 1, 1+2=3, then 3+3=6, 6+4=10, ...
ROWS: dict[str, tuple[Callable[[], layers.RNN | layers.Bidirectional], list[float]]] = {
    "SimpleRNN": (simple, [2, 4, 6, 8, 14]),
    "Bidirectional": (lambda: layers.Bidirectional(simple()), [2, 4, 6, 8, 14]),
    "cell of a user": (lambda: layers.RNN(Sums(), stateful=True), [2, 4, 6, 8, 14]),
    "two cells": (lambda: layers.RNN([Sums(), Sums()], stateful=True), [3, 10, 21, 36, 105]),
}


@pytest.mark.parametrize("name", ROWS)
def test_the_state_goes_on_in_every_use(name: str) -> None:
    make, expected = ROWS[name]
    layer = make()
    inputs = kgraph.Input(batch_shape=(1, 2, 1))
    model = kgraph.Model(inputs, layer(inputs))
    model.compile("sgd", "mse")

    def first(outputs: Any) -> float:
        return float(np.ravel(outputs)[0])

    target = np.zeros_like(layer(ONES))
    layer.reset_state()
    found = [first(model.predict(ONES, verbose=0)) for _ in range(2)]
    found.append(first(model(ONES)))
    found.append(first(model.predict_on_batch(ONES)))
    model.evaluate(ONES, target, verbose=0)
    model.test_on_batch(ONES, target)
    found.append(first(model(ONES)))
    assert found == expected
    layer.reset_state()
    assert first(model.predict(ONES, verbose=0)) == expected[0]


def test_a_convolutional_layer_keeps_its_state_as_its_calls_do() -> None:
    """One call over four steps, and two over two steps each, of the same layer."""
    kgraph.utils.set_random_seed(9)
    steps = np.random.default_rng(9).normal(size=(1, 4, 3, 3, 1)).astype(np.float32)
    whole = layers.ConvLSTM2D(2, 2, padding="same")
    expected = whole(steps)
    inputs = kgraph.Input(batch_shape=(1, 2, 3, 3, 1))
    layer = layers.ConvLSTM2D(2, 2, padding="same", stateful=True)
    model = kgraph.Model(inputs, layer(inputs))
    layer.set_weights([*layer.get_weights()[:2], *whole.get_weights()])  # the state comes first
    model.predict(steps[:, :2], verbose=0)
    found = model.predict(steps[:, 2:], verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_batches_of_other_sizes_are_refused() -> None:
    model = kgraph.Sequential([kgraph.Input(batch_shape=(2, 2, 1), name="steps"), simple()])
    model.compile("sgd", "mse")
    x, y = np.ones((5, 2, 1), np.float32), np.ones((5, 1), np.float32)
    uses: list[Callable[[], object]] = [
        lambda: model.fit(x, y, batch_size=2, verbose=0),
        lambda: model.evaluate(x, y, batch_size=2, verbose=0),
        lambda: model.predict(x, batch_size=2, verbose=0),
        lambda: model(x[:1]),
    ]
    for use in uses:
        with pytest.raises(DataError, match=r"'steps'[\s\S]*\[2, 2, 1\][\s\S]*\[1, 2, 1\]"):
            use()
    assert model.predict(x[:4], batch_size=2, verbose=0).shape == (4, 1)
