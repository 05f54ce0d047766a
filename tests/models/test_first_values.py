"""Initial values, and the draws of the first training, are the same whatever is asked first."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import kgraph
from kgraph import layers

X = np.linspace(-1, 1, 24, dtype=np.float32).reshape(8, 3)


def functional() -> kgraph.Model:
    inputs = kgraph.Input((3,))
    x = layers.Dense(4, activation="relu", name="hidden")(inputs)
    return kgraph.Model(inputs, layers.Dropout(0.5)(layers.Dense(2)(x)))


def nested() -> kgraph.Model:
    inner = functional()
    inputs = kgraph.Input((3,))
    return kgraph.Model(inputs, layers.Dense(2)(inner(inputs)))


def repeated() -> kgraph.Model:
    """Returns a model whose blocks are stacked."""
    blocks = [layers.Dense(3, activation="tanh") for _ in range(40)]
    return kgraph.Sequential([kgraph.Input((3,)), *blocks, layers.Dense(2)])


def open_sequential() -> kgraph.Model:
    return kgraph.Sequential([layers.Dense(4, name="hidden"), layers.Dense(2)])


class Subclassed(kgraph.Model):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = layers.Dense(4, activation="relu")
        self.heads = [layers.Dense(2), layers.Bidirectional(layers.GRU(1))]
        self.drop = layers.Dropout(0.5)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        steps = self.heads[1](inputs[:, :, None])
        return self.drop(self.heads[0](self.hidden(inputs)) + steps, training=training)


MODELS = [
    functional, Subclassed,
    *(pytest.param(make, marks=pytest.mark.slow) for make in (nested, repeated, open_sequential)),
]  # fmt: skip

FIRST: dict[str, Callable[[kgraph.Model], Any]] = {
    "predict": lambda model: model.predict(X, verbose=0),
    "call": lambda model: model(X),
    "evaluate": lambda model: model.evaluate(X, X[:, :2], verbose=0),
    "weights": lambda model: (model.build((None, 3)), model.get_weights()),
    "one layer": lambda model: (
        model.build((None, 3)),
        [w.numpy() for layer in model.layers[::-1] for w in layer.weights],
    ),
    "a copy": lambda model: copy.deepcopy(model),
}


def trained(make: Callable[[], kgraph.Model], first: Callable[[kgraph.Model], Any]) -> Any:
    kgraph.utils.set_random_seed(3)
    model = make()
    model.compile("sgd", "mse")
    first(model)
    model.fit(X, X[:, :2], batch_size=4, epochs=2, verbose=0)
    return model.get_weights()


@pytest.mark.parametrize("make", MODELS)
def test_nothing_that_comes_first_changes_a_number(make: Callable[[], kgraph.Model]) -> None:
    expected = trained(make, lambda model: None)
    for name, first in FIRST.items():
        for one, other in zip(trained(make, first), expected, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=name)


def test_the_usual_order_draws_what_it_always_drew() -> None:
    kgraph.utils.set_random_seed(3)
    model = functional()
    model.compile(kgraph.optimizers.SGD(0.0), "mse")
    model.fit(X, X[:, :2], verbose=0)
    program = kgraph.lower(model)
    key = jnp.array([3, 1], jnp.uint32)  # the second of the stream: the first is the training's
    for path, array in [("hidden", model.weights[0]), ("dense", model.weights[2])]:
        expected = program.init(key)["params"][path]["kernel"]
        np.testing.assert_allclose(array.numpy(), expected, rtol=1e-6)


def test_a_layer_that_two_models_share_has_the_values_of_the_first() -> None:
    def values(first: int) -> list[np.ndarray]:
        kgraph.utils.set_random_seed(5)
        inner = functional()
        outer = kgraph.Model(inner.inputs[0], layers.Dense(1)(inner.outputs[0]))
        for model in ([inner, outer], [outer, inner])[first]:
            model.predict(X, verbose=0)
        return inner.get_weights()

    for one, other in zip(values(0), values(1), strict=True):
        np.testing.assert_array_equal(one, other)


def test_saving_and_loading_draw_nothing(tmp_path: Path) -> None:
    def next_weights(path: Path | None) -> list[np.ndarray]:
        kgraph.utils.set_random_seed(6)
        model = functional()
        model.predict(X, verbose=0)
        if path is not None:
            model.save(path)
            kgraph.saving.load_model(path)
        return functional().get_weights()

    expected = next_weights(None)
    for name in ("a.kgraph", "a.keras"):
        for one, other in zip(next_weights(tmp_path / name), expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_seed_that_is_set_later_counts() -> None:
    def weights(seed: int) -> list[np.ndarray]:
        kgraph.utils.set_random_seed(0)
        model = functional()
        model.compile("sgd", "mse")
        model.predict(X, verbose=0)
        kgraph.utils.set_random_seed(seed)
        model.fit(X, X[:, :2], batch_size=4, verbose=0)
        return model.get_weights()

    assert not np.array_equal(weights(1)[0], weights(2)[0])
    np.testing.assert_array_equal(weights(1)[0], weights(1)[0])
