"""find_learning_rate: it trains a copy, and what it suggests is where the loss falls fastest."""

import matplotlib as mpl
import numpy as np
import optax
import pytest

import kgraph as keras
from kgraph import layers
from kgraph.errors import ConfigError, StateError
from kgraph.models.learning_rate import LearningRates
from kgraph.optimizers.learning_rate import LearningRateError

mpl.use("agg")
X = np.random.default_rng(0).normal(size=(256, 4)).astype("float32")
Y = X @ np.array([[1.0], [-2.0], [0.5], [3.0]], "float32")


def model(optimizer="sgd"):
    inputs = keras.Input((4,))
    made = keras.Model(inputs, layers.Dense(1)(inputs))
    made.compile(optimizer, "mse")
    return made


def test_a_copy_is_trained_and_a_useful_rate_found(tmp_path):
    made = model(keras.optimizers.SGD(0.123))
    before = made.get_weights()
    found = made.find_learning_rate(X, Y, highest=100.0)
    assert all(np.array_equal(a, b) for a, b in zip(before, made.get_weights()))
    assert float(made.optimizer.learning_rate) == np.float32(0.123)
    assert int(made.optimizer.iterations) == 0
    assert 1e-2 < found.suggestion < 2.0  # it diverges at about 1
    assert len(found.losses) < 100  # ended when the loss grew
    assert f"{found.suggestion:.2g} is where" in repr(found)
    axis = found.plot(tmp_path / "rates.png").axes[0]
    assert axis.get_xscale() == "log"
    assert (tmp_path / "rates.png").exists()
    made.optimizer.learning_rate = found.suggestion
    assert made.fit(X, Y, epochs=9, verbose=0).history["loss"][-1] < 0.2


def test_losses_are_those_of_single_steps():
    rates = np.geomspace(1e-12, 1e-11, 20)  # nothing is learned: each loss is that of its batch
    made = model()
    found = made.find_learning_rate(
        X[:64], Y[:64], batch_size=64, lowest=rates[0], highest=rates[-1], steps=20
    )
    whole = made.evaluate(X[:64], Y[:64], verbose=0)
    np.testing.assert_allclose(found.losses, np.full(20, whole), rtol=1e-4)
    np.testing.assert_allclose(found.rates, rates)


def test_the_suggestion_is_before_the_least_loss():
    rates = np.geomspace(1e-4, 1.0, 5)
    assert LearningRates(rates, np.array([5.0, 4.9, 2.5, 1.9, 9.0])).suggestion == rates[2]


def test_a_schedule_is_no_obstacle():
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 100)
    plain = model(keras.optimizers.SGD(schedule))
    assert plain.find_learning_rate(X, Y).suggestion > 0
    scaled = model(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(schedule)))
    assert scaled.find_learning_rate(X, Y, steps=20).suggestion > 0


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="rates that grow"):
        model().find_learning_rate(X, Y, lowest=1.0, highest=0.1)
    with pytest.raises(StateError, match="must be compiled before find_learning_rate"):
        keras.Sequential([layers.Dense(1)]).find_learning_rate(X, Y)
    with pytest.raises(StateError, match="has no optimizer"):
        model(None).find_learning_rate(X, Y)
    with pytest.raises(LearningRateError, match="cannot be set"):
        model(optax.adam(0.1)).find_learning_rate(X, Y)
    broken = model()
    with pytest.raises(StateError, match="no number from the beginning"), pytest.warns(match="nan"):
        broken.find_learning_rate(np.full_like(X, np.nan), Y)
