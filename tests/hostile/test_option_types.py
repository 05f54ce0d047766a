"""Options of built-in objects have the types that constructors take, whatever a file says."""

from __future__ import annotations

import inspect
import json

import keras as oracle
import pytest

import kgraph as keras
from kgraph import registry
from kgraph.errors import ConfigError
from kgraph.keras_forms import MEANINGLESS
from kgraph.option_types import _fits, _hints, check_option_types

KINDS = ("layer", "metric", "loss", "optimizer", "initializer", "regularizer", "constraint")


@pytest.mark.parametrize(
    ("make", "option", "value"),
    [
        (keras.layers.Dense, "use_bias", "x"),
        (keras.layers.Dense, "units", "3"),
        (keras.layers.Dense, "units", True),
        (keras.layers.Dense, "trainable", 3),
        (keras.layers.Dense, "name", ["a"]),
        (keras.layers.Conv2D, "strides", "12"),
        (keras.layers.Conv2D, "dilation_rate", [1, "1"]),
        (keras.layers.LSTM, "return_sequences", 1),
        (keras.layers.Dropout, "rate", "0.5"),
        (keras.optimizers.Adam, "beta_1", "0.9"),
        (keras.optimizers.SGD, "nesterov", "no"),
        (keras.metrics.AUC, "multi_label", 1),
        (keras.losses.Huber, "delta", [1.0]),
        (keras.initializers.RandomNormal, "mean", "zero"),
    ],
)
def test_an_option_of_another_type_is_refused_by_name(make, option, value):
    needed = {"units": 3, "filters": 3, "kernel_size": 2, "rate": 0.5}
    known = inspect.signature(make.__init__).parameters
    config = {name: value for name, value in needed.items() if name in known} | {option: value}
    with pytest.raises(ConfigError, match=rf"{make.__name__} cannot have this `{option}`"):
        make.from_config(config)


NEEDED = {"MultiOptimizer": {"optimizer_map": []}, "Sequential": {"layers": []}}


def _own_classes() -> set[type]:
    for kind in KINDS:
        registry.registered_names(kind)
    return {thing for thing in registry._own.values() if inspect.isclass(thing)}


def test_no_class_takes_an_option_of_another_type_from_a_file():
    tried, taken = 0, []
    for cls in _own_classes():
        for option, hint in _hints(cls).items():
            wrong = next((v for v in ("x", 1.5, [["x"]]) if not _fits(v, hint)), None)
            if option == "return" or wrong is None or option in MEANINGLESS.get(cls.__name__, ()):
                continue
            tried += 1
            try:
                cls.from_config({**NEEDED.get(cls.__name__, {}), option: wrong})
                taken.append(f"{cls.__name__}: {option}")
            except ConfigError as error:
                if option not in str(error):
                    taken.append(f"{cls.__name__}: {option}: {error}")
            except Exception as error:
                taken.append(f"{cls.__name__}: {option}: {error!r}")
    assert tried > 1000, tried
    assert not taken, taken


def test_models_too_are_trainable_or_not():
    x = keras.Input((3,))
    for model in (keras.Model(x, keras.layers.Dense(2)(x)), keras.Sequential([x])):
        with pytest.raises(ConfigError, match=r"this `trainable`\n.*bool[\s\S]*3 \(int\)"):
            type(model).from_config({**model.get_config(), "trainable": 3})
    theirs = json.loads(oracle.Sequential([oracle.Input((3,)), oracle.layers.Dense(2)]).to_json())
    theirs["config"]["trainable"] = 3
    with pytest.raises(ConfigError, match=r"another type[\s\S]*`trainable`[\s\S]*3"):
        keras.models.model_from_json(json.dumps(theirs))


def test_every_default_is_of_a_type_that_its_constructor_takes():
    classes = _own_classes()
    assert len(classes) > 250
    for cls in classes:
        options = inspect.signature(cls.__init__).parameters.values()
        check_option_types(
            cls, {p.name: p.default for p in options if p.default is not inspect.Parameter.empty}
        )


def test_a_class_of_the_users_own_decides_for_itself():
    class Mine(keras.layers.Layer):
        def __init__(self, size: int, **options):
            super().__init__(**options)
            self.size = size

    assert Mine.from_config({"size": "large"}).size == "large"
