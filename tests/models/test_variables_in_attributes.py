"""Variables in attributes of models made of tensors: state of the model, as in Keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import kgraph
from kgraph.errors import ConfigError

X = np.random.default_rng(3).normal(size=(8, 4)).astype("float32")
Y = X[:, :1]


def tensors(api: Any) -> tuple[Any, Any]:
    inputs = api.Input((4,))
    return inputs, api.layers.Dense(1, name="head", kernel_initializer="ones")(inputs)


def counting(api: Any) -> Any:
    """Returns a model whose loss has a parameter and a counter."""

    class Counting(api.Model):
        def __init__(self) -> None:
            super().__init__(*tensors(api), name="counting")
            self.count = api.Variable(0.0, trainable=False, name="count")
            self.scale = self.add_weight(name="scale", shape=(2,), initializer="ones")

        def compute_loss(
            self, x=None, y=None, y_pred: Any = None, sample_weight=None, training=True
        ):
            self.count.assign(self.count + 1)
            return api.ops.mean((y_pred * api.ops.sum(self.scale) - y) ** 2)

    return Counting()


def stepping(api: Any) -> Any:
    """Returns a model whose step counts."""

    class Stepping(api.Model):
        def train_step(self, state: Any, data: Any) -> Any:
            trainable, rest, optimizer, metrics = state

            def loss_of(trainable: Any) -> Any:
                outputs, _ = self.stateless_call(trainable, rest, data[0], training=True)
                return jnp.mean((outputs - data[1]) ** 2)

            loss, grads = jax.value_and_grad(loss_of)(trainable)
            trainable, optimizer = self.optimizer.stateless_apply(optimizer, grads, trainable)
            return {"seen": loss}, (trainable, [rest[0] + 1], optimizer, metrics)

    model = Stepping(*tensors(api))
    model.count = api.Variable(0.0, trainable=False, name="count")
    return model


@pytest.mark.usefixtures("relaxed")
@pytest.mark.parametrize("make", [counting, stepping])
def test_they_train_and_are_set_by_steps_as_in_keras(make: Any) -> None:
    seen = []
    for api in (keras, kgraph):
        model = make(api)
        model.compile(api.optimizers.Adam(0.1))
        logs = model.fit(X, Y, batch_size=4, epochs=2, shuffle=False, verbose=0).history
        model.evaluate(X, Y, batch_size=4, verbose=0)
        paths = [[v.path for v in of] for of in (model.variables, model.trainable_variables)]
        seen.append((logs, [np.asarray(w) for w in model.get_weights()], paths))
    (logs, weights, paths), (own_logs, own_weights, own_paths) = seen
    np.testing.assert_allclose(*([*h.values()] for h in (own_logs, logs)), rtol=1e-5)
    for own, theirs in zip(own_weights, weights, strict=True):
        np.testing.assert_allclose(own, theirs, rtol=1e-5, atol=1e-7)
    assert own_paths == paths
    assert {4.0, 6.0} & {float(w) for w in own_weights if w.shape == ()}


@pytest.mark.filterwarnings("ignore:.*what nobody registered")
def test_they_are_saved_and_loaded(tmp_path: Path) -> None:
    model = counting(kgraph)
    model.count.assign(5.0)
    model.scale.assign([1.0, 2.0])
    theirs = counting(keras)
    model.save_weights(path := tmp_path / "own.weights.h5")
    theirs.load_weights(path)
    theirs.save_weights(tmp_path / "theirs.weights.h5")
    others = [counting(kgraph), counting(kgraph)]
    others[0].load_weights(tmp_path / "theirs.weights.h5")
    model.save(tmp_path / "model.kgraph")
    others[1].load_weights(tmp_path / "model.kgraph")
    for other in (theirs, *others):
        assert float(other.count.numpy()) == 5
        assert other.scale.numpy().tolist() == [1, 2]


def test_a_plain_model_is_not_saved_without_them(tmp_path: Path) -> None:
    model: Any = kgraph.Model(*tensors(kgraph))
    model.count = kgraph.Variable(0.0, trainable=False, name="count")
    with pytest.raises(ConfigError, match=r"count is .* in the model and missing when rebuilt"):
        model.save(tmp_path / "model.kgraph")


def test_names_stay_unique_and_weights_of_layers_stay_theirs() -> None:
    model: Any = kgraph.Model(*tensors(kgraph))
    model.kernel = model.layers[-1].kernel
    assert [v.path for v in model.variables] == ["head/kernel", "head/bias"]
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    model.others = {"a": kgraph.Variable(1.0), "b": [kgraph.Variable(2.0, name="head")]}
    with pytest.warns(match="No output depends on the weights of 'others_a', 'head_1'"):
        model.fit(X, Y, verbose=0)
    program = kgraph.lower(model)
    assert list(model.variables_for(program)["params"]) == ["others_a", "head_1", "head"]
    outer = kgraph.Sequential([kgraph.Input((4,)), model])
    assert len(outer.trainable_variables) == 4
    model.trainable = False
    assert outer.trainable_variables == []
