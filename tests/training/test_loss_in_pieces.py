"""A loss in pieces of the last product: losses, metrics and gradients of the plain step."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kgraph import Input, Layer, Model, Traits, losses, metrics
from kgraph import layers as L
from kgraph.errors import ConfigError
from kgraph.graph import Projection
from kgraph.losses.in_pieces import Classes, Pieces, cross_entropy
from kgraph.metrics.of_scores import reader_of
from kgraph.training import pieces
from kgraph.training.step import Batch

ROWS, STEPS, WIDTH, CLASSES = 5, 6, 8, 21
RANDOM = np.random.default_rng(0)
WORDS = RANDOM.integers(0, WIDTH, (ROWS, STEPS)).astype(np.int32)
WORDS[:, 4:] = 0
LABELS = RANDOM.integers(0, CLASSES, (ROWS, STEPS)).astype(np.int32)
SOFT = RANDOM.dirichlet(np.ones(CLASSES), (ROWS, STEPS)).astype(np.float32)
BY_ROW = RANDOM.uniform(0, 2, ROWS).astype(np.float32)
BY_STEP = RANDOM.uniform(0, 2, (ROWS, STEPS)).astype(np.float32)
BY_STEP[0] = 0
LOSS = losses.SparseCategoricalCrossentropy
ONE_HOT = losses.CategoricalCrossentropy
SPARSE: tuple[Any, ...] = (
    metrics.SparseCategoricalAccuracy,
    lambda: metrics.SparseTopKCategoricalAccuracy(3),
    lambda: metrics.SparseCategoricalCrossentropy(from_logits=True),
)
DENSE: tuple[Any, ...] = (
    metrics.CategoricalAccuracy,
    lambda: metrics.TopKCategoricalAccuracy(3),
    lambda: metrics.CategoricalCrossentropy(from_logits=True),
)


class Tied(Layer, traits=Traits(projection=Projection("table", "", transposed=True))):
    """A user's last layer, with a kernel that lies the other way round."""

    def build(self, input_shape):
        self.table = self.add_weight((CLASSES, input_shape[-1]), "glorot_uniform", name="table")

    def call(self, inputs):
        return inputs @ self.table.T


def head(name: str, **options: Any) -> Any:
    made = {
        "dense": lambda: L.Dense(CLASSES, name="head", bias_initializer="normal", **options),
        "einsum": lambda: L.EinsumDense("abc,dc->abd", (STEPS, CLASSES), bias_axes="d"),
        "...": lambda: L.EinsumDense("...c,cd->...d", (CLASSES,)),
        "own": Tied,
    }
    return made[name]()


def model(name: str = "dense", policy: str | None = None, masks: bool = False, **options: Any):
    inputs = x = Input((STEPS,), dtype="int32")
    if name == "reversible":
        words = L.ReversibleEmbedding(CLASSES, WIDTH, dtype=policy, **options)
        hidden = L.Dense(WIDTH, "tanh", dtype=policy)(words(x))
        return Model(inputs, words(hidden, reverse=True))
    x = L.Embedding(WIDTH, WIDTH, mask_zero=masks, dtype=policy)(x)
    x = L.Dense(WIDTH, "tanh", dtype=policy)(x)
    if name == "rows":
        return Model(inputs, L.Dense(CLASSES, dtype=policy)(L.Flatten()(x)))
    if name == "image":
        x = L.Reshape((3, 2, WIDTH))(x)
    if name in ("rows", "image"):
        return Model(inputs, L.Dense(CLASSES)(x))
    return Model(
        inputs, head(name, dtype=policy, **options)(x) if policy else head(name, **options)(x)
    )


def scored(model: Model, how: Any, y: Any, weight: Any = None, kept: Any = None, **options: Any):
    """Returns losses, gradients and metrics of a batch, and the text of what computes them."""
    model.compile("sgd", loss_in_pieces=how, **options)
    batch = Batch([WORDS], [y], [weight])
    engine = model._kgraph.trainer.engine_for(batch)
    program, objective = engine.program, engine.objective
    variables = program.init(jax.random.key(3))

    def run(params, batch):
        def loss(params, training=True):
            given = {**variables, "params": params}
            found = objective.score(program, given, batch, None, kept, training)
            return found.total, found

        (total, found), grads = jax.value_and_grad(loss, has_aux=True)(params)
        results = [found, loss(params, training=False)[1]]
        states = [objective.update(objective.init(), batch, one, kept) for one in results]
        return total, grads, [objective.results(state) for state in states]

    lowered = jax.jit(run).lower(variables["params"], batch)
    return lowered.compile()(variables["params"], batch), lowered.as_text()


CASES: dict[str, dict[str, Any]] = {
    "dense": {},
    "without bias": {"make": {"use_bias": False}},
    "softmax": {"make": {"activation": "softmax"}, "loss": lambda: LOSS(), "metrics": SPARSE[:2]},
    "einsum": {"make": {"name": "einsum"}},
    "einsum ...": {"make": {"name": "..."}},
    "own": {"make": {"name": "own"}},
    "tied": {"make": {"name": "reversible"}},
    "not tied": {"make": {"name": "reversible", "tie_weights": False}},
    "rows": {"make": {"name": "rows"}, "y": LABELS[:, 0]},
    "image": {"make": {"name": "image"}, "y": LABELS.reshape(ROWS, 3, 2)},
    "labels of size 1": {"y": LABELS[..., None]},
    "one-hot": {"y": SOFT, "loss": lambda: ONE_HOT(from_logits=True), "metrics": DENSE},
    "smoothing": {
        "y": SOFT, "metrics": DENSE[:2],
        "loss": lambda: ONE_HOT(from_logits=True, label_smoothing=0.2),
    },
    "labels that are not there": {"y": np.where(LABELS % 3, LABELS, -1)},
    "ignored": {"loss": lambda: LOSS(from_logits=True, ignore_class=3)},
    "masks": {"make": {"masks": True}},
    "weights of rows": {"weight": BY_ROW},
    "weights of steps": {"weight": BY_STEP, "weighted": True},
    "sum": {"loss": lambda: LOSS(from_logits=True, reduction="sum"), "weight": BY_ROW},
    "mean by weights": {
        "loss": lambda: LOSS(from_logits=True, reduction="mean_with_sample_weight"),
        "weight": BY_STEP, "make": {"masks": True},
    },
    "padded": {"kept": np.arange(ROWS) < 3},
    "axis 2": {"loss": lambda: LOSS(from_logits=True, axis=2)},
}  # fmt: skip


QUICK = ("dense", "softmax", "tied", "smoothing", "masks")


def both(case: dict[str, Any], policy: str | None = None, rows: int = 8) -> list[Any]:
    """Returns what `scored` does, of the plain step and of pieces."""
    found = []
    for how in (False, rows):
        seen = [make() for make in case.get("metrics", SPARSE)]
        given: dict[str, Any] = {"weighted_metrics" if case.get("weighted") else "metrics": seen}
        given["loss"] = case.get("loss", lambda: LOSS(from_logits=True))()
        made = model(policy=policy, **case.get("make", {}))
        rest = (case.get("y", LABELS), case.get("weight"), case.get("kept"))
        found.append(scored(made, how, *rest, **given))
    return found


def by_case(names: Any) -> Any:
    marks = [() if name in QUICK else pytest.mark.slow for name in names]
    rows = [pytest.param(CASES[name], marks=mark, id=name) for name, mark in zip(names, marks)]
    return pytest.mark.parametrize("case", rows)


@by_case(CASES)
def test_losses_metrics_and_gradients_are_those_of_the_plain_step(case):
    (plain, whole), (cut, text) = both(case)
    assert jax.tree.structure(plain) == jax.tree.structure(cut)
    for one, two in zip(jax.tree.leaves(plain), jax.tree.leaves(cut)):
        np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-6)
    logits = r"dot_general.*-> tensor<5x(6x|3x2x|)21xf32>"
    assert re.search(logits, whole)
    assert not re.search(logits, text)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@by_case(["without bias", "not tied", "smoothing", "masks"])
def test_short_floats_are_as_exact_as_in_the_plain_step(case, policy):
    exact, plain, cut = both(case)[0][0], *(found for found, _ in both(case, policy))
    step = {"mixed_bfloat16": 2.0**-8, "mixed_float16": 2.0**-11}[policy]
    for true, one, two in zip(*map(jax.tree.leaves, (exact, plain, cut))):
        assert one.dtype == two.dtype
        true, one, two = (np.asarray(x, np.float64) for x in (true, one, two))
        error = np.abs(one - true).max() + step * np.abs(true).max()
        assert np.abs(two - true).max() <= 2 * error


def test_of_equal_logits_the_first_is_the_best():
    for label, best in ((0, False), (1, True), (2, False)):
        given = jnp.zeros((1, 1)), jnp.ones((1, 4)), jnp.array([0.0, 1, 1, 0])
        how, y = Pieces(Classes(sparse=True), 1, ranks=True), jnp.array([label])
        _, scores = jax.jit(partial(cross_entropy, pieces=how))(given, y, jnp.ones(1))
        above = 0 if label else 2
        assert (bool(scores.best[0]), int(scores.above[0])) == (best, above)
        for k in (1, 2, 3):
            hits = reader_of(metrics.SparseTopKCategoricalAccuracy(k), how.classes, True)
            assert hits is not None
            assert bool(hits(scores)[0]) == (above < k)


# --- when it is done, and what is said


class Own(LOSS):
    def call(self, y_true, y_pred):
        return super().call(y_true, y_pred) * 2


def report(model: Model, y: Any = LABELS, **options: Any) -> str:
    model.compile("sgd", **{"loss": LOSS(from_logits=True), **options})
    model.fit(WORDS, y, verbose=0)
    return repr(model.compile_report())


def twice_read() -> Model:
    made = model()
    return Model(made.inputs, [made.outputs[0], L.Activation("tanh")(made.outputs[0])])


def penalized() -> Model:
    return model(activity_regularizer="l2")


REFUSED: dict[str, Any] = {
    "metric": (model, {"metrics": [metrics.CategoricalHinge()]}, "'categorical_hinge' reads all"),
    "metric of probabilities": (
        lambda: model(activation="softmax"), {"loss": LOSS(), "metrics": ["crossentropy"]},
        "'crossentropy' reads all",
    ),
    "reader": (twice_read, {"loss": [LOSS(from_logits=True), None]}, "'activation' reads them too"),
    "activity": (penalized, {}, "adds a loss of its own"),
    "activation": (lambda: model(activation="tanh"), {}, "ends in 'tanh'"),
    "own loss": (model, {"loss": Own(from_logits=True)}, "Own computes something of its own"),
    "axis": (model, {"loss": LOSS(from_logits=True, axis=1)}, "classes lie along axis 1"),
    "no product": (
        lambda: Model((i := Input((STEPS,), dtype="int32")), L.Embedding(WIDTH, CLASSES)(i)), {},
        "is no product",
    ),
    "other loss": (model, {"loss": "mse"}, "other losses"),
    "own passes": (model, {"passes": ()}, "passes or steps"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "options", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_in_pieces_is_refused_with_the_reason(make, options, reason):
    given = {"loss": LOSS(from_logits=True), **options}
    made = make()
    made.compile("sgd", loss_in_pieces=True, **given)
    y = LABELS[:, :, None] if reason == "'categorical_hinge' reads all" else LABELS
    targets = [y] + [None] * (len(made.outputs) - 1)
    with pytest.raises(ConfigError, match=reason):
        made._kgraph.trainer.engine_for(Batch([WORDS], targets, [None] * len(targets)))


def test_by_default_large_losses_are_in_pieces_and_small_programs_stay(monkeypatch):
    monkeypatch.setattr(pieces, "_LEAST_LOGITS", ROWS * STEPS * CLASSES)
    assert "in pieces" not in report(model())  # few classes: not even looked at
    monkeypatch.setattr(pieces, "_LEAST_CLASSES", CLASSES)
    assert "train: loss of 'head' in 4 pieces of 8 rows" in report(model())
    reads = {"metrics": [metrics.SparseCategoricalAccuracy(), "sparse_categorical_crossentropy"]}
    said = "train: loss of 'head' not in pieces: the metric 'sparse_categorical_crossentropy'"
    assert said in report(model(), **reads)
    monkeypatch.setattr(pieces, "_LEAST_LOGITS", ROWS * STEPS * CLASSES + 1)
    assert "not in pieces: 30 rows of 21 logits are few" in report(model())
    assert "in pieces" not in report(model(), loss_in_pieces=False)


@pytest.mark.parametrize("given", ["never", 0, -3, 2.5, None])
def test_the_option_is_checked(given):
    with pytest.raises(ConfigError, match="loss_in_pieces"):
        model().compile("sgd", LOSS(), loss_in_pieces=given)


def test_the_option_is_part_of_what_compile_was_given():
    made = model()
    made.compile("sgd", LOSS(from_logits=True), loss_in_pieces=7)
    assert (made.get_compile_config() or {})["loss_in_pieces"] == 7
    made.compile("sgd", LOSS(from_logits=True))
    assert "loss_in_pieces" not in (made.get_compile_config() or {})


def test_the_program_shows_the_factors_and_predictions_have_logits():
    made = model()
    made.compile("sgd", LOSS(from_logits=True), loss_in_pieces=True)
    engine = made._kgraph.trainer.engine_for(Batch([WORDS], [LABELS], [None]))
    line = "[batch, 6, 8] float32, [8, 21] float32, [21] float32 = Factors of head(dense)"
    assert line in str(engine.program)
    assert "-- expose_factors" in str(engine.program)
    assert made.predict(WORDS, verbose=0).shape == (ROWS, STEPS, CLASSES)
