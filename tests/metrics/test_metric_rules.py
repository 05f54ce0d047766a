"""Precision over long epochs, names, wrapping, and what metrics refuse."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import kgraph.losses as losses
import kgraph.metrics as metrics
from kgraph.custom_objects import custom_object_scope
from kgraph.declared import word_of
from kgraph.errors import ConfigError, DataError, StateError
from kgraph.metrics.precise import precise_sum
from kgraph.registry import lookup


class Positives(metrics.Metric):
    def __init__(self, scale=1.0, **options):
        super().__init__(**options)
        self.scale = scale
        self.total = self.add_weight(shape=(), initializer="zeros", name="total")
        self.seen = self.add_variable(shape=(2,), initializer="ones", dtype="int32")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total = self.total + self.scale * jnp.sum(y_true)
        self.seen = self.seen + 1

    def result(self):
        return {"total": self.total, "seen": self.seen}


class Nested(metrics.Metric):
    def __init__(self, **options):
        super().__init__(**options)
        self.inner = metrics.Mean()

    def update_state(self, y_true, y_pred):
        self.inner.update_state(y_true - y_pred)

    def result(self):
        return self.inner.result()


def many_updates(metric, value, number, **options):
    update = lambda _, state: metric.update(state, value, **options)  # noqa: E731
    return jax.jit(lambda s: jax.lax.fori_loop(0, number, update, s))(metric.init())


def test_a_mean_of_many_small_numbers_is_exact():
    metric = metrics.Mean()
    state = many_updates(metric, jnp.float32(0.1), 3_000_000)
    assert state["count"] == 3_000_000
    np.testing.assert_allclose(metric.compute(state), 0.1, rtol=1e-7)
    np.testing.assert_allclose(state["total"], 3e5, rtol=1e-7)


def test_a_count_goes_on_beyond_what_float32_can_count():
    metric = metrics.Mean()
    state = {
        k: jnp.float32(2.0**24) if k in ("total", "count") else v for k, v in metric.init().items()
    }
    step = jax.jit(metric.update)
    for _ in range(1001):
        state = step(state, jnp.float32(1.0))
    assert float(state["count"]) + float(state["count_rest"]) == 2**24 + 1001
    assert metric.compute(state) == 1.0


def test_counts_of_decisions_go_on_beyond_float32():
    metric = metrics.TruePositives()
    ones = jnp.ones((1, 1))
    state = metric.init() | {"true_positives": jnp.full((1,), 2.0**24)}
    for _ in range(3):
        state = metric.update(state, ones, ones)
    assert float(state["true_positives"][0]) + float(state["true_positives_rest"][0]) == 2**24 + 3


def test_precise_sums_survive_jit_and_infinity():
    numbers = np.random.default_rng(0).normal(size=1000).astype("float32") * 1e4
    step = jax.jit(precise_sum)
    total = rest = jnp.float32(0.0)
    for x in numbers:
        total, rest = step(total, rest, x)
    exact = numbers.astype("float64").sum()
    np.testing.assert_allclose(float(total) + float(rest), exact, rtol=1e-12)
    assert step(total, rest, jnp.float32(jnp.inf))[0] == jnp.inf


def test_mean_weighs_as_keras_does():
    values = np.arange(12, dtype="float32").reshape(3, 4)
    for weight in (None, 2.0, np.array([1.0, 0.0, 3.0], "float32"), np.ones((3, 4), "float32") / 3):
        ours, theirs = metrics.Mean(), keras.metrics.Mean()
        for scale in (1.0, 2.0):
            ours.update_state(scale * values, weight)
            with jax.numpy_rank_promotion("allow"):
                theirs.update_state(scale * values, weight)
        np.testing.assert_allclose(ours.result(), theirs.result(), rtol=1e-6)
        np.testing.assert_allclose(ours.count, theirs.count.value, rtol=1e-6)
    assert metrics.Mean().result() == 0.0


def test_sum_weighs_as_keras_does():
    values = np.arange(3, dtype="float32")
    for weight in (None, np.array([1.0, 0.0, 3.0], "float32")):
        ours, theirs = metrics.Sum(), keras.metrics.Sum()
        np.testing.assert_allclose(ours(values, weight), np.asarray(theirs(values, weight)))


def test_ignored_classes_do_not_count_in_the_metric_either():
    y, p = np.array([0, 2, 1]), np.asarray(jax.nn.softmax(np.eye(3, dtype="float32")))
    metric = metrics.SparseCategoricalCrossentropy(ignore_class=2)
    loss = losses.SparseCategoricalCrossentropy(ignore_class=2)
    np.testing.assert_allclose(metric(y, p), loss(y, p), rtol=1e-6)


@pytest.mark.parametrize(
    ("true", "pred", "form"),
    [
        ((None, 1), (None, 1), "Binary"),
        ((None,), (None, 1), "Binary"),
        ((None,), (None, 10), "SparseCategorical"),
        ((None, 1), (None, 10), "SparseCategorical"),
        ((None, 5), (None, 5, 10), "SparseCategorical"),
        ((None, 10), (None, 10), "Categorical"),
    ],
)
def test_accuracy_and_crossentropy_are_chosen_by_shapes(true, pred, form):
    for word in ("accuracy", "acc", "ACC"):
        metric = metrics.resolve(word, true, pred)
        assert (type(metric).__name__, metric.name) == (f"{form}Accuracy", word)
    loss = losses.BinaryCrossentropy(from_logits=True)
    metric = metrics.resolve("ce", true, pred, loss)
    assert (type(metric).__name__, metric.name) == (f"{form}Crossentropy", "ce")
    assert metric.options["from_logits"] is True


def test_resolve_keeps_the_users_string_and_builds():
    shapes = (None, 3), (None, 3)
    assert metrics.resolve("mse", *shapes).name == "mse"
    assert type(metrics.resolve("AUC", *shapes)) is metrics.AUC
    assert metrics.resolve(metrics.F1Score(), *shapes).init()["true_positives"].shape == (3,)
    with pytest.raises(ConfigError, match="cannot be None"):
        metrics.resolve(None, *shapes)


def test_every_name_of_keras_is_known():
    left_out = {"ConcordanceCorrelation", "PearsonCorrelation"}
    left_out |= {"concordance_correlation", "pearson_correlation"}
    from_keras = keras.src.metrics.ALL_OBJECTS_DICT
    for name in set(from_keras) - left_out:
        if "_io_u" in name or name == "io_u":  # Keras' own snake case
            continue
        assert lookup("metric", name).__name__ == from_keras[name].__name__, name


def test_functions_are_wrapped_and_named():
    def distance(y_true, y_pred):
        return jnp.mean(jnp.abs(y_true - y_pred), axis=-1)

    metric = metrics.resolve(distance, (None, 2), (None, 2))
    assert (metric.name, metric._direction) == ("distance", None)
    assert metric(np.ones((4, 2), "float32"), np.zeros((4, 2), "float32")) == 1.0
    assert metrics.resolve(losses.huber, (None, 2), (None, 2))._direction == "down"


def test_a_wrapped_known_function_can_be_written():
    metric = metrics.MeanMetricWrapper(metrics.binary_accuracy, name="b", threshold=0.9)
    again = metrics.deserialize(metrics.serialize(metric))
    y, p = np.ones((2, 1), "float32"), np.array([[0.8], [0.95]], "float32")
    assert again(y, p) == metric(y, p) == 0.5


def test_a_metric_of_the_users():
    metric = Positives(scale=2.0, name="mine")
    state = jax.jit(metric.update)(metric.init(), jnp.ones(3), jnp.ones(3))
    assert metric.compute(state)["total"] == 6.0
    np.testing.assert_array_equal(state["seen"], [2, 2])
    assert metric.total == 0.0
    assert metric(np.ones(2, "float32"), 0)["total"] == 4.0
    metric.reset_state()
    np.testing.assert_array_equal(metric.seen, [1, 1])
    with custom_object_scope({"Positives": Positives}):
        assert metrics.deserialize(metrics.serialize(metric)).scale == 2.0


def test_whole_numbers_keep_fractional_weights():
    def hits(y_true, y_pred):
        return jnp.sum(jnp.round(y_pred) == y_true, axis=-1).astype("int32")

    metric = metrics.MeanMetricWrapper(hits)
    true, pred = np.ones((3, 1), "float32"), np.array([[1.0], [0.0], [1.0]], "float32")
    metric.update_state(true, pred, np.array([0.25, 0.5, 0.5], "float32"))
    assert float(metric.result()) == pytest.approx(0.75 / 1.25)


def test_a_function_that_returns_a_number_of_python():
    metric = metrics.MeanMetricWrapper(lambda y_true, y_pred: 3)
    metric.update_state(np.ones((2, 1), "float32"), np.ones((2, 1), "float32"))
    assert float(metric.result()) == 3.0


def test_the_area_under_a_curve_of_one_threshold():
    metric = metrics.AUC(thresholds=[0.5])
    metric.update_state(np.array([0, 1, 1]), np.array([0.2, 0.6, 0.4], "float32"))
    # By hand: (0, 0), (0, 1/2) and (1, 1); Keras gives the same.
    assert float(metric.result()) == pytest.approx(0.75)


def test_a_metric_of_no_rows_is_no_nan():
    rows = np.zeros((0, 3), "float32")
    names = (
        "MeanSquaredError", "CategoricalAccuracy", "R2Score", "F1Score", "AUC", "Precision",
        "CosineSimilarity", "RootMeanSquaredError", "KLDivergence",
    )  # fmt: skip
    for name in names:
        metric = getattr(metrics, name)()
        metric.update_state(rows, rows)
        assert np.all(np.asarray(metric.result()) == 0), name


def test_a_metric_in_a_metric_keeps_its_state_apart():
    metric = Nested()
    state = jax.jit(metric.update)(metric.init(), jnp.full(2, 3.0), jnp.ones(2))
    assert set(state) == {"inner"}
    assert metric.compute(state) == 2.0
    assert metric.result() == 0.0
    with pytest.raises(
        ConfigError, match=r"'nested' cannot weigh or mask[\s\S]*sample_weight=None"
    ):
        metric.update(state, jnp.ones(2), jnp.ones(2), mask=jnp.ones(2, bool))


def test_an_update_that_fails_leaves_the_state():
    metric = metrics.MeanSquaredError()
    metric.update_state(np.ones((2, 1)), np.zeros((2, 1), "float32"))
    with pytest.raises(DataError, match=r"\(2, 1\)[\s\S]*\(2, 3\)"):
        metric.update(metric.init(), np.ones((2, 3)), np.zeros((2, 1), "float32"))
    assert metric.result() == 1.0


def test_state_is_declared_before_it_is_used():
    class Late(metrics.Metric):
        def update_state(self, y_true, y_pred):
            self.total = self.add_weight()

    class Loose(metrics.Metric):
        def __init__(self):
            super().__init__()
            self.add_weight()

    class Early(metrics.Metric):
        def __init__(self):
            self.total = self.add_weight()

    class Grows(metrics.Metric):
        def __init__(self):
            super().__init__()
            self.total = self.add_weight()

        def update_state(self, y_true, y_pred):
            self.total = self.total + y_true

    with pytest.raises(StateError, match=r"declares state while[\s\S]*build\(self"):
        Late().update({}, 1, 1)
    with pytest.raises(
        StateError, match=r"no attribute holds[\s\S]*self\.total = self\.add_weight"
    ):
        Loose().init()
    with pytest.raises(StateError, match=r"super\(\).__init__"):
        Early()
    with pytest.raises(StateError, match=r"depends on the shape[\s\S]*ensure_built"):
        metrics.F1Score().init()
    with pytest.raises(StateError, match=r"not a state of 'mean'[\s\S]*count, count_rest, total"):
        metrics.Mean().update({}, 1.0)
    with pytest.raises(StateError, match="changed the shape of its state 'total'"):
        Grows().update(Grows().init(), jnp.ones(2), 1)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: metrics.AUC(curve="ROK"), r"AUC[\s\S]*`curve`[\s\S]*'ROC'"),
        (lambda: metrics.AUC(num_thresholds=1), "whole number from 2"),
        (lambda: metrics.AUC(num_labels=3), "multi_label=True"),
        (
            lambda: metrics.Precision(thresholds=[0.5, 1.5]),
            r"Precision needs thresholds in \[0, 1\]",
        ),
        (lambda: metrics.PrecisionAtRecall(1.5), r"`recall` in \[0, 1\]"),
        (lambda: metrics.FBetaScore(beta=-1.0), "positive `beta`"),
        (lambda: metrics.R2Score(num_regressors=-1), "`num_regressors` of at least 0"),
        (lambda: metrics.IoU(2, [2]), r"out of range[\s\S]*0 to 1"),
        (lambda: metrics.get("acuracy"), r"No metric is known[\s\S]*'accuracy'"),
    ],
)
def test_options_are_checked(make, text):
    with pytest.raises(ConfigError, match=text):
        make()


@pytest.mark.parametrize(
    "name", ["binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy"]
)
def test_targets_that_do_not_fit_are_refused(name):
    with pytest.raises(DataError, match=r"\(4, 3\)"):
        getattr(metrics, name)(np.ones((4, 3)), np.ones((4, 2), "float32"))


def test_a_score_at_the_threshold_is_negative_and_nan_is_too():
    y, p = np.ones((4, 1), "float32"), np.array([[0.5], [0.75], [0.0], [np.nan]], "float32")
    for thresholds in (0.5, [0.75, 0.0, 0.5]):
        ours, theirs = metrics.TruePositives(thresholds), keras.metrics.TruePositives(thresholds)
        with jax.numpy_rank_promotion("allow"):
            expected = np.asarray(theirs(y, p))
        np.testing.assert_array_equal(ours(y, p), expected)


def test_every_public_name_of_keras_is_here():
    theirs = {name for name in dir(keras.metrics) if not name.startswith("_")}
    assert theirs - set(metrics.__all__) == set()


@pytest.mark.parametrize("name", ["pearson_correlation", "concordance_correlation"])
def test_a_correlation_needs_several_values(name):
    """Keras gives NaN (or 0) for outputs with one unit, whatever they are."""
    column = np.ones((4, 1), "float32")
    with pytest.raises(DataError, match=rf"{name} needs several[\s\S]*\(4, 1\)[\s\S]*axis=0"):
        getattr(metrics, name)(column, column)
    assert not word_of(metrics.PearsonCorrelation(axis=0))
    assert word_of(metrics.PearsonCorrelation())
    assert metrics.resolve(name, (None, 3), (None, 3))._direction == "up"


def test_a_mean_over_a_million_batches_keeps_its_precision():
    """A plain float32 sum of these loses the third digit; see the assertion at the end."""
    mean = metrics.Mean()
    values = np.random.default_rng(0).uniform(0.1, 0.3, 1_000_000).astype(np.float32)

    def body(carry, value):
        state, plain = carry
        return (mean.update(state, value, sample_weight=jnp.float32(32)), plain + 32 * value), None

    start = (mean.init(), jnp.float32(0))
    (state, plain), _ = jax.jit(lambda xs: jax.lax.scan(body, start, xs))(values)
    exact = np.mean(values, dtype=np.float64)
    np.testing.assert_allclose(mean.compute(state), exact, rtol=1e-7)
    assert abs(float(plain) / 32e6 - exact) > 1e-5 * exact
