"""Every metric meets the same checks: Keras' numbers over several updates, jit, config, names."""

from __future__ import annotations

import json
import warnings

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import kgraph.metrics as metrics
from kgraph.registry import describe, restore

ROWS, CLASSES = 8, 4
UPDATES = 3


def real(rng):
    shape = (ROWS, CLASSES)
    return rng.normal(size=shape).astype("float32"), rng.normal(size=shape).astype("float32")


def positive(rng):
    return tuple(np.abs(x) + 0.1 for x in real(rng))


def signs(rng):
    y, p = real(rng)
    return np.sign(y), p


def binary(rng):
    y = rng.integers(0, 2, (ROWS, 1)).astype("float32")
    return y, rng.uniform(0.02, 0.98, (ROWS, 1)).astype("float32")


def labels(rng):
    y = rng.integers(0, 2, (ROWS, CLASSES)).astype("float32")
    return y, rng.uniform(0.02, 0.98, (ROWS, CLASSES)).astype("float32")


def logits(rng):
    y, p = labels(rng)
    return y, np.log(p / (1 - p))


def one_hot(rng):
    y = np.eye(CLASSES, dtype="float32")[rng.integers(0, CLASSES, ROWS)]
    return y, np.asarray(jax.nn.softmax(2 * real(rng)[1]))


def sparse(rng):
    return rng.integers(0, CLASSES, (ROWS,)), one_hot(rng)[1]


def sparse_column(rng):
    y, p = sparse(rng)
    return y[:, None], p


def sequences(rng):
    p = rng.normal(size=(ROWS, 5, CLASSES)).astype("float32")
    return rng.integers(0, CLASSES, (ROWS, 5)), np.asarray(jax.nn.softmax(p))


def numbers(rng):
    return rng.integers(0, CLASSES, (ROWS,)), rng.integers(0, CLASSES, (ROWS,))


def sorted_ids(rng):
    ranked = np.stack([rng.permutation(CLASSES) for _ in range(ROWS)])
    return rng.integers(0, CLASSES, (ROWS,)), ranked


THRESHOLDS = [0.9, 0.1, 0.5]
CASES = [
    ("Accuracy", {}, numbers),
    ("BinaryAccuracy", {}, binary),
    ("BinaryAccuracy", {"threshold": 0.3}, labels),
    ("CategoricalAccuracy", {}, one_hot),
    ("SparseCategoricalAccuracy", {}, sparse),
    ("SparseCategoricalAccuracy", {}, sparse_column),
    ("SparseCategoricalAccuracy", {}, sequences),
    ("TopKCategoricalAccuracy", {"k": 2}, one_hot),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, sparse),
    ("SparseTopKCategoricalAccuracy", {"k": 3}, sequences),
    ("SparseTopKCategoricalAccuracy", {"k": 2, "from_sorted_ids": True}, sorted_ids),
    ("MeanSquaredError", {}, real),
    ("RootMeanSquaredError", {}, real),
    ("MeanAbsoluteError", {}, real),
    ("MeanAbsolutePercentageError", {}, positive),
    ("MeanSquaredLogarithmicError", {}, positive),
    ("LogCoshError", {}, real),
    ("CosineSimilarity", {}, real),
    ("PearsonCorrelation", {}, real),
    ("ConcordanceCorrelation", {}, real),
    ("BinaryCrossentropy", {}, labels),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, logits),
    ("CategoricalCrossentropy", {}, one_hot),
    ("CategoricalCrossentropy", {"from_logits": True}, one_hot),
    ("SparseCategoricalCrossentropy", {}, sparse),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, sequences),
    ("KLDivergence", {}, one_hot),
    ("Poisson", {}, positive),
    ("Hinge", {}, signs),
    ("SquaredHinge", {}, signs),
    ("CategoricalHinge", {}, one_hot),
    ("AUC", {}, binary),
    ("AUC", {"num_thresholds": 7}, labels),
    ("AUC", {"summation_method": "minoring"}, labels),
    ("AUC", {"summation_method": "majoring"}, labels),
    ("AUC", {"curve": "PR"}, labels),
    ("AUC", {"curve": "PR", "summation_method": "minoring"}, labels),
    ("AUC", {"curve": "PR", "summation_method": "majoring", "thresholds": [0.7, 0.2]}, labels),
    ("AUC", {"curve": "PRGAIN"}, labels),
    ("AUC", {"thresholds": [0.25, 0.5, 0.75]}, labels),
    ("AUC", {"from_logits": True}, logits),
    ("AUC", {"label_weights": [0.1, 0.2, 0.3, 0.4]}, labels),
    ("AUC", {"multi_label": True}, labels),
    ("AUC", {"multi_label": True, "num_labels": CLASSES, "curve": "PR"}, labels),
    ("AUC", {"multi_label": True, "label_weights": [0.1, 0.2, 0.3, 0.4]}, labels),
    ("TruePositives", {}, labels),
    ("TrueNegatives", {"thresholds": THRESHOLDS}, labels),
    ("FalsePositives", {"thresholds": 0.3}, labels),
    ("FalseNegatives", {"thresholds": [0.0, 0.5, 1.0]}, labels),
    ("Precision", {}, labels),
    ("Precision", {"thresholds": THRESHOLDS}, binary),
    ("Precision", {"top_k": 2}, labels),
    ("Precision", {"class_id": 1}, labels),
    ("Recall", {}, labels),
    ("Recall", {"thresholds": THRESHOLDS}, binary),
    ("Recall", {"top_k": 2, "class_id": 3}, labels),
    ("SensitivityAtSpecificity", {"specificity": 0.6}, labels),
    ("SpecificityAtSensitivity", {"sensitivity": 0.6, "num_thresholds": 1}, labels),
    ("PrecisionAtRecall", {"recall": 0.5}, labels),
    ("RecallAtPrecision", {"precision": 0.5, "class_id": 2}, labels),
    ("F1Score", {}, one_hot),
    ("F1Score", {"average": "micro"}, one_hot),
    ("F1Score", {"average": "macro", "threshold": 0.4}, labels),
    ("FBetaScore", {"beta": 2.0, "average": "weighted"}, one_hot),
    ("R2Score", {}, real),
    ("R2Score", {"class_aggregation": None}, real),
    ("R2Score", {"class_aggregation": "variance_weighted_average", "num_regressors": 2}, real),
    ("IoU", {"num_classes": CLASSES, "target_class_ids": [0, 2]}, numbers),
    ("MeanIoU", {"num_classes": CLASSES, "ignore_class": 1}, numbers),
    ("MeanIoU", {"num_classes": CLASSES, "sparse_y_pred": False}, sparse),
    ("BinaryIoU", {"threshold": 0.4}, binary),
    ("OneHotIoU", {"num_classes": CLASSES, "target_class_ids": [1, 3]}, one_hot),
    ("OneHotMeanIoU", {"num_classes": CLASSES}, one_hot),
]
IDS = [f"{name}-{i}" for i, (name, _, _) in enumerate(CASES)]
case = pytest.mark.parametrize(("name", "options", "data"), CASES, ids=IDS)

# Both sides sum float32 in different orders; AUC adds 200 terms.
CLOSE = {"rtol": 2e-5, "atol": 1e-6}


def batches(data, seed=3):
    rng = np.random.default_rng(seed)
    return [data(rng) for _ in range(UPDATES)]


def row_weights(name, seed=4):
    rng = np.random.default_rng(seed)
    if "IoU" in name:  # Keras cuts these weights to integers
        return [rng.integers(0, 3, ROWS) for _ in range(UPDATES)]
    return [rng.uniform(0, 2, ROWS).astype("float32") for _ in range(UPDATES)]


def keras_result(name, options, seen):
    """Feeds Keras' metric with (y_true, y_pred, weights, mask) tuples."""
    theirs = getattr(keras.metrics, name)(**options)
    with (
        warnings.catch_warnings(),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        warnings.simplefilter("ignore")  # Keras' IoU asks JAX for 64-bit integers
        for y_true, y_pred, weight, mask in seen:
            y_pred = jnp.array(y_pred)
            if mask is not None:
                keras.src.backend.set_keras_mask(y_pred, jnp.asarray(mask))
            theirs.update_state(y_true, y_pred, sample_weight=weight)
        return np.asarray(theirs.result())


def run(metric, seen):
    """Feeds the pure functions, jitted, and gives the result and the last state."""
    metric.ensure_built(seen[0][0].shape, seen[0][1].shape)
    update = jax.jit(metric.update)
    state = metric.init()
    for y_true, y_pred, weight, mask in seen:
        state = update(state, y_true, y_pred, sample_weight=weight, mask=mask)
    return jax.jit(metric.compute)(state), state


@case
@pytest.mark.parametrize("weighted", [pytest.param(False, marks=pytest.mark.slow), True])
def test_results_are_those_of_keras(name, options, data, weighted):
    weights = row_weights(name) if weighted else [None] * UPDATES
    if weighted and data is sequences and name.startswith("SparseTopK"):
        weights = [np.repeat(w[:, None], 5, 1) for w in weights]
    seen = [(*b, w, None) for b, w in zip(batches(data), weights, strict=True)]
    result, _ = run(getattr(metrics, name)(**options), seen)
    expected = keras_result(name, options, seen)
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, **CLOSE)


@pytest.mark.parametrize(
    ("name", "options", "data"),
    [c for c in CASES if issubclass(getattr(metrics, c[0]), metrics.MeanMetricWrapper)],
)
def test_masked_results_are_those_of_keras(name, options, data):
    rng = np.random.default_rng(9)
    seen = []
    for y_true, y_pred in batches(data):
        shape = y_pred.shape[:2] if data is sequences else (ROWS,)
        seen.append((y_true, y_pred, rng.uniform(0, 2, shape), rng.random(shape) > 0.4))
    result, _ = run(getattr(metrics, name)(**options), seen)
    np.testing.assert_allclose(result, keras_result(name, options, seen), **CLOSE)


FIRST = {name: i for i, (name, *_) in reversed([*enumerate(CASES)])}.values()


@pytest.mark.parametrize(
    ("name", "options", "data"),
    [
        pytest.param(*c, id=name, marks=() if i in FIRST else pytest.mark.slow)
        for i, (c, name) in enumerate(zip(CASES, IDS, strict=True))
    ],
)
def test_a_mask_is_as_if_rows_were_not_there(name, options, data):
    """Keras ignores masks in all but the mean metrics; here they reach every metric."""
    kept = np.arange(ROWS) < 5
    seen = [(*b, None, kept) for b in batches(data)]
    fewer = [(t[kept], p[kept], None, None) for t, p, _, _ in seen]
    if options.get("num_regressors"):
        pytest.skip("the adjusted score counts samples without their weights, as in Keras")
    masked, _ = run(getattr(metrics, name)(**options), seen)
    dropped, _ = run(getattr(metrics, name)(**options), fewer)
    np.testing.assert_allclose(masked, dropped, **CLOSE)


@pytest.mark.slow
@case
def test_state_inside_and_outside_agree(name, options, data):
    seen = [(*b, None, None) for b in batches(data)]
    pure, state = run(getattr(metrics, name)(**options), seen)
    metric = getattr(metrics, name)(**options)
    for y_true, y_pred, _, _ in seen[:-1]:
        metric.update_state(y_true, y_pred)
    np.testing.assert_allclose(metric(*seen[-1][:2]), pure, rtol=1e-6, atol=1e-7)
    assert len(metric.variables) == len(jax.tree.leaves(state))
    metric.reset_state()
    assert all(not np.asarray(v).any() for v in metric.variables)


@pytest.mark.slow
@case
def test_updates_leave_no_trace_and_fit_a_scan(name, options, data):
    metric = getattr(metrics, name)(**options)
    seen = batches(data)
    metric.ensure_built(seen[0][0].shape, seen[0][1].shape)
    before = [np.asarray(v) for v in metric.variables]
    y_true, y_pred = (np.stack(x) for x in zip(*seen, strict=True))
    step = lambda state, batch: (metric.update(state, *batch), None)  # noqa: E731
    state, _ = jax.lax.scan(step, metric.init(), (y_true, y_pred))
    one_by_one, _ = run(metric, [(*b, None, None) for b in seen])
    np.testing.assert_allclose(metric.compute(state), one_by_one, rtol=1e-6, atol=1e-7)
    for old, now in zip(before, metric.variables, strict=True):
        np.testing.assert_array_equal(old, now)


@pytest.mark.slow
@case
def test_config_round_trip(name, options, data):
    metric = getattr(metrics, name)(**options, name="mine")
    again = restore(json.loads(json.dumps(describe(metric))))
    assert type(again) is type(metric)
    assert again.name == "mine"
    assert again.get_config() == metric.get_config()
    seen = [(*b, None, None) for b in batches(data)]
    np.testing.assert_array_equal(run(again, seen)[0], run(metric, seen)[0])


@case
def test_names_and_directions_are_those_of_keras(name, options, data):
    ours = getattr(metrics, name)(**options)
    theirs = getattr(keras.metrics, name)(**options)
    if not theirs.name.rstrip("0123456789").endswith("_"):  # a name that Keras has numbered
        assert ours.name == theirs.name
    assert ours._direction == getattr(theirs, "_direction", None)


@pytest.mark.slow
@case
def test_bfloat16_outputs_are_computed_in_float32(name, options, data):
    if data in (numbers, sorted_ids):
        pytest.skip("outputs are whole numbers")
    seen = [(t, jnp.asarray(p, jnp.bfloat16), None, None) for t, p in batches(data)]
    wide = [(t, p.astype(jnp.float32), None, None) for t, p, _, _ in seen]
    result, state = run(getattr(metrics, name)(**options), seen)
    assert result.dtype == jnp.float32
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(state))
    np.testing.assert_allclose(result, run(getattr(metrics, name)(**options), wide)[0], rtol=1e-6)
