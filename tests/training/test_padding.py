"""Padding: which models pad their last batch, and that it leaves no trace where they do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import engine_runs as runs
import jax.numpy as jnp
import numpy as np
import pytest
from engine_runs import BATCH, LABELS, ROWS, TARGETS, X, compiled, cut

import kgraph
from kgraph import Traits, layers, losses, metrics
from kgraph.declared import word_of
from kgraph.errors import ConfigError
from kgraph.training import engine as engines
from kgraph.training.prediction import Predictor

PROBABILITIES = np.exp(TARGETS) / np.exp(TARGETS).sum(-1, keepdims=True)
ONE_HOT = np.eye(3, dtype="float32")[LABELS]


class Doubling(layers.Layer):
    def call(self, inputs: Any) -> Any:
        return inputs * 2


class Apart(layers.Layer, traits=Traits(rows_independent=True)):
    """Says what nobody else can know."""

    def call(self, inputs: Any) -> Any:
        return inputs * 2


class AroundStatistics(Apart):
    """Its own call is as it was; what is inside has a say of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = layers.BatchNormalization()


class Redefined(Apart):
    def call(self, inputs: Any) -> Any:
        return inputs - jnp.mean(inputs, axis=0, keepdims=True)


class Cautious(layers.Layer, traits=lambda layer: Traits(rows_independent=layer.apart)):
    def __init__(self, apart: Any) -> None:
        super().__init__()
        self.apart = apart

    def call(self, inputs: Any) -> Any:
        return inputs * 2


class Renamed(layers.Dense):
    """Changes nothing, so what Dense says of itself holds."""


class Centred(layers.Layer, traits=Traits(rows_independent="by mask")):
    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        if not training:
            return inputs
        kept = None if mask is None else mask[:, None]
        return inputs - jnp.mean(inputs, axis=0, where=kept, keepdims=True)


class Chosen(layers.Layer, traits=Traits(rows_independent=True)):
    def call(self, inputs: Any) -> Any:
        return inputs[:, 0] > 0


class Penalized(layers.Layer, traits=Traits(rows_independent=True)):
    def call(self, inputs: Any) -> Any:
        self.add_loss(jnp.mean(inputs))
        return inputs


class Squares(losses.Loss, rows_independent=True):
    def call(self, y_true: Any, y_pred: Any) -> Any:
        return jnp.mean((y_true - y_pred) ** 2, axis=-1)


class ScaledSquares(Squares):
    def call(self, y_true: Any, y_pred: Any) -> Any:
        return 2 * super().call(y_true, y_pred)


class Counted(metrics.Metric, rows_independent=True):
    def __init__(self, name: str = "counted") -> None:
        super().__init__(name=name)
        self.total = self.add_weight()

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        weight = 1.0 if sample_weight is None else sample_weight
        self.total = self.total + jnp.sum(weight * jnp.sum(y_pred, axis=-1))

    def result(self) -> Any:
        return self.total


class Unweighted(metrics.Metric):
    def __init__(self, name: str = "unweighted") -> None:
        super().__init__(name=name)
        self.total = self.add_weight()

    def update_state(self, y_true: Any, y_pred: Any) -> None:
        self.total = self.total + jnp.sum(y_pred)

    def result(self) -> Any:
        return self.total


def squares(y_true: Any, y_pred: Any) -> Any:
    return jnp.mean((y_true - y_pred) ** 2, axis=-1)


def stateful() -> Any:
    inputs = kgraph.Input(batch_shape=(4, 2, 5))
    return kgraph.Model(inputs, layers.Dense(3)(layers.LSTM(2, stateful=True)(inputs)))


def always_in_training() -> Any:
    inputs = kgraph.Input((5,))
    x = layers.BatchNormalization()(inputs, training=True)
    return kgraph.Model(inputs, layers.Dense(3)(x))


def frozen() -> Any:
    model = runs.normalized()
    model.layers[2].trainable = False
    return model


def with_a_mask_of_its_own() -> Any:
    inputs = kgraph.Input((5,))
    x = layers.BatchNormalization()(inputs, mask=Chosen()(inputs))
    return kgraph.Model(inputs, layers.Dense(3)(x))


def renormalized() -> Any:
    return runs.mlp(layers.BatchNormalization(renorm=True))


def normalized_words() -> Any:
    inputs = kgraph.Input((6,), dtype="int32")
    x = layers.Embedding(5, 3, mask_zero=True)(inputs)
    x = layers.LSTM(3)(layers.BatchNormalization()(x))
    return kgraph.Model(inputs, layers.Dense(3)(x))


def normalized_images() -> Any:
    inputs = kgraph.Input((4, 4, 2))
    x = layers.BatchNormalization(axis=1)(layers.Conv2D(3, 2)(inputs))
    return kgraph.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))


def normalized_blocks() -> Any:
    inputs = kgraph.Input((5,))
    x = layers.Dense(4)(inputs)
    for _ in range(6):
        x = layers.BatchNormalization()(layers.Dense(4, activation="tanh")(x))
    return kgraph.Model(inputs, layers.Dense(3)(x))


DATA = {normalized_words: runs.WORDS, runs.recurrent: runs.WORDS, normalized_images: runs.IMAGES}
"""What models learn from, where it is not `X`."""
HOW = {
    normalized_blocks: {"stack": True}, normalized_images: {"remat": ["batch_normalization"]},
}  # fmt: skip
"""How they are compiled: what is repeated or computed again is told of rows as well."""


def across_rows() -> Any:
    inputs = kgraph.Input((5,))
    return kgraph.Model(inputs, layers.Softmax(axis=-2)(layers.Dense(3)(inputs)))


def mixed_images() -> Any:
    inputs = kgraph.Input((4, 4, 1))
    x = layers.Flatten()(layers.MixUp()(inputs))
    return kgraph.Model(inputs, layers.Dense(3)(x))


MSE = {"loss": "mse"}
PADS = {
    "dense": (runs.mlp, {}, (True, True)),
    "dropout": (runs.dropping, {}, (True, True)),
    "masked LSTM": (runs.recurrent, {}, (True, True)),
    "an axis from the end": (across_rows, {}, (False, False)),
    "batch statistics": (runs.normalized, {}, (False, True)),
    "statistics of rows that a mask leaves": (lambda: runs.mlp(Centred()), {}, (False, True)),
    "statistics by a mask of its own": (with_a_mask_of_its_own, {}, (False, True)),
    "frozen statistics": (frozen, {}, (True, True)),
    "statistics at all times": (always_in_training, {}, (False, False)),
    "own layer": (lambda: runs.mlp(Doubling()), {}, (False, False)),
    "own layer that says so": (lambda: runs.mlp(Apart()), {}, (True, True)),
    "with statistics inside": (lambda: runs.mlp(AroundStatistics()), {}, (False, True)),
    "redefined": (lambda: runs.mlp(Redefined()), {}, (False, False)),
    "said by options": (lambda: runs.mlp(Cautious("at inference")), {}, (False, True)),
    "not said by options": (lambda: runs.mlp(Cautious(False)), {}, (False, False)),
    "unchanged subclass": (lambda: runs.mlp(Renamed(4)), {}, (True, True)),
    "mixed images": (mixed_images, {}, (False, True)),
    "own function": (lambda: runs.mlp(activation=lambda x: x), {}, (False, False)),
    "add_loss": (lambda: runs.mlp(Penalized()), {}, (False, False)),
    "activity": (
        lambda: runs.mlp(layers.Dense(2, activity_regularizer="l2")), {}, (False, False),
    ),
    "stateful": (stateful, {}, (False, False)),
    "own loss": (runs.mlp, {"loss": squares}, (False, False)),
    "own loss that says so": (runs.mlp, {"loss": Squares()}, (True, True)),
    "redefined loss": (runs.mlp, {"loss": ScaledSquares()}, (False, False)),
    "own metric that says so": (runs.mlp, {**MSE, "metrics": [Counted()]}, (True, True)),
    "loss over rows as a metric": (runs.mlp, {**MSE, "metrics": [losses.Dice()]}, (False, False)),
    "loss over rows": (runs.mlp, {"loss": losses.Dice()}, (False, False)),
    "metric without weights": (runs.mlp, {**MSE, "metrics": [Unweighted()]}, (False, False)),
    "own metric function": (runs.mlp, {**MSE, "metrics": [squares]}, (False, False)),
    "metric over rows": (
        runs.mlp, {**MSE, "metrics": [metrics.PearsonCorrelation(axis=0)]}, (False, False),
    ),
    "loss_fn": (
        runs.mlp, {"loss_fn": lambda program, variables, batch, key: (jnp.zeros(()), {})},
        (False, False),
    ),
}  # fmt: skip


LAST = {
    "batch statistics", "statistics of rows that a mask leaves", "statistics at all times",
}  # fmt: skip
"""Those that pad a last batch alone, and tell layers of it."""


@pytest.mark.parametrize("name", PADS)
@pytest.mark.filterwarnings("ignore:.*function without a name")
def test_models_pad_where_it_is_exact(name: str) -> None:
    build, options, expected = PADS[name]
    model = compiled(build, **options)
    inputs = np.zeros((4, *(model.inputs[0].shape[1:])), model.inputs[0].dtype)
    targets = LABELS[:4] if not options else TARGETS[:4]
    data = runs.flat(model, inputs, targets)
    engine = model._kgraph.trainer.engine_for(data)
    assert (engine.pads_training, engine.pads_evaluation) == expected
    assert engine.pads_last == (engine.pads_training or name in LAST)


def test_a_layer_that_takes_no_mask_cannot_leave_rows_out_by_it() -> None:
    class Deaf(layers.Layer, traits=Traits(rows_independent="by mask")):
        def call(self, inputs: Any) -> Any:
            return inputs

    with pytest.raises(ConfigError, match=r"Deaf says that a mask .* takes none"):
        runs.mlp(Deaf())


# Each class of losses and metrics with what it takes: targets of one kind, outputs of another.
ANY = {"y": ONE_HOT, "outputs": PROBABILITIES}
SPARSE = {"y": LABELS.astype("int32"), "outputs": PROBABILITIES}
BINARY = {"y": ONE_HOT[:, :1], "outputs": PROBABILITIES[:, :1]}
CLASSES = {"y": LABELS.astype("int32"), "outputs": LABELS[::-1].astype("float32")}
OPTIONS: dict[str, Any] = {
    "SparseCategoricalCrossentropy": ({}, SPARSE),
    "SparseCategoricalAccuracy": ({}, SPARSE),
    "CategoricalGeneralizedCrossEntropy": ({}, SPARSE),
    "SparseTopKCategoricalAccuracy": ({"k": 2}, SPARSE),
    "TopKCategoricalAccuracy": ({"k": 2}, ANY),
    "CTC": ({}, {"y": LABELS[:, None] + 1, "outputs": np.tile(TARGETS[:, None], (1, 3, 2))}),
    "Circle": ({}, SPARSE),
    "IoU": ({"num_classes": 3, "target_class_ids": [0, 2]}, CLASSES),
    "MeanIoU": ({"num_classes": 3}, CLASSES),
    "OneHotIoU": ({"num_classes": 3, "target_class_ids": [0, 2]}, ANY),
    "OneHotMeanIoU": ({"num_classes": 3}, ANY),
    "BinaryIoU": ({}, BINARY),
    "PrecisionAtRecall": ({"recall": 0.5}, BINARY),
    "RecallAtPrecision": ({"precision": 0.5}, BINARY),
    "SensitivityAtSpecificity": ({"specificity": 0.5}, BINARY),
    "SpecificityAtSensitivity": ({"sensitivity": 0.5}, BINARY),
    "R2Score": ({}, ANY),
    "Mean": ({}, None),
    "Sum": ({}, None),
}
BASES = {"Loss", "LossFunctionWrapper", "Metric", "MeanMetricWrapper", "Terms"}
MIXES = {"Circle", "Dice", "Tversky"}


def _all(module: Any) -> list[str]:
    return [n for n in module.__all__ if n not in BASES and isinstance(getattr(module, n), type)]


def _padded(array: np.ndarray) -> np.ndarray:
    return np.concatenate([array, array[-1:], np.full_like(array[:1], 1)])


@pytest.mark.slow
def test_padded_rows_leave_no_trace_in_any_loss() -> None:
    names = _all(losses)
    assert len(names) >= 20
    kept = np.arange(ROWS + 2) < ROWS
    for name in names:
        options, given = OPTIONS.get(name, ({}, ANY))
        loss = getattr(losses, name)(**options)
        assert word_of(loss) == (name not in MIXES), name
        if name in MIXES:
            continue
        y, outputs = given["y"], given["outputs"]
        for weights in (None, runs.WEIGHTS):
            wide = None if weights is None else _padded(weights)
            value = loss._kgraph_finish(
                loss._kgraph_terms(_padded(y), _padded(outputs), wide, rows=kept)
            )
            expected = loss(y, outputs, weights)
            np.testing.assert_allclose(value, expected, rtol=2e-6, atol=1e-7, err_msg=name)


@pytest.mark.slow
def test_padded_rows_leave_no_trace_in_any_metric() -> None:
    names = _all(metrics)
    assert len(names) >= 40
    kept = np.arange(ROWS + 2) < ROWS
    for name in names:
        options, given = OPTIONS.get(name, ({}, ANY))
        metric = getattr(metrics, name)(**options)
        assert metric._kgraph_takes_sample_weight, name
        arrays = [TARGETS[:, 0]] if given is None else [given["y"], given["outputs"]]
        metric.ensure_built(arrays[0].shape, arrays[-1].shape)
        pairs = [*arrays, None][:2]
        exact = metric.update(metric.init(), *pairs)
        padded = metric.update(metric.init(), *[p if p is None else _padded(p) for p in pairs],
                               mask=kept)  # fmt: skip
        np.testing.assert_allclose(
            metric.compute(padded), metric.compute(exact), rtol=2e-6, atol=1e-7, err_msg=name
        )


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(runs.mlp, id="dense"),
        pytest.param(runs.normalized, id="batch statistics"),
        pytest.param(renormalized, id="renormalized", marks=pytest.mark.slow),
        pytest.param(normalized_blocks, id="stacked statistics", marks=pytest.mark.slow),
        pytest.param(normalized_images, id="statistics of images", marks=pytest.mark.slow),
        pytest.param(normalized_words, id="masked statistics", marks=pytest.mark.slow),
        pytest.param(lambda: runs.mlp(Centred()), id="own statistics", marks=pytest.mark.slow),
        pytest.param(runs.recurrent, id="masked LSTM", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("stream", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_training_with_a_padded_batch_is_training_with_a_smaller_one(
    build: Any, stream: bool, monkeypatch: Any
) -> None:
    x, size = DATA.get(build, X), 5

    def batches() -> Iterator[Any]:
        for low in range(0, ROWS, size):
            yield x[low : low + size], LABELS[low : low + size]

    def trained() -> runs.Run:
        model = compiled(build, "sgd", **HOW.get(build, {}))
        if stream:
            return runs.trained(model, batches)
        return runs.trained(model, x, shuffle=False, batch_size=size)

    padded = trained()
    monkeypatch.setattr(engines, "padding_is_exact", lambda *_, **__: False)
    exact = trained()
    rounds = [e.reason for e in exact.model.compile_report() if e.function.startswith("train")]
    assert len(rounds) == 2, "the smaller batch is compiled for"
    for key, values in exact.logs.items():
        np.testing.assert_allclose(padded.logs[key], values, rtol=1e-6)
    for a, b in zip(padded.model.get_weights(), exact.model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


PAIRS = [(13, 4), (5, 8), (1, 3), (9, 3)]
MANY = [(rows, size) for rows in range(1, 10) for size in (1, 2, 4, 7, 9)]


@pytest.mark.parametrize("pairs", [PAIRS, pytest.param(MANY, marks=pytest.mark.slow)],
                         ids=["few", "many"])  # fmt: skip
def test_any_batches_evaluate_and_predict_as_one(pairs: Any) -> None:
    model = compiled()
    for rows, size in pairs:
        x, y = X[:rows], LABELS[:rows]
        case = f"{rows} rows by {size}"
        whole = model.predict(x, rows, 0)
        np.testing.assert_allclose(model.predict(x, size, 0), whole, rtol=1e-5, err_msg=case)
        batches = [(low, min(low + size, rows)) for low in range(0, rows, size)]
        parts = [model.evaluate(x[a:b], y[a:b], b - a, 0) for a, b in batches]
        # A loss is the mean over rows, whatever the batches were.
        expected = np.average(parts, axis=0, weights=[b - a for a, b in batches])
        np.testing.assert_allclose(
            model.evaluate(x, y, size, 0), expected, rtol=1e-5, atol=1e-7, err_msg=case
        )


def test_statistics_at_all_times_never_see_rows_that_pad() -> None:
    model = compiled(always_in_training, "sgd", loss="mse", metrics=[])
    by_batch = [model.test_on_batch(x, np.eye(3, dtype="float32")[y]) for x, y in cut()]
    weights = [len(x) for x, _ in cut()]
    loss = model.evaluate(X, ONE_HOT, BATCH, 0)
    np.testing.assert_allclose(loss, np.average(by_batch, weights=weights), rtol=1e-6)
    assert not Predictor(model._kgraph.programs.inference(), model._kgraph.trainer.compiler).pads
    parts = [model.predict(x, len(x), 0) for x, _ in cut()]
    np.testing.assert_allclose(model.predict(X, BATCH, 0), np.concatenate(parts), rtol=1e-5)
