"""The table of hooks: complete, and what it refuses is refused by name."""

from __future__ import annotations

import inspect

import jax
import keras
import numpy as np
import pytest

import kgraph
from kgraph.errors import ConfigError
from kgraph.hooks import HOOKS, Hooks

BASES = {
    "Model": (keras.Model, keras.Layer),
    "Sequential": (keras.Sequential, keras.Model),
    "Layer": (keras.Layer, object),
    "Loss": (keras.losses.Loss, object),
    "Metric": (keras.metrics.Metric, object),
    "Optimizer": (keras.optimizers.Optimizer, object),
    "LearningRateSchedule": (keras.optimizers.schedules.LearningRateSchedule, object),
    "Regularizer": (keras.regularizers.Regularizer, object),
    "Constraint": (keras.constraints.Constraint, object),
    "Initializer": (keras.initializers.Initializer, object),
    "Callback": (keras.callbacks.Callback, object),
    "PyDataset": (keras.utils.PyDataset, object),
}
NOT_IN_KERAS = {"save_assets", "load_assets"}  # documented by Keras, and on none of its classes
BEHIND_THE_BASE = {"metrics"}  # of Layer and of Model, which do different things with it


def names_of(hooks: Hooks) -> list[str]:
    said = [*hooks.honoured.split(), *hooks.no_hook.split()]
    return [*said, *hooks.refused, *hooks.refused_by_save]


def overridable(cls: type, base: type) -> set[str]:
    def counts(name: str) -> bool:
        public = name in ("__call__", "__getitem__") or not name.startswith("_")
        return public and not isinstance(inspect.getattr_static(cls, name), type)

    return {name for name in dir(cls) if counts(name) and name not in dir(base)}


@pytest.mark.parametrize("base", BASES)
def test_the_table_has_every_name_of_keras(base):
    assert set(names_of(HOOKS[base])) - NOT_IN_KERAS - BEHIND_THE_BASE == (
        overridable(*BASES[base]) - BEHIND_THE_BASE
    )


@pytest.mark.parametrize("base", BASES)
def test_each_name_stands_once(base):
    names = names_of(HOOKS[base])
    assert sorted(names) == sorted(set(names))


def model_overriding(name: str) -> kgraph.Model:
    cls = type("Mine", (kgraph.Model,), {name: lambda self, *args, **kwargs: None})
    inputs = kgraph.Input((2,))
    return cls(inputs, kgraph.layers.Dense(1)(inputs))


@pytest.mark.parametrize("name", HOOKS["Model"].refused)
def test_a_model_that_overrides_what_is_not_called_is_refused(name):
    with pytest.raises(ConfigError, match=rf"Mine overrides {name}, .*\n  at .*test_hooks.py:\d+"):
        model_overriding(name).compile("sgd", "mse")


def test_a_model_with_a_compile_of_its_own_is_refused_by_fit():
    class Mine(kgraph.Sequential):
        def compile(self, *args, **kwargs):
            pass

        def make_train_function(self, force=False):
            raise AssertionError

    model = Mine([kgraph.Input((2,)), kgraph.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ConfigError, match="make_train_function"):
        model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0)


@pytest.mark.parametrize("name", HOOKS["Optimizer"].refused)
def test_an_optimizer_that_overrides_what_is_not_called_is_refused(name):
    cls = type("Mine", (kgraph.optimizers.SGD,), {name: lambda self, *args: None})
    model = kgraph.Sequential([kgraph.Input((2,)), kgraph.layers.Dense(1)])
    with pytest.raises(ConfigError, match=f"Mine overrides {name}, "):
        model.compile(object.__new__(cls), "mse")


def test_a_metric_starts_from_its_own_reset_state():
    model = kgraph.Sequential([kgraph.Input((1,)), kgraph.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=[Sum(name="sum")])
    ones = np.ones((4, 1), np.float32)
    for _ in range(2):  # the second one starts anew
        assert model.evaluate(ones, ones, verbose=0, return_dict=True)["sum"] == 104.0


class Sum(kgraph.metrics.Metric):
    def __init__(self, **options):
        super().__init__(**options)
        self.seen = self.add_weight(name="seen")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.seen = self.seen + y_true.sum()

    def reset_state(self):
        self.seen = self.seen * 0 + 100.0

    def result(self):
        return self.seen


def test_a_loss_with_its_own_call_operator_is_given_what_keras_gives_it():
    def loss_of(api):
        class Halved(api.losses.MeanSquaredError):
            def __call__(self, y_true, y_pred, sample_weight=None):
                return super().__call__(y_true, y_pred, sample_weight) / 2

        layer = api.layers.Dense(1, kernel_initializer="ones")
        model = api.Sequential([api.Input((2,)), layer])
        model.compile("sgd", Halved())
        x, y = np.ones((5, 2), np.float32), np.zeros((5, 1), np.float32)
        return model.evaluate(x, y, sample_weight=np.arange(5.0), batch_size=2, verbose=0)

    with jax.numpy_rank_promotion("allow"):
        expected = loss_of(keras)
    assert loss_of(kgraph) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", HOOKS["Layer"].refused)
def test_a_layer_that_overrides_what_is_not_called_is_refused(name):
    cls = type("Mine", (kgraph.layers.Dense,), {name: lambda self, *args: None})
    with pytest.raises(ConfigError, match=f"Mine overrides {name}, "):
        cls(2)
