"""Every loss meets the same checks: Keras' numbers and gradients, jit, config, extreme values."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import kgraph.losses as losses
from kgraph.declared import word_of
from kgraph.registry import describe, restore, snake_case

RNG = np.random.default_rng(7)
SHAPE = (6, 3, 4)


def real():
    return RNG.normal(size=SHAPE).astype("float32"), RNG.normal(size=SHAPE).astype("float32")


def positive():
    return tuple(np.abs(x) + 0.1 for x in real())


def signs():
    return np.sign(RNG.normal(size=SHAPE)).astype("float32"), real()[1]


def binary():
    y = RNG.integers(0, 2, SHAPE).astype("float32")
    return y, RNG.uniform(0.05, 0.95, SHAPE).astype("float32")


def one_hot():
    y = np.eye(4, dtype="float32")[RNG.integers(0, 4, SHAPE[:2])]
    return y, np.asarray(jax.nn.softmax(RNG.normal(size=SHAPE).astype("float32")))


def sparse():
    return RNG.integers(0, 4, SHAPE[:2]), one_hot()[1]


def embeddings():
    y_pred = RNG.normal(size=(6, 4)).astype("float32")
    # The row of class 2 is alone: it has no positive pair, so it does not count.
    return np.array([0, 1, 0, 1, 2, 1]), y_pred / np.linalg.norm(y_pred, axis=1, keepdims=True)


def transcripts():
    labels = np.array([[1, 2], [3, 3], [2, 0], [0, 0], [3, 1], [1, 0]])
    return labels, real()[1]


def logits_of(data):
    return lambda: (data()[0], 2.0 * real()[1])


CASES = [
    ("MeanSquaredError", {}, real),
    ("MeanAbsoluteError", {}, real),
    ("MeanAbsolutePercentageError", {}, positive),
    ("MeanSquaredLogarithmicError", {}, positive),
    ("Huber", {"delta": 0.5}, real),
    ("LogCosh", {}, real),
    ("CosineSimilarity", {}, real),
    ("CosineSimilarity", {"axis": 1}, real),
    ("KLDivergence", {}, one_hot),
    ("Poisson", {}, positive),
    ("Hinge", {}, signs),
    ("Hinge", {}, logits_of(binary)),
    ("SquaredHinge", {}, signs),
    ("CategoricalHinge", {}, one_hot),
    ("BinaryCrossentropy", {}, binary),
    ("BinaryCrossentropy", {"label_smoothing": 0.1, "axis": 1}, binary),
    ("BinaryCrossentropy", {"from_logits": True}, logits_of(binary)),
    ("BinaryFocalCrossentropy", {}, binary),
    ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "gamma": 1.5}, binary),
    ("BinaryFocalCrossentropy", {"from_logits": True}, logits_of(binary)),
    ("CategoricalCrossentropy", {}, one_hot),
    ("CategoricalCrossentropy", {"label_smoothing": 0.2}, one_hot),
    ("CategoricalCrossentropy", {"from_logits": True}, logits_of(one_hot)),
    ("CategoricalFocalCrossentropy", {}, one_hot),
    ("CategoricalFocalCrossentropy", {"alpha": 0.7, "gamma": 3.0}, one_hot),
    ("CategoricalFocalCrossentropy", {"from_logits": True}, logits_of(one_hot)),
    ("SparseCategoricalCrossentropy", {}, sparse),
    ("SparseCategoricalCrossentropy", {"ignore_class": 2}, sparse),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, logits_of(sparse)),
    ("CategoricalGeneralizedCrossEntropy", {"q": 0.7}, sparse),
    ("Circle", {}, embeddings),
    ("Circle", {"gamma": 3.0, "margin": 0.2, "remove_diagonal": False}, embeddings),
    ("CTC", {}, transcripts),
    ("Dice", {}, binary),
    ("Dice", {"axis": (1, 2)}, binary),
    ("Tversky", {"alpha": 0.3, "beta": 0.7}, binary),
    ("Tversky", {"axis": [2]}, binary),
]
IDS = [f"{name}-{i}" for i, (name, _, _) in enumerate(CASES)]
case = pytest.mark.parametrize(("name", "options", "data"), CASES, ids=IDS)
REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none")

# Both sides compute in float32 by formulas that may round differently.
CLOSE = {"rtol": 2e-5, "atol": 2e-6}


def both(name, options):
    return getattr(losses, name)(**options), getattr(keras.losses, name)(**options)


def keras_call(loss, y_true, y_pred, sample_weight=None, mask=None):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        y_pred = jnp.array(y_pred)
        if mask is not None:
            keras.src.backend.set_keras_mask(y_pred, jnp.asarray(mask))
        return loss(y_true, y_pred, sample_weight=sample_weight)


@case
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_values_are_those_of_keras(name, options, data, reduction):
    ours, theirs = both(name, {**options, "reduction": reduction})
    y_true, y_pred = data()
    np.testing.assert_allclose(ours(y_true, y_pred), keras_call(theirs, y_true, y_pred), **CLOSE)


def weights_like(values, number):
    if number == 0:
        return RNG.uniform(0, 2, values.shape).astype("float32")
    return RNG.uniform(0, 2, (values.shape[0],) + (1,) * (values.ndim - 1)).astype("float32")


@case
@pytest.mark.parametrize("number", [0, 1], ids=["full", "rows"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_weighted_values_are_those_of_keras(name, options, data, number, reduction):
    ours, theirs = both(name, {**options, "reduction": reduction})
    y_true, y_pred = data()
    values = type(ours)(**{**options, "reduction": "none"})(y_true, y_pred)
    # A loss over the whole batch has one value, and still takes a weight for each row.
    weight = weights_like(values if values.ndim else np.zeros(SHAPE[0]), number)
    np.testing.assert_allclose(
        ours(y_true, y_pred, sample_weight=weight),
        keras_call(theirs, y_true, y_pred, sample_weight=weight),
        **CLOSE,
    )


@case
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
def test_masked_values_are_those_of_keras(name, options, data, reduction, weighted):
    ours, theirs = both(name, {**options, "reduction": reduction})
    y_true, y_pred = data()
    values = type(ours)(**{**options, "reduction": "none"})(y_true, y_pred)
    if values.ndim == 0:
        pytest.skip("a loss over the whole batch has one value")
    mask = RNG.random(values.shape) > 0.4
    weight = weights_like(values, 0) if weighted else None
    np.testing.assert_allclose(
        ours(y_true, y_pred, sample_weight=weight, mask=mask),
        keras_call(theirs, y_true, y_pred, weight, mask),
        **CLOSE,
    )


@case
def test_gradients_are_those_of_keras(name, options, data):
    ours, theirs = both(name, options)
    y_true, y_pred = data()
    mine = jax.grad(lambda p: ours(y_true, p))(jnp.asarray(y_pred))
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        keras_gradient = jax.grad(lambda p: theirs(y_true, p))(jnp.asarray(y_pred))
    np.testing.assert_allclose(mine, keras_gradient, rtol=1e-4, atol=1e-6)


@case
def test_jit_changes_nothing(name, options, data):
    ours, _ = both(name, options)
    y_true, y_pred = data()
    jitted = jax.jit(lambda t, p: ours(t, p))(y_true, y_pred)
    # Sums of terms of order 1 may cancel: what is left has their rounding, about 1e-7, not its own.
    np.testing.assert_allclose(jitted, ours(y_true, y_pred), rtol=1e-6, atol=1e-7)


@case
def test_config_round_trip(name, options, data):
    ours, _ = both(name, {**options, "reduction": "sum", "name": "mine"})
    again = restore(json.loads(json.dumps(describe(ours))))
    assert type(again) is type(ours)
    assert again.get_config() == ours.get_config()
    assert (again.name, again.reduction) == ("mine", "sum")
    y_true, y_pred = data()
    assert again(y_true, y_pred) == ours(y_true, y_pred)


@case
def test_names_and_defaults_are_those_of_keras(name, options, data):
    ours, theirs = getattr(losses, name)(), getattr(keras.losses, name)()
    assert (ours.name, ours.reduction) == (theirs.name, theirs.reduction)
    for option, value in theirs.get_config().items():
        assert ours.get_config()[option] == value


@case
def test_bfloat16_outputs_are_summed_in_float32(name, options, data):
    ours, _ = both(name, options)
    y_true, y_pred = data()
    short = jnp.asarray(y_pred, jnp.bfloat16)
    value = ours(y_true, short)
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, ours(y_true, short.astype(jnp.float32)), rtol=1e-6, atol=1e-7)


@case
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_extremes_are_finite(name, options, data, size):
    if data in (positive,) and size < 0:
        pytest.skip("rates are positive")
    ours, _ = both(name, options)
    y_true, y_pred = data()
    extreme = jnp.full_like(y_pred, size).at[..., 0].set(-size if data is not positive else 1e-30)
    if not options.get("from_logits") and data in (binary, one_hot, sparse):
        extreme = (extreme > 0).astype(jnp.float32)
    value, gradient = jax.value_and_grad(lambda p: ours(y_true, p))(extreme)
    assert jnp.isfinite(value)
    assert jnp.isfinite(gradient).all()


@pytest.mark.slow
@case
def test_pieces_of_a_batch_add_up(name, options, data):
    """Micro-batches, and a padded last batch, have exactly the loss of the whole."""
    ours, _ = both(name, options)
    if not word_of(ours):
        pytest.skip("a row's value depends on the others")
    y_true, y_pred = (jnp.asarray(x) for x in data())
    values, _ = ours._kgraph_values(y_true, y_pred)
    mask = RNG.random(values.shape) > 0.3
    whole = ours(y_true, y_pred, mask=mask)
    pieces = [
        ours._kgraph_terms(y_true[s], y_pred[s], mask=mask[s]) for s in (slice(0, 2), slice(2, 6))
    ]
    summed = ours._kgraph_finish(jax.tree.map(jnp.add, *pieces))
    np.testing.assert_allclose(summed, whole, rtol=1e-5, atol=1e-7)

    def padded(x):
        return jnp.concatenate([x, x[:3]])

    terms = ours._kgraph_terms(
        padded(y_true), padded(y_pred), mask=padded(mask), rows=np.arange(9) < 6
    )
    np.testing.assert_allclose(ours._kgraph_finish(terms), whole, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("BinaryCrossentropy", logits_of(binary)),
        ("BinaryFocalCrossentropy", logits_of(binary)),
        ("CategoricalCrossentropy", logits_of(one_hot)),
        ("CategoricalFocalCrossentropy", logits_of(one_hot)),
        ("SparseCategoricalCrossentropy", logits_of(sparse)),
    ],
)
def test_on_logits_is_the_loss_of_the_activated_output(name, data):
    loss = getattr(losses, name)(reduction="sum", name="mine")
    y_true, logits = data()
    activate = jax.nn.sigmoid if name.startswith("Binary") else jax.nn.softmax
    fused = loss._kgraph_on_logits()
    assert (fused.from_logits, fused.name, fused.reduction) == (True, "mine", "sum")
    np.testing.assert_allclose(fused(y_true, logits), loss(y_true, activate(logits)), rtol=1e-5)
    assert fused._kgraph_on_logits() is None


def test_other_losses_have_none_on_logits():
    assert losses.MeanSquaredError()._kgraph_on_logits() is None


@pytest.mark.parametrize(
    ("name", "options", "data"),
    [c for c in CASES if c[0] not in ("Dice", "Tversky")],
    ids=[i for i in IDS if not i.startswith(("Dice", "Tversky"))],
)
def test_functions_are_those_of_keras(name, options, data):
    word = {"KLDivergence": "kl_divergence"}.get(name) or snake_case(name)
    y_true, y_pred = data()
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        expected = getattr(keras.losses, word)(y_true, y_pred, **options)
    np.testing.assert_allclose(getattr(losses, word)(y_true, y_pred, **options), expected, **CLOSE)
