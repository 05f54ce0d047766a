"""`compute_loss` of a model's class: Keras' numbers, and what it may do."""

from __future__ import annotations

from typing import Any

import jax
import keras
import numpy as np
import pytest

import kgraph
from kgraph.errors import ConfigError, StateError
from kgraph.training.nonfinite import NonFiniteError

X = np.random.default_rng(0).normal(size=(10, 3)).astype("float32")
Y = X.sum(axis=1, keepdims=True)


def both(make: Any, train: Any, rel: float = 2e-5) -> None:
    """Compares what `train` returns of a model with that of Keras, from the same weights."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        reference = make(keras)
        reference(X[:2])
        weights = reference.get_weights()
        expected = train(keras, reference)
    model = make(kgraph)
    model(X[:2])
    model.set_weights(weights)
    found = train(kgraph, model)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=rel, atol=1e-6)  # float32 sums


def fitted(api: Any, model: Any, y: Any = None, **options: Any) -> list[Any]:
    history = model.fit(X, y, batch_size=4, epochs=2, shuffle=False, verbose=0, **options).history
    scores = model.evaluate(X, y, batch_size=4, verbose=0, return_dict=True)
    keys = sorted(scores)
    assert sorted(history) == keys, (sorted(history), keys)
    return [*(history[key] for key in keys), *(scores[key] for key in keys), *model.get_weights()]


def vae(api: Any) -> Any:
    class VAE(api.Model):
        def __init__(self):
            super().__init__()
            self.encoder = api.layers.Dense(4, name="encoder")
            self.decoder = api.layers.Dense(3, name="decoder")
            self.reconstruction = api.metrics.Mean(name="reconstruction")
            self.divergence = api.metrics.Mean(name="divergence")

        def call(self, inputs):
            mean, log_var = api.ops.split(self.encoder(inputs), 2, axis=-1)
            return self.decoder(mean + api.ops.exp(0.5 * log_var)), mean, log_var

        def compute_loss(
            self, x=None, y=None, y_pred: Any = None, sample_weight=None, training=True
        ):
            decoded, mean, log_var = y_pred
            reconstruction = api.ops.mean(api.ops.sum(api.ops.square(x - decoded), axis=1))
            inner = 1 + log_var - api.ops.square(mean) - api.ops.exp(log_var)
            divergence = api.ops.mean(api.ops.sum(-0.5 * inner, axis=1))
            self.reconstruction.update_state(reconstruction)
            self.divergence.update_state(divergence)
            return reconstruction + divergence

    model = VAE()
    model.compile(api.optimizers.Adam(0.01))
    return model


def test_a_vae_trains_as_in_keras():
    both(vae, fitted)


def test_what_the_class_lists_is_logged_and_nothing_else():
    def make(api):
        class Listed(type(vae(api))):
            def __init__(self):
                super().__init__()
                self.tracker = api.metrics.Mean(name="loss")

            @property
            def metrics(self):
                return [self.tracker, self.divergence]

            def compute_loss(
                self, x=None, y=None, y_pred: Any = None, sample_weight=None, training=True
            ):
                loss = super().compute_loss(x, y, y_pred, sample_weight, training)
                self.tracker.update_state(2.0 * loss)
                return loss

        model = Listed()
        model.compile(api.optimizers.Adam(0.01))
        return model

    both(make, fitted)


def test_metrics_can_be_asked_after_training():
    def train(api, model):
        history = model.fit(X, batch_size=4, shuffle=False, verbose=0).history
        return [history["divergence"][0], float(model.divergence.result())]

    both(vae, train)


def test_a_listed_metric_that_nothing_holds_is_refused():
    class Mine(kgraph.Sequential):
        @property
        def metrics(self):
            return [kgraph.metrics.Mean(name="tracker")]

    model = Mine([kgraph.Input((3,)), kgraph.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(StateError, match="a metric that none of its attributes holds"):
        model.fit(X, Y, verbose=0)


def distiller(api: Any) -> Any:
    class Distiller(api.Model):
        def __init__(self):
            super().__init__()
            self.student = api.layers.Dense(2, name="student")
            self.teacher = api.layers.Dense(2, name="teacher", trainable=False)

        def build(self, input_shape):
            self.student.build(input_shape)
            self.teacher.build(input_shape)
            self.built = True

        def call(self, inputs):
            return self.student(inputs)

        def compute_loss(
            self, x=None, y=None, y_pred: Any = None, sample_weight=None, training=True
        ):
            own = super().compute_loss(x, y, y_pred, sample_weight)
            soft = api.ops.softmax(self.teacher(x, training=False) / 3.0)
            distilled = api.losses.kl_divergence(soft, api.ops.softmax(y_pred / 3.0))
            return 0.1 * own + 0.9 * api.ops.mean(distilled)

    model = Distiller()
    loss = api.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(api.optimizers.SGD(0.5), loss, metrics=["accuracy"])
    return model


CLASSES = (Y[:, 0] > 0).astype("int32")


def test_a_distiller_trains_as_in_keras():
    both(distiller, lambda api, model: fitted(api, model, CLASSES))


def test_a_teacher_that_gets_other_weights_is_not_baked_in():
    model = distiller(kgraph)
    model(X[:2])
    before = model.evaluate(X, CLASSES, batch_size=5, verbose=0, return_dict=True)["loss"]
    model.teacher.set_weights([10 * w for w in model.teacher.get_weights()])
    after = model.evaluate(X, CLASSES, batch_size=5, verbose=0, return_dict=True)["loss"]
    assert after != before


def functional(api: Any, **options: Any) -> Any:
    class Shifted(api.Model):
        def compute_loss(
            self, x=None, y=None, y_pred: Any = None, sample_weight=None, training=True
        ):
            own = super().compute_loss(x, y, y_pred, sample_weight, training)
            return own + (1.0 if training else 100.0)

    inputs = api.Input((3,))
    dense = api.layers.Dense(1, kernel_regularizer=api.regularizers.L2(0.1))
    model = Shifted(inputs, dense(inputs))
    model.compile(api.optimizers.SGD(0.05), "mse", **options)
    return model


def test_the_default_has_regularizers_weights_and_the_mode():
    weight = np.linspace(0, 1, len(X)).astype("float32")

    def train(api, model):
        return fitted(api, model, Y, sample_weight=weight)

    both(lambda api: functional(api, metrics=["mae"]), train)


def test_steps_that_go_to_the_device_at_once_change_nothing():
    results = []
    for size in (1, 4):
        kgraph.utils.set_random_seed(0)
        model = functional(kgraph, steps_per_execution=size)
        history = model.fit(X[:8], Y[:8], batch_size=2, epochs=2, verbose=0, seed=1).history
        results.append((history["loss"], model.get_weights()[0].tolist()))
    assert results[0] == results[1]


def test_it_can_be_called_by_hand():
    model = functional(kgraph)
    y_pred = model(X)
    expected = np.mean((y_pred - Y) ** 2) + 0.1 * np.sum(model.get_weights()[0] ** 2) + 100
    found = model.compute_loss(x=X, y=Y, y_pred=y_pred, training=False)
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_random_numbers_in_it_differ_from_step_to_step():
    class Noisy(kgraph.Model):
        def __init__(self):
            super().__init__()
            self.dense = kgraph.layers.Dense(1)
            self.seeds = kgraph.random.SeedGenerator(3)
            self.drawn = kgraph.metrics.Mean(name="drawn")
            self.squared = kgraph.metrics.Mean(name="squared")

        def call(self, inputs, training=None, mask=None):
            return self.dense(inputs)

        def compute_loss(
            self, x=None, y=None, y_pred: Any = None, sample_weight=None, training=True
        ):
            drawn = kgraph.random.normal((), seed=self.seeds)
            self.drawn.update_state(drawn)
            self.squared.update_state(drawn**2)
            return kgraph.ops.mean(y_pred)

    model = Noisy()
    model.compile("sgd")
    logs = model.fit(X, batch_size=1, verbose=0).history
    assert logs["squared"][0] > logs["drawn"][0] ** 2 + 1e-3  # one number again and again: equal


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda self, y_pred: y_pred, "compute_loss of .* returned an array"),
        (lambda self, y_pred: self.late(y_pred).sum(), "a weight that is not in its graph"),
    ],
)
def test_what_cannot_be_is_refused(loss, message):
    class Mine(kgraph.Model):
        def __init__(self):
            super().__init__()
            self.dense, self.late = kgraph.layers.Dense(1), kgraph.layers.Dense(1)

        def call(self, inputs, training=None, mask=None):
            return self.dense(inputs)

        def compute_loss(
            self, x=None, y=None, y_pred: Any = None, sample_weight=None, training=True
        ):
            return loss(self, y_pred)

    model = Mine()
    model.compile("sgd")
    with pytest.raises((ConfigError, StateError), match=message):
        model.fit(X, Y, verbose=0)


def test_a_loss_fn_beside_it_is_refused():
    with pytest.raises(ConfigError, match="has a compute_loss of its own, and a loss_fn"):
        functional(kgraph).compile("sgd", loss_fn=lambda *args: (0.0, {}))


def test_a_number_that_is_not_finite_is_found_in_it():
    class Root(kgraph.Model):
        def compute_loss(
            self, x=None, y=None, y_pred: Any = None, sample_weight=None, training=True
        ):
            return kgraph.ops.sqrt(kgraph.ops.mean(y_pred) * 0 - 1)

    inputs = kgraph.Input((3,))
    model = Root(inputs, kgraph.layers.Dense(1)(inputs))
    model.compile("sgd")
    with pytest.raises(NonFiniteError, match="the loss itself"):
        model.fit(X, Y, verbose=0, check_finite=True)


def test_metrics_that_add_to_those_of_compile_are_all_logged():
    def make(api):
        class Adds(api.Model):
            def __init__(self, inputs, outputs):
                super().__init__(inputs, outputs)
                self.extra = api.metrics.Mean(name="extra")

            @property
            def metrics(self):
                return [*super().metrics, self.extra]

            def compute_loss(
                self, x=None, y=None, y_pred: Any = None, sample_weight=None, training=True
            ):
                self.extra.update_state(api.ops.mean(y_pred))
                return super().compute_loss(x, y, y_pred, sample_weight)

        inputs = api.Input((3,))
        model = Adds(inputs, api.layers.Dense(1, kernel_initializer="ones")(inputs))
        model.compile("sgd", "mse", metrics=["mae"])
        return model

    both(make, lambda api, model: fitted(api, model, Y))


def test_the_loss_that_compile_was_given():
    for api in (keras, kgraph):
        model = api.Sequential([api.Input((2,)), api.layers.Dense(1)])
        model.compile("sgd", "mse")
        assert model.loss == "mse"


def test_a_loss_of_the_users_own_stays_theirs():
    class Own(kgraph.Model):
        def __init__(self):
            super().__init__()
            self.loss = kgraph.layers.Dense(1)

        def call(self, inputs):
            return self.loss(inputs)

    model = Own()
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    assert isinstance(model.loss, kgraph.layers.Dense)
    assert len(model.trainable_weights) == 2


def test_a_compile_that_fails_leaves_the_loss():
    model = kgraph.Sequential([kgraph.Input((2,)), kgraph.layers.Dense(1)])
    assert model.loss is None
    model.compile("sgd", "mse")
    with pytest.raises(kgraph.errors.ConfigError):
        model.compile("sgd", "nonsense")
    assert model.loss == "mse"
