"""Options and calls that programs written for Keras have: they run, or are refused by name."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import kgraph
from kgraph.errors import ConfigError, StateError

X = np.arange(12, dtype="float32").reshape(4, 3)


@pytest.fixture(autouse=True)
def relaxed():
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.mark.filterwarnings("ignore:implementation has no effect")
@pytest.mark.parametrize("name", ["LSTM", "GRU", "LSTMCell", "GRUCell"])
def test_implementation_is_taken_and_no_part_of_the_config(name: str):
    old: Any = {"implementation": 1}
    layer, plain = (getattr(kgraph.layers, name)(2, **o) for o in (old, {}))
    assert layer.get_config().keys() == plain.get_config().keys()
    with pytest.raises(ConfigError, match="no option 'implementation'"):
        kgraph.layers.Dense(2, **old)


def test_implementation_is_warned_of():
    old: Any = {"implementation": 2}
    with pytest.warns(UserWarning, match="implementation has no effect"):
        kgraph.layers.LSTM(2, **old)


def test_an_activation_that_is_taken_away():
    def used(api: Any) -> list[np.ndarray]:
        found = []
        for layer, inputs in (
            (api.layers.Dense(2, "tanh", kernel_initializer="ones"), X),
            (api.layers.Conv1D(2, 2, activation="tanh", kernel_initializer="ones"), X[..., None]),
            (api.layers.EinsumDense("ab,bc->ac", 2, "tanh", kernel_initializer="ones"), X),
        ):
            layer.activation = None
            found.append(np.asarray(layer(inputs)))
        return found

    for ours, theirs in zip(used(kgraph), used(keras), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_layers_of_whole_numbers():
    def used(api: Any) -> tuple[str, ...]:
        layer = api.layers.Flatten(dtype="int32")
        outputs = [layer(np.ones((2, 3), dtype)) for dtype in ("int32", "float32")]
        return layer.compute_dtype, *(str(array.dtype) for array in outputs)

    assert used(kgraph) == used(keras) == ("int32", "int32", "int32")


def test_a_model_without_an_optimizer_is_evaluated():
    def used(api: Any) -> list[float]:
        model = api.Sequential([api.Input((3,)), api.layers.Dense(1, kernel_initializer="ones")])
        model.compile(optimizer=None, loss="mse", metrics=["mae"])
        found = model.evaluate(X, X[:, :1], verbose=0)
        if api is kgraph:
            with pytest.raises(StateError, match="no optimizer, which fit needs"):
                model.fit(X, X[:, :1], verbose=0)
        return found

    np.testing.assert_allclose(used(kgraph), used(keras), rtol=1e-6)


def test_small_ones():
    numbers = kgraph.utils.to_categorical(jnp.array([0, 2]))
    assert isinstance(numbers, jax.Array)
    assert isinstance(kgraph.utils.normalize(jnp.ones((2, 2))), jax.Array)
    assert isinstance(kgraph.utils.to_categorical([0, 2]), np.ndarray)
    assert kgraph.constraints.Constraint()(numbers) is numbers
    mask = jnp.ones((2, 3), bool)
    assert kgraph.layers.Attention().compute_mask([X, X], mask=[mask, None]) is mask


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (lambda: kgraph.layers.LayerNormalization(rms_scaling=True), "RMSNormalization"),  # type: ignore[call-arg]
        (lambda: kgraph.Input(batch_shape=()), "no batch axis"),
        (lambda: kgraph.callbacks.BackupAndRestore(None), "needs a folder"),  # type: ignore[arg-type]
    ],
)
def test_what_is_refused_says_what_to_write(made: Any, text: str):
    with pytest.raises(ConfigError, match=text):
        made()
