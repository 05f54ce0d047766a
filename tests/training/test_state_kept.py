"""State that layers assign in fit, evaluate, predict and calls stays, as in Keras."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from own_step_models import X, compared, dense, spread_weights

import kgraph
from kgraph.errors import ConfigError

TEN = np.tile(X, (8, 1))  # 160 rows: five batches of 32


def counting(api: Any, **options: Any) -> Any:
    class Count(api.layers.Layer):
        def build(self, input_shape):
            self.calls = self.add_weight(
                shape=(), initializer="zeros", trainable=False, name="calls", **options
            )

        def call(self, inputs):
            self.calls.assign_add(1.0)
            return inputs

    return Count()


@pytest.mark.parametrize("by_code", [False, True], ids=["of tensors", "by code"])
def test_a_counter_counts_everywhere_as_in_keras(by_code: bool) -> None:
    def train(api: Any) -> Any:
        layers = [counting(api), dense(api, 1)]

        class Code(api.Model):
            def __init__(self):
                super().__init__()
                self.all = layers

            def call(self, inputs):
                for layer in self.all:
                    inputs = layer(inputs)
                return inputs

        model = Code() if by_code else api.Sequential([api.Input((4,)), *layers])
        if by_code:  # Keras counts the call that builds
            model(X[:1])
            layers[0].calls.assign(0.0)
        model.compile("sgd", "mse")
        seen = []
        for use in (
            lambda: model.fit(TEN, TEN[:, :1], batch_size=32, verbose=0),
            lambda: model.evaluate(TEN, TEN[:, :1], batch_size=32, verbose=0),
            lambda: model.predict(TEN, batch_size=32, verbose=0),
            lambda: model(TEN[:3]),
        ):
            use()
            seen.append(float(np.asarray(layers[0].calls.value)))
        return seen

    compared(train)


def test_a_counter_counts_validation_within_fit() -> None:
    layer = counting(kgraph)
    model = kgraph.Sequential([kgraph.Input((4,)), layer, kgraph.layers.Dense(1)])
    model.compile("sgd", "mse")
    given = (TEN[:64], TEN[:64, :1])
    model.fit(TEN, TEN[:, :1], epochs=2, verbose=0, validation_data=given)
    assert float(layer.calls.value) == 2 * (5 + 2)


def test_a_counter_outside_of_the_compute_dtype_counts_on() -> None:
    model = kgraph.Sequential([kgraph.Input((4,)), counting(kgraph, autocast=False)])
    layer: Any = model.layers[-1]
    layer.calls.assign(2048.0)  # from where float16 counts by 2
    half = kgraph.Sequential([kgraph.Input((4,)), layer])
    layer._kgraph.policy = kgraph.dtype_policies.DTypePolicy("mixed_float16")
    half(TEN[:2])
    assert float(layer.calls.value) == 2049.0


def test_nothing_is_slower_where_no_state_is_assigned() -> None:
    inputs = kgraph.Input((4,))
    hidden = kgraph.layers.BatchNormalization()(kgraph.layers.Dense(3)(inputs))

    class Inner(kgraph.Model):
        def __init__(self):
            super().__init__()
            self.norm = kgraph.layers.BatchNormalization()

        def call(self, inputs, training=None, mask=None):
            return self.norm(inputs)

    model = kgraph.Model(inputs, Inner()(hidden))
    assert not kgraph.lower(model).assigns_state
    model.compile("sgd", "mse")
    model.predict(X, verbose=0)
    predictor = model._kgraph.trainer._predictor
    assert predictor is not None
    assert not predictor.keeps_state


def predicting(api: Any) -> Any:
    class Predicting(api.Model):
        def __init__(self):
            super().__init__()
            self.inner = api.Sequential([api.Input((4,)), dense(api, 2)])
            self.seen = api.Variable(np.zeros((), "float32"), trainable=False, name="seen")
            self.built = True

        def predict_step(self, state, data):
            trainable, [seen] = state
            x = data[0] if isinstance(data, tuple) else data
            outputs, _ = self.inner.stateless_call(trainable, [], x)
            return {"twice": 2 * outputs, "seen": outputs * 0 + seen}, [seen + 1]

    model = Predicting()
    spread_weights(model)
    return model


def test_a_predict_step_predicts_as_in_keras() -> None:
    def train(api: Any) -> Any:
        model = predicting(api)
        outputs = model.predict(X, batch_size=8, verbose=0)
        again = model.predict_on_batch(X[:3])
        return outputs, again, float(np.asarray(model.seen.value))

    compared(train)


def test_a_predict_step_that_forgets_the_state_is_told() -> None:
    class Forgetful(kgraph.Model):
        def predict_step(self, state, data):
            return self.stateless_call(*state, data)[0]

    inputs = kgraph.Input((4,))
    model = Forgetful(inputs, kgraph.layers.Dense(1)(inputs))
    with pytest.raises(ConfigError, match=r"predict_step of .*\n  at .*test_state_kept.py:\d+"):
        model.predict(X, verbose=0)


def test_a_predict_step_may_draw_and_call_on() -> None:
    class Samples(kgraph.Model):
        def predict_step(self, state, data):
            found: Any = super().predict_step(state, data)
            outputs, rest = found
            return outputs + kgraph.random.normal(outputs.shape), rest

    inputs = kgraph.Input((4,))
    model = Samples(inputs, kgraph.layers.Dense(1)(inputs))
    first, second = (model.predict(X, batch_size=8, verbose=0) for _ in range(2))
    assert not np.allclose(first, second)
    assert not np.allclose(first[:4], first[8:12])
