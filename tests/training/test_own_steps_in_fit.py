"""Steps of a model's own in all that fit does with others, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from own_step_models import X, Y, gan, regression, stepping, values

import kgraph
from kgraph.errors import ConfigError, StateError

GIVEN: dict[str, Any] = {"batch_size": 4, "verbose": 0}


def noisy(api: Any) -> list[Any]:
    return [api.layers.BatchNormalization(), api.layers.Dropout(0.4)]


def everything(model: Any) -> list[np.ndarray]:
    return [*model.get_weights(), *values(model.optimizer.variables)]


def same_bits(one: Any, other: Any) -> None:
    for ours, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_number_of_steps_at_once_changes_no_bit(steps: int) -> None:
    found = []
    for how in ({}, {"steps_per_execution": steps}):
        model = regression(kgraph, kgraph.optimizers.Adam(0.01), noisy, **how)
        history = model.fit(X, Y, epochs=2, seed=3, **GIVEN).history
        found.append([*everything(model), *history["loss"], *history["mae"]])
    same_bits(*found)


def test_the_step_by_hand_gives_the_same_numbers() -> None:
    model = regression(kgraph, kgraph.optimizers.SGD(0.05))
    lists = (model.trainable_variables, model.non_trainable_variables)
    model.optimizer.build(model.trainable_variables)
    model.evaluate(X, Y, **GIVEN)
    state = tuple(
        [v.value for v in own]
        for own in (*lists, model.optimizer.variables, model.metrics_variables)
    )
    state = (*state[:3], [jnp.zeros_like(value) for value in state[3]])
    step, logs = jax.jit(model.train_step), {}
    for i in range(0, 20, 4):
        logs, state = step(state, (X[i : i + 4], Y[i : i + 4]))
    history = model.fit(X, Y, shuffle=False, **GIVEN).history
    np.testing.assert_allclose(history["loss"], [logs["loss"]], rtol=1e-6)
    for ours, theirs in zip(values(model.trainable_variables), state[0]):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_a_training_goes_on_bit_for_bit_from_a_checkpoint(tmp_path: Path) -> None:
    def model() -> Any:
        return regression(kgraph, kgraph.optimizers.Adam(0.01), noisy)

    whole = model()
    history = whole.fit(X, Y, epochs=4, seed=3, **GIVEN).history
    first = model()
    checkpoint = kgraph.Checkpoint(tmp_path / "run")
    first.fit(X, Y, epochs=2, seed=3, checkpoint=checkpoint, **GIVEN)
    second = model()
    checkpoint = kgraph.Checkpoint(tmp_path / "run")
    resumed = second.fit(X, Y, epochs=4, seed=3, checkpoint=checkpoint, **GIVEN).history
    same_bits(everything(second), everything(whole))
    assert resumed == history


def test_eight_devices_train_as_one() -> None:
    found = []
    for distribution in (None, kgraph.distribution.DataParallel()):
        model = regression(kgraph, kgraph.optimizers.Adam(0.01), distribution=distribution)
        history = model.fit(X[:16], Y[:16], batch_size=8, epochs=2, shuffle=False, verbose=0)
        found.append([*everything(model), *history.history["loss"]])
    for ours, theirs in zip(*found):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_second_fit_goes_on_and_a_state_set_by_hand_counts() -> None:
    once, twice = (regression(kgraph, kgraph.optimizers.Adam(0.01)) for _ in range(2))
    once.fit(X, Y, epochs=2, shuffle=False, **GIVEN)
    twice.fit(X, Y, shuffle=False, **GIVEN)
    twice.fit(X, Y, shuffle=False, **GIVEN)
    same_bits(everything(once), everything(twice))
    assert int(twice.optimizer.iterations.value) == 10
    twice.optimizer.set_weights([np.zeros(v.shape, v.dtype) for v in twice.optimizer.variables])
    before = twice.get_weights()
    twice.fit(X, Y, shuffle=False, **GIVEN)  # the learning rate is 0 now
    same_bits(twice.get_weights(), before)


def test_callbacks_read_and_set_what_the_state_has() -> None:
    seen: list[Any] = []

    class Looks(kgraph.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            model: Any = self.model
            seen.append((int(model.optimizer.iterations.value), float(model.metrics[0].result())))
            assert seen[-1][1] == (logs or {})["loss"]
            if batch == 2:
                model.optimizer.learning_rate = 0.0

    model = regression(kgraph, kgraph.optimizers.SGD(0.01))
    model.fit(X, Y, callbacks=[Looks()], **GIVEN)
    assert [number for number, _ in seen] == [1, 2, 3, 4, 5]
    before = model.get_weights()
    model.fit(X, Y, **GIVEN)
    same_bits(model.get_weights(), before)


def with_step(step: Any, **attributes: Any) -> kgraph.Model:
    cls = type("Mine", (stepping(kgraph),), {"train_step": step, **attributes})
    inputs = kgraph.Input((4,), name="x")
    model = cls(inputs, kgraph.layers.Dense(1, name="head")(inputs))
    model.compile("sgd")
    return model


def returns(make: Any) -> Any:
    def train_step(self, state, data):
        return make(state)

    return train_step


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda s: {"loss": 1.0}, "returned no pair"),
        (lambda s: None, "returned no pair[\\s\\S]*received  None"),
        (lambda s: (s, {"loss": 1.0}), "returned no logs first"),
        (lambda s: ({"loss": 1.0}, s[:3]), "another state[\\s\\S]*4 lists: trainable_variables"),
        (lambda s: ({}, (s[0], [], s[2], s[3][:1])), "another list as metrics_variables"),
        (lambda s: ({}, (s[0][::-1], *s[1:])), "no value of 'head/kernel' in trainable_variables"),
        (lambda s: ({"loss": jnp.ones(3)}, s), "logs no number as 'loss'[\\s\\S]*an array \\[3\\]"),
        (lambda s: ({"loss": "much"}, s), "logs no number as 'loss'[\\s\\S]*received  str"),
    ],
)
def test_what_a_step_returns_is_checked_once_with_the_users_line(made: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        with_step(returns(made)).fit(X, Y, **GIVEN)
    assert "test_own_steps_in_fit.py:" in str(caught.value)
    assert "train_step of 'mine' (Mine)" in str(caught.value)


@pytest.mark.parametrize(
    ("reads", "message"),
    [
        (lambda m, x: m.layers[1].kernel.value, r"reads 'head/kernel' itself[\s\S]*trainable_vari"),
        (lambda m, x: m(x), r"reads 'head/kernel' itself"),
        (lambda m, x: m.layers[1](x), r"reads 'head/kernel' itself"),
        (lambda m, x: m.optimizer.iterations.value, r"reads 'sgd/iteration' itself"),
        (lambda m, x: m.optimizer.learning_rate * 2, r"reads 'sgd/learning_rate' itself"),
        (lambda m, x: m.metrics[0].update_state(1.0), r"reads 'loss/total' itself[\s\S]*stateless"),
        (lambda m, x: m.layers[1].kernel.assign(x[:, :1]), r"assigns 'head/kernel'"),
    ],
)
def test_what_would_become_a_constant_is_refused(reads: Any, message: str) -> None:
    def train_step(self, state, data):
        reads(self, data[0])
        return {}, state

    with pytest.raises(StateError, match=message) as caught:
        with_step(train_step).fit(X, Y, **GIVEN)
    assert "test_own_steps_in_fit.py:" in str(caught.value)


def test_validation_data_may_be_nested_otherwise_than_those_of_training() -> None:
    cls = type("Default", (kgraph.Model,), {"compute_metrics": counted_metrics})
    inputs = kgraph.Input((4,))
    model = cls(inputs, kgraph.layers.Dense(1)(inputs))
    model.compile("sgd", "mse", metrics=["mae"])
    given = {"sample_weight": np.ones(20), "validation_data": (X, Y)}
    history = model.fit(X, Y, epochs=2, **given, **GIVEN).history
    assert sorted(history) == ["loss", "mae", "rows", "val_loss", "val_mae", "val_rows"]
    assert history["val_rows"] == [4.0, 4.0]


def counted_metrics(self, x, y, y_pred, sample_weight=None):
    found = kgraph.Model.compute_metrics(self, x, y, y_pred, sample_weight)
    return {**found, "rows": jnp.float32(x.shape[0])}


def test_an_evaluate_of_the_class_validates() -> None:
    class Mine(kgraph.Model):
        def evaluate(self, x: Any = None, y=None, **options):
            logs = super().evaluate(x, y, **options)
            return {**logs, "seen": float(len(x))}

    inputs = kgraph.Input((4,))
    model = Mine(inputs, kgraph.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    history = model.fit(X, Y, epochs=2, validation_data=(X[:7], Y[:7]), **GIVEN).history
    assert history["val_seen"] == [7.0, 7.0]


def test_an_optimizer_that_is_assigned_takes_over() -> None:
    inputs = kgraph.Input((4,))
    model = kgraph.Model(inputs, kgraph.layers.Dense(1)(inputs))
    model.compile(kgraph.optimizers.Adam(0.1), "mse")
    model.fit(X, Y, **GIVEN)
    before = model.get_weights()
    model.optimizer = kgraph.optimizers.SGD(0.0)
    model.fit(X, Y, **GIVEN)
    same_bits(model.get_weights(), before)
    model.optimizer = kgraph.optimizers.SGD(0.1)
    model.fit(X, Y, **GIVEN)
    assert not np.array_equal(model.get_weights()[0], before[0])


def test_weights_of_a_model_without_a_call_are_saved_and_loaded(tmp_path: Path) -> None:
    noise = np.ones((20, 2), np.float32)
    for name in ("gan.weights.h5", "gan.kgraph", "gan.safetensors"):
        one, other = gan(kgraph), gan(kgraph)
        one.fit(X, noise, **GIVEN)
        one.save_weights(tmp_path / name)
        other.load_weights(tmp_path / name)
        same_bits(one.get_weights(), other.get_weights())


def test_metrics_of_a_plain_model_can_be_asked_after_training_and_evaluation() -> None:
    inputs = kgraph.Input((4,))
    model = kgraph.Model(inputs, kgraph.layers.Dense(1)(inputs))
    model.compile("sgd", "mse", metrics=["mae"])
    history = model.fit(X, Y, epochs=2, **GIVEN).history
    found = {key: float(value) for key, value in model.get_metrics_result().items()}
    assert found == pytest.approx({key: values[-1] for key, values in history.items()})
    scores = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert {k: float(v) for k, v in model.get_metrics_result().items()} == pytest.approx(scores)
    model.reset_metrics()
    assert float(model.get_metrics_result()["loss"]) == 0.0
