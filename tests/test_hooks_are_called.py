"""Every name that the table of hooks calls honoured: a class that overrides it is asked."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import pytest

import kgraph
from kgraph.hooks import HOOKS

pytestmark = pytest.mark.filterwarnings("ignore:.*what nobody registered")

NO_METHODS = {"load_assets", "save_assets"}  # of the base: tests/saving/test_own_state.py has them
X = np.arange(24, dtype="float32").reshape(6, 4) / 10
Y = X[:, :1]


def asked(cls: type, name: str) -> tuple[type, list[str]]:
    """Returns a subclass that does the same, and notes when a name of it is asked for."""
    calls: list[str] = []
    held: Any = next(vars(base)[name] for base in cls.__mro__ if name in vars(base))
    if isinstance(held, classmethod):
        own: Any = classmethod(_noting(held.__func__, calls))
    elif isinstance(held, property):
        own = property(_noting(held.fget, calls), held.fset)
    else:
        own = _noting(held, calls)
    made = type("Mine", (cls,), {name: own, "__module__": __name__})
    return made, calls


def _noting(function: Any, calls: list[str]) -> Any:
    @functools.wraps(function)
    def noted(*args: Any, **kwargs: Any) -> Any:
        calls.append(function.__name__)
        return function(*args, **kwargs)

    return noted


def model_of(cls: Any = kgraph.Model, layer: Any = None, **compiled: Any) -> Any:
    inputs = kgraph.Input((4,))
    model = cls(inputs, (layer or kgraph.layers.Dense(1))(inputs))
    model.compile(**{"optimizer": "sgd", "loss": "mse", **compiled})
    return model


def used(model: Any, folder: Path, *classes: type) -> None:
    """Does with a model what programs do."""
    model.fit(X, Y, batch_size=4, epochs=2, verbose=0, validation_data=(X, Y))
    model.evaluate(X, Y, verbose=0)
    model.predict(X, verbose=0)
    model(X)
    model.save(folder / "model.kgraph")
    named = {cls.__name__: cls for cls in classes}
    kgraph.models.load_model(folder / "model.kgraph", custom_objects=named)


@pytest.mark.slow
@pytest.mark.parametrize("name", HOOKS["Model"].honoured.split())
def test_hooks_of_a_model(name: str, tmp_path: Path) -> None:
    cls, calls = asked(kgraph.Model, name)
    used(model_of(cls, metrics=["mae"]), tmp_path, cls)
    assert calls


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*HOOKS["Layer"].honoured.split()} - NO_METHODS))
def test_hooks_of_a_layer(name: str, tmp_path: Path) -> None:
    class Adds(kgraph.layers.Dense):
        def call(self, inputs):
            outputs = super().call(inputs)
            self.add_loss(outputs.sum())
            return outputs

    cls, calls = asked(Adds, name)
    used(model_of(layer=cls(1)), tmp_path, cls)
    assert calls


@pytest.mark.slow
@pytest.mark.parametrize("name", HOOKS["Loss"].honoured.split())
def test_hooks_of_a_loss(name: str, tmp_path: Path) -> None:
    cls, calls = asked(kgraph.losses.MeanSquaredError, name)
    used(model_of(loss=cls()), tmp_path, cls)
    assert calls or name == "dtype"  # which is what it is told to be


@pytest.mark.slow
@pytest.mark.parametrize("name", HOOKS["Metric"].honoured.split())
def test_hooks_of_a_metric(name: str, tmp_path: Path) -> None:
    class Total(kgraph.metrics.Metric):
        def __init__(self, **options):
            super().__init__(**options)
            self.total = self.add_weight(name="total")
            self.more = self.add_variable((), "zeros", name="more")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.total.assign_add(y_true.sum())

        def result(self):
            return self.total + 0.0

    cls, calls = asked(Total, name)
    used(model_of(metrics=[cls()]), tmp_path, cls)
    assert calls or name == "dtype"


@pytest.mark.slow
@pytest.mark.parametrize("name", HOOKS["LearningRateSchedule"].honoured.split())
def test_hooks_of_a_schedule(name: str, tmp_path: Path) -> None:
    cls, calls = asked(kgraph.optimizers.schedules.ExponentialDecay, name)
    used(model_of(optimizer=kgraph.optimizers.SGD(cls(0.1, 2, 0.5))), tmp_path, cls)
    assert calls


@pytest.mark.slow
@pytest.mark.parametrize("option", ["regularizer", "constraint", "initializer"])
def test_hooks_of_what_weights_are_made_with(option: str, tmp_path: Path) -> None:
    bases = {
        "regularizer": (kgraph.regularizers.L2, "Regularizer"),
        "constraint": (kgraph.constraints.NonNeg, "Constraint"),
        "initializer": (kgraph.initializers.HeNormal, "Initializer"),
    }
    base, table = bases[option]
    for name in HOOKS[table].honoured.split():
        cls, calls = asked(base, name)
        used(model_of(layer=kgraph.layers.Dense(1, **{f"kernel_{option}": cls()})), tmp_path, cls)
        assert calls, name


def test_a_layer_with_a_call_operator_of_its_own_is_called_once() -> None:
    counted = []
    for api in (keras, kgraph):
        cls, calls = asked(api.layers.Dense, "__call__")
        inputs = api.Input((4,))
        layer = cls(1)
        model = api.Model(inputs, layer(inputs))
        numbers = [len(calls)]
        with jax.numpy_rank_promotion("allow"):
            for called in (layer, model):
                calls.clear()
                called(X)
                numbers.append(len(calls))
        counted.append(numbers)
    assert counted[1] == counted[0] == [1, 1, 1]


def test_the_convolution_and_the_mask_of_attention_are_asked_for() -> None:
    def outputs(api: Any) -> Any:
        class Standardized(api.layers.Conv2D):
            def convolution_op(self, inputs, kernel):
                return super().convolution_op(inputs, kernel - api.ops.mean(kernel))

        class Near(api.layers.MultiHeadAttention):
            def _compute_attention_mask(self, query, value, *args: Any, **kwargs: Any):
                mask: Any = super()._compute_attention_mask(query, value, *args, **kwargs)
                steps = np.arange(query.shape[1])
                return mask & (np.abs(steps[:, None] - steps) < 2)[None]

        found = []
        image = np.arange(32, dtype="float32").reshape(1, 4, 4, 2)
        every = np.ones((2, 4, 4), bool)  # without one, Keras leaves causal masks to its backend
        series = np.cos(np.arange(24, dtype="float32")).reshape(2, 4, 3)
        for layer, args, options in (
            (Standardized(2, 2), (image,), {}),
            (Near(2, 2), (series, series), {"use_causal_mask": True, "attention_mask": every}),
        ):
            layer(*args, **options)
            random = np.random.default_rng(0)
            layer.set_weights([random.normal(size=w.shape) for w in layer.get_weights()])
            found.append(np.asarray(layer(*args, **options)))
        return found

    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        expected = outputs(keras)
    for ours, theirs in zip(outputs(kgraph), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
