"""What `compile` was given goes with the model, both ways."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import pytest
from hostile_keras import parts, put_together, with_config
from keras_models import OLDER, relaxed

import kgraph
from kgraph.errors import ConfigError, ModelFileError


def two_heads(K: Any) -> Any:
    x = K.Input((3,))
    y = K.layers.Dense(4, "tanh")(x)
    heads = {"size": K.layers.Dense(1, name="size")(y), "kind": K.layers.Dense(3, name="kind")(y)}
    return K.Model(x, heads)


def one_head(K: Any) -> Any:
    x = K.Input((3,))
    return K.Model(x, K.layers.Dense(2, "sigmoid")(x))


def reports(model: Any, x: Any, y: Any, weights: Any) -> dict[str, float]:
    """Returns all that is reported of two steps and an evaluation."""
    with relaxed():
        found = {}
        for i in range(2):
            if isinstance(model, keras.Model):
                model.reset_metrics()
            logs = model.train_on_batch(x, y, sample_weight=weights, return_dict=True)
            found |= {f"{name} {i}": float(value) for name, value in logs.items()}
        logs = model.evaluate(x, y, sample_weight=weights, verbose=0, return_dict=True)
    return found | {name: float(value) for name, value in logs.items()}


def exchanged(theirs: Any, folder: Path) -> tuple[Any, Any]:
    """Returns kgraph's model of a Keras model's file, and Keras' of the file that it writes."""
    first, second = folder / "first.keras", folder / "second.keras"
    with relaxed():
        theirs.save(first)
    ours = kgraph.models.load_model(first)
    ours.save(second)
    with relaxed():
        return ours, keras.saving.load_model(second)


@pytest.mark.slow
def test_losses_metrics_weights_and_a_schedule(tmp_path: Path):
    K = keras
    with relaxed():
        theirs = two_heads(K)
        rate = K.optimizers.schedules.CosineDecay(
            0.0, 5, alpha=0.1, warmup_target=0.1, warmup_steps=2
        )
        theirs.compile(
            K.optimizers.AdamW(rate, weight_decay=0.1, global_clipnorm=0.5),
            loss={
                "size": K.losses.LogCosh(reduction="mean_with_sample_weight"),
                "kind": K.losses.SparseCategoricalCrossentropy(from_logits=True),
            },
            loss_weights={"size": 2.0, "kind": 0.5},
            metrics={
                "size": ["mae", K.metrics.RootMeanSquaredError(name="rms")],
                "kind": [K.metrics.SparseTopKCategoricalAccuracy(k=2), "accuracy"],
            },
            weighted_metrics={"size": ["mse"]},
        )
    rng = np.random.default_rng(1)
    x = rng.normal(size=(6, 3)).astype("float32")
    y = {"size": rng.normal(size=(6, 1)).astype("float32"), "kind": np.arange(6)[:, None] % 3}
    weights = {name: rng.uniform(0.5, 2, 6).astype("float32") for name in ("size", "kind")}
    reports(theirs, x, y, weights)
    ours, again = exchanged(theirs, tmp_path)
    expected = reports(theirs, x, y, weights)
    assert len(expected) > 20
    for found in (reports(ours, x, y, weights), reports(again, x, y, weights)):
        assert set(found) == set(expected)
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=3e-5, err_msg=name)


ROWS = (
    np.random.default_rng(2).normal(size=(6, 3)).astype("float32"),
    np.random.default_rng(3).uniform(size=(6, 2)).astype("float32"),
)


def assert_same_steps(ours: Any, theirs: Any, count: int) -> None:
    """Trains both, and compares the losses."""
    for _ in range(count):
        with relaxed():
            theirs.reset_metrics()
            expected = theirs.train_on_batch(*ROWS)
        np.testing.assert_allclose(ours.train_on_batch(*ROWS), expected, rtol=1e-5)


def numbers_of(optimizer: Any) -> list[np.ndarray]:
    return [np.asarray(variable.value) for variable in optimizer.variables]


@pytest.mark.parametrize("accumulate", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_a_dynamic_loss_scale_goes_both_ways(accumulate: int | None, tmp_path: Path):
    K, (x, y) = keras.optimizers, ROWS
    with relaxed():
        theirs = one_head(keras)
        inner = K.Adam(0.1, gradient_accumulation_steps=accumulate)
        theirs.compile(K.LossScaleOptimizer(inner, 8.0, dynamic_growth_steps=2), "mse")
        for scale in (1.0, np.inf, 1.0, 1.0, 1.0):  # kept, halved, kept, doubled, kept
            theirs.train_on_batch(x * np.float32(scale), y)
        expected = numbers_of(theirs.optimizer)
    ours, again = exchanged(theirs, tmp_path)
    state = ours._kgraph.trainer.state()["optimizer"]
    assert (float(state.scale), int(state.finite_steps)) == (8.0, 1)
    assert int(ours._kgraph.trainer.state()["step"]) == 4 // (accumulate or 1)
    found = numbers_of(again.optimizer)
    assert [a.shape for a in found] == [a.shape for a in expected]
    assert all(np.array_equal(*pair) for pair in zip(found, expected, strict=True))
    assert_same_steps(ours, theirs, 3)
    assert float(ours._kgraph.trainer.state()["optimizer"].scale) == float(
        theirs.optimizer.dynamic_scale
    )


def test_a_scale_that_keras_lost_is_brought_back(tmp_path: Path):
    K, (x, y) = keras.optimizers, ROWS
    with relaxed():
        theirs = one_head(keras)
        theirs.compile(K.LossScaleOptimizer(K.SGD(0.1)), "mse")
        theirs.train_on_batch(x, y)
    for lost, usable in ((0.0, 2.0**-126), (np.inf, 2.0**126), (np.nan, 2.0**-126)):
        theirs.optimizer.dynamic_scale.assign(lost)
        with relaxed():
            theirs.save(tmp_path / "m.keras")
        ours = kgraph.models.load_model(tmp_path / "m.keras")
        assert float(ours._kgraph.trainer.state()["optimizer"].scale) == usable


def test_the_count_of_an_optimizer_without_arrays_is_kept(tmp_path: Path):
    K = keras.optimizers
    with relaxed():
        theirs = one_head(keras)
        theirs.compile(K.SGD(K.schedules.ExponentialDecay(0.1, 1, 0.5)), "mse")
        theirs.train_on_batch(*ROWS)
        theirs.save(tmp_path / "m.keras")
    ours = kgraph.models.load_model(tmp_path / "m.keras")
    assert_same_steps(ours, theirs, 2)
    assert int(ours._kgraph.trainer.state()["optimizer"].step) == 3


def test_an_untrained_loss_scale_optimizer_starts_anew(tmp_path: Path):
    K = keras.optimizers
    with relaxed():
        theirs = one_head(keras)
        theirs.compile(K.LossScaleOptimizer(K.Adam(0.1), 4.0), "mse")
        theirs.save(tmp_path / "m.keras")
    ours = kgraph.models.load_model(tmp_path / "m.keras")
    assert ours._kgraph.trainer.state() is None
    assert ours.optimizer.initial_scale == 4.0


@pytest.mark.skipif(not hasattr(keras.optimizers, "MultiOptimizer"), reason="Keras has none")
def test_the_weights_beside_a_multi_optimizer_can_be_loaded(tmp_path: Path):
    K, path = keras.optimizers, tmp_path / "m.keras"
    with relaxed():
        theirs = one_head(keras)
        theirs.compile(K.MultiOptimizer(K.OptimizerMap(K.Adam(), {".*bias": K.SGD(0.1)})), "mse")
        theirs.train_on_batch(*ROWS)
        theirs.save(path)
        expected = np.asarray(theirs(ROWS[0]))
    ours = kgraph.models.load_model(path, compile=False)
    np.testing.assert_allclose(ours(ROWS[0]), expected, atol=1e-6)
    with pytest.raises(ModelFileError, match=r"compile_config\.optimizer"):
        kgraph.models.load_model(path)


def test_a_multi_optimizer_is_named_before_anything_is_written(tmp_path: Path):
    K = kgraph.optimizers
    ours = one_head(kgraph)
    ours.compile(K.MultiOptimizer(K.OptimizerMap(K.Adam(), {".*bias": K.SGD(0.1)})), "mse")
    ours.train_on_batch(*ROWS)
    with pytest.raises(ConfigError, match=r"(?s)cannot.*MultiOptimizer"):
        ours.save(tmp_path / "m.keras")
    assert not list(tmp_path.iterdir())


def defaults_of(place: Any, base: type) -> list[Any]:
    """Returns an object of each public class that can be made without arguments."""
    made = []
    for name in sorted(vars(place)):
        cls = getattr(place, name)
        if inspect.isclass(cls) and issubclass(cls, base) and cls is not base:
            needed = [
                p for p in list(inspect.signature(cls.__init__).parameters.values())[1:]
                if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
            ]  # fmt: skip
            if not needed:
                made.append(cls())
    return made


@pytest.mark.slow
def test_each_loss_metric_and_schedule_keeps_its_config(tmp_path: Path):
    K, S = keras, keras.optimizers.schedules
    schedules = [
        S.ExponentialDecay(0.1, 3, 0.5, staircase=True), S.InverseTimeDecay(0.1, 3, 0.5),
        S.PiecewiseConstantDecay([2, 4], [0.1, 0.05, 0.01]), S.CosineDecay(0.1, 7),
        S.PolynomialDecay(0.1, 5, power=2.0, cycle=True), S.CosineDecayRestarts(0.1, 3),
    ]  # fmt: skip
    losses = [loss for loss in defaults_of(K.losses, K.losses.Loss) if type(loss).__name__ != "CTC"]
    metrics = [
        metric for metric in defaults_of(K.metrics, K.metrics.Metric)
        if type(metric).__name__ not in ("Mean", "Sum")  # take no targets
    ]  # fmt: skip
    assert len(losses) > 20
    assert len(metrics) > 30
    for i, loss in enumerate(losses):
        with relaxed():
            theirs = one_head(K)
            schedule = schedules[i % len(schedules)]
            theirs.compile(K.optimizers.SGD(schedule), loss, metrics=metrics[i :: len(losses)])
        _, again = exchanged(theirs, tmp_path)
        ours, expected = again.get_compile_config(), theirs.get_compile_config()
        assert without_dtypes(ours) == without_dtypes(expected)


def without_dtypes(config: Any) -> Any:
    """Returns a config with dtypes that say nothing left out, and numbers rounded to float32."""
    if isinstance(config, dict):
        return {k: without_dtypes(v) for k, v in config.items() if k != "dtype"}
    if isinstance(config, (list, tuple)):
        return [without_dtypes(item) for item in config]
    return float(np.float32(config)) if isinstance(config, float) else config


def test_names_go_as_keras_spells_them(tmp_path: Path):
    x = kgraph.Input((3,))
    y = kgraph.layers.Dense(4, activation=jax.nn.relu)(x)
    model = kgraph.Model(x, kgraph.layers.Dense(2, activation=jax.nn.softmax)(y))
    model.compile("adam", "kullback_leibler_divergence", metrics=["kld", "mae"])
    model.save(tmp_path / "m.keras")
    with relaxed():
        theirs = keras.saving.load_model(tmp_path / "m.keras")
        data = np.random.default_rng(0).normal(size=(2, 3)).astype("float32")
        np.testing.assert_allclose(np.asarray(theirs(data)), model(data), atol=1e-6)
        assert "kl_divergence" in theirs.evaluate(data, data[:, :2], verbose=0, return_dict=True)


def test_functions_that_keras_computes_otherwise_are_named(tmp_path: Path):
    x = kgraph.Input((3,))
    model = kgraph.Model(x, kgraph.layers.Dense(4, activation=jax.nn.gelu, name="d")(x))
    with pytest.raises(ConfigError, match=r"'d'[\s\S]*jax\.nn\.gelu"):
        model.save(tmp_path / "m.keras")


def test_steps_of_another_release_are_not_taken_for_ours(tmp_path: Path):
    """Muon of Keras 3.12 has the same options but one, and other steps."""
    path, x = tmp_path / "m.keras", kgraph.Input((3,))
    model = kgraph.Model(x, kgraph.layers.Dense(2)(x))
    model.compile(kgraph.optimizers.Muon(), "mse")
    model.save(path)
    members = parts(path)
    with_config(lambda c: c["compile_config"]["optimizer"]["config"].__delitem__("rms_rate"))(
        members
    )
    put_together(path, members)
    with pytest.raises(ModelFileError, match=r"older Keras[\s\S]*compile=False"):
        kgraph.models.load_model(path)
    assert not kgraph.models.load_model(path, compile=False).compiled
    if not OLDER:
        assert "rms_rate" in keras.optimizers.Muon().get_config()
