"""Classes and functions of the user's own in `.keras` files: every kind, both ways, three names."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras_models import relaxed

import kgraph
from kgraph.errors import ConfigError, ModelFileError

X = np.linspace(-1, 1, 12, dtype="float32").reshape(4, 3)
Y = np.ones((4, 2), "float32")


def own_things(K: Any) -> dict[str, Any]:
    """Returns one thing of each kind, as a user of Keras writes it."""

    class MyLoss(K.losses.Loss):
        def __init__(self, factor: float = 2.0, name: str = "my_loss", **options: Any) -> None:
            super().__init__(name=name, **options)
            self.factor = factor

        def call(self, y_true: Any, y_pred: Any) -> Any:
            return self.factor * K.ops.mean(K.ops.square(y_true - y_pred), -1)

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "factor": self.factor}

    class MyMetric(K.metrics.Metric):
        def __init__(self, factor: float = 2.0, name: str = "my_metric", **options: Any) -> None:
            super().__init__(name=name, **options)
            self.factor = factor
            self.total = self.add_weight(shape=(), initializer="zeros", name="total")

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            self.total.assign_add(self.factor * K.ops.sum(y_pred))

        def result(self) -> Any:
            return self.total / 1.0

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "factor": self.factor}

    class MySchedule(K.optimizers.schedules.LearningRateSchedule):
        def __init__(self, rate: float = 0.5) -> None:
            self.rate = rate

        def __call__(self, step: Any) -> Any:
            return self.rate / (1.0 + K.ops.cast(step, "float32"))

        def get_config(self) -> dict[str, Any]:
            return {"rate": self.rate}

    class MyRegularizer(K.regularizers.Regularizer):
        def __init__(self, factor: float = 0.1) -> None:
            self.factor = factor

        def __call__(self, x: Any) -> Any:
            return self.factor * K.ops.sum(K.ops.abs(x))

        def get_config(self) -> dict[str, Any]:
            return {"factor": self.factor}

    class MyInitializer(K.initializers.Initializer):
        def __init__(self, value: float = 0.25) -> None:
            self.value = value

        def __call__(self, shape: Any, dtype: Any = None, **_: Any) -> Any:
            return K.ops.full(shape, self.value, dtype=dtype)

        def get_config(self) -> dict[str, Any]:
            return {"value": self.value}

    class MyConstraint(K.constraints.Constraint):
        def __init__(self, most: float = 0.1) -> None:
            self.most = most

        def __call__(self, w: Any) -> Any:
            return K.ops.clip(w, -self.most, self.most)

        def get_config(self) -> dict[str, Any]:
            return {"most": self.most}

    class MyActivation:
        def __init__(self, factor: float = 3.0) -> None:
            self.factor = factor

        def __call__(self, x: Any) -> Any:
            return self.factor * x

        def get_config(self) -> dict[str, Any]:
            return {"factor": self.factor}

        @classmethod
        def from_config(cls, config: Any) -> Any:
            return cls(**config)

    class MyLayer(K.layers.Layer):
        def __init__(self, factor: float = 2.0, **options: Any) -> None:
            super().__init__(**options)
            self.factor = factor

        def call(self, inputs: Any) -> Any:
            return self.factor * inputs

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "factor": self.factor}

    class MyModel(K.Model):
        def __init__(self, units: int = 2, **options: Any) -> None:
            super().__init__(**options)
            self.units = units
            self.dense = K.layers.Dense(units)

        def build(self, input_shape: Any) -> None:
            self.dense.build(input_shape)
            self.built = True

        def call(self, inputs: Any) -> Any:
            return self.dense(inputs)

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "units": self.units}

    def my_loss_function(y_true: Any, y_pred: Any) -> Any:
        return K.ops.mean(K.ops.abs(y_true - y_pred), -1)

    def my_activation(x: Any) -> Any:
        return K.ops.maximum(x, 0.1 * x)

    things = [
        MyLoss, MyMetric, MySchedule, MyRegularizer, MyInitializer, MyConstraint, MyActivation,
        MyLayer, MyModel, my_loss_function, my_activation,
    ]  # fmt: skip
    return {thing.__name__: thing for thing in things}


KINDS = tuple(own_things(kgraph))


def model_with(K: Any, name: str, thing: Any) -> Any:
    """Returns a compiled model in which a thing of one's own has its place."""
    options: dict[str, dict[str, Any]] = {
        "MyRegularizer": {"kernel_regularizer": thing},
        "MyInitializer": {"kernel_initializer": thing},
        "MyConstraint": {"kernel_constraint": thing},
        "MyActivation": {"activation": thing},
        "my_activation": {"activation": thing},
    }
    given = thing() if isinstance(thing, type) else thing
    dense = dict.fromkeys(options.get(name, {}), given)
    x = K.Input((3,))
    if name == "MyModel":
        model = given
        model(K.ops.convert_to_tensor(X))
    else:
        y = K.layers.Dense(2, **dense)(x)
        model = K.Model(x, given(y) if name == "MyLayer" else y)
    rate = given if name == "MySchedule" else 0.1
    loss = given if name in ("MyLoss", "my_loss_function") else "mse"
    metrics = [given] if name == "MyMetric" else None
    model.compile(K.optimizers.SGD(rate), loss=loss, metrics=metrics)
    return model


@contextmanager
def known(K: Any, how: str, name: str, thing: Any) -> Iterator[dict[str, Any]]:
    """Makes a thing known to loads in one of the three ways; yields the options of `load_model`."""
    label = None
    if how == "scope":
        with K.saving.custom_object_scope({name: thing}):
            yield {}
    elif how == "registered":
        K.saving.register_keras_serializable("tests")(thing)
        label = f"tests>{name}"
        yield {}
        K.saving.get_custom_objects().pop(label)
    else:
        yield {"custom_objects": {name: thing}}


def cases() -> Iterator[Any]:
    """Yields each kind with each way; in the quick suite every kind has one of them."""
    ways = ("registered", "scope", "custom_objects")
    for i, name in enumerate(KINDS):
        for how in ways:
            slow = () if how == ways[i % 3] else (pytest.mark.slow,)
            yield pytest.param(name, how, marks=slow, id=f"{name}-{how}")


@pytest.mark.filterwarnings("ignore:.*what nobody registered")
@pytest.mark.parametrize(("name", "how"), list(cases()))
def test_a_thing_of_ones_own_goes_both_ways(tmp_path: Path, name: str, how: str) -> None:
    ours, theirs = own_things(kgraph)[name], own_things(keras)[name]
    path, back = tmp_path / "theirs.keras", tmp_path / "ours.keras"
    with relaxed(), known(keras, how, name, theirs) as keras_options:
        model = model_with(keras, name, theirs)
        model.save(path)
        with known(kgraph, how, name, ours) as options:
            loaded = kgraph.models.load_model(path, **options)
            reported = loaded.train_on_batch(X, Y, return_dict=True)
            assert reported == pytest.approx(model.train_on_batch(X, Y, return_dict=True))
            loaded.save(back)
        again: Any = keras.models.load_model(back, **keras_options)
    assert name in zipfile.ZipFile(back).read("config.json").decode()
    assert again.optimizer.iterations.numpy() == 1
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def saved_kinds(suffix: str) -> list[Any]:
    return [pytest.param(name, suffix, id=f"{name}{suffix}") for name in KINDS]


@pytest.mark.parametrize(("name", "suffix"), saved_kinds(".keras") + saved_kinds(".kgraph"))
def test_what_nobody_registered_is_named_by_the_save(
    tmp_path: Path, name: str, suffix: str
) -> None:
    thing = own_things(kgraph)[name]
    path = tmp_path / f"m{suffix}"
    how = rf"{name}. Decorate it with @kgraph.saving.reg.*custom_objects=\{{'{name}': {name}\}}"
    model = model_with(kgraph, name, thing)
    with pytest.warns(UserWarning, match=how):
        model.save(path)
    with pytest.raises(ModelFileError, match=rf"{name}[\s\S]*custom_objects="):
        kgraph.models.load_model(path)
    with kgraph.saving.custom_object_scope({name: thing}):  # of which nobody has to be told
        model.save(path)
    with kgraph.saving.custom_object_scope({name: own_things(kgraph)[name]}):  # as another process
        assert kgraph.models.load_model(path).compiled


def test_a_checkpoint_names_what_is_not_registered_before_it_trains(tmp_path: Path) -> None:
    model = model_with(kgraph, "my_loss_function", own_things(kgraph)["my_loss_function"])
    seen: list[int] = []
    before = kgraph.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: seen.append(epoch))
    keep = kgraph.callbacks.ModelCheckpoint(tmp_path / "m.keras", monitor="loss")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="my_loss_function"):
            model.fit(X, Y, verbose=0, callbacks=[before, keep])
    assert not seen


@pytest.mark.parametrize("suffix", [".keras", ".kgraph"])
def test_a_checkpoint_refuses_what_cannot_be_written_before_it_trains(
    tmp_path: Path, suffix: str
) -> None:
    model = model_with(kgraph, "my_loss_function", lambda y, p: (y - p) ** 2)
    seen: list[int] = []
    before = kgraph.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: seen.append(epoch))
    keep = kgraph.callbacks.ModelCheckpoint(tmp_path / f"m{suffix}", monitor="loss")
    with pytest.raises(ConfigError, match=r"lambda[\s\S]*register_keras_serializable"):
        model.fit(X, Y, verbose=0, callbacks=[before, keep])
    assert not seen
    weights = kgraph.callbacks.ModelCheckpoint(tmp_path / "m.weights.h5", save_weights_only=True)
    model.fit(X, Y, verbose=0, callbacks=[before, weights])
    assert seen == [0]


def test_two_functions_of_one_name_are_told_apart_or_refused(tmp_path: Path) -> None:
    x = kgraph.Input((3,))
    one, other = (own_things(kgraph)["my_activation"] for _ in range(2))
    layers = [kgraph.layers.Dense(2, activation=f) for f in (one, other)]
    model = kgraph.Model(x, [layer(x) for layer in layers])
    with pytest.raises(ConfigError, match=r"Two of your functions .* 'my_activation'"):
        model.save(tmp_path / "m.kgraph")
