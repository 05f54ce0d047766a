"""What losses refuse, and how they are found by name, wrapped and configured."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import kgraph
import kgraph.losses as losses
from kgraph.custom_objects import custom_object_scope
from kgraph.declared import word_of
from kgraph.descriptions import find_opaque
from kgraph.errors import ConfigError, DataError

ELEMENTWISE = [
    "mean_squared_error",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_logarithmic_error",
    "huber",
    "log_cosh",
    "cosine_similarity",
    "kl_divergence",
    "poisson",
    "hinge",
    "squared_hinge",
    "categorical_hinge",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "dice",
    "tversky",
]
PAIRS = [((4, 3), (4, 1)), ((4, 1), (4, 3)), ((4, 3), (3,)), ((4,), (4, 3)), ((1, 3), (4, 3))]


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize(("true", "pred"), PAIRS)
def test_shapes_that_would_broadcast_are_refused(name, true, pred, relaxed):
    for loss in (getattr(losses, name), losses.resolve(name)):
        with pytest.raises(DataError) as error:
            loss(np.ones(true, "float32"), np.ones(pred, "float32"))
        assert str(true) in str(error.value)
        assert str(pred) in str(error.value)


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.filterwarnings("ignore:.*over a single class")
def test_a_trailing_axis_of_one_is_squeezed(name):
    x, y = np.full((4,), 0.25, "float32"), np.full((4, 1), 0.5, "float32")
    loss = losses.resolve(name)
    assert loss(x, y) == loss(x[:, None], y)


def test_one_hot_targets_for_class_numbers_are_refused():
    with pytest.raises(
        DataError, match=r"one class number for each[\s\S]*categorical_crossentropy"
    ):
        losses.sparse_categorical_crossentropy(np.eye(3), np.ones((3, 3), "float32"))


def test_weights_that_do_not_fit_are_refused(relaxed):
    loss = losses.MeanSquaredError()
    with pytest.raises(DataError, match=r"sample_weight[\s\S]*\(4,\)[\s\S]*\(3,\)"):
        loss(np.ones((4, 2)), np.ones((4, 2)), sample_weight=np.ones(3))


def test_row_weights_reach_every_step():
    """Keras broadcasts `[n]` against `[n, time]` from the right, or fails."""
    y, p = np.zeros((2, 2, 1), "float32"), np.array([[[1.0], [2.0]], [[3.0], [4.0]]], "float32")
    loss = losses.MeanSquaredError(reduction="none")(y, p, sample_weight=np.array([1.0, 0.0]))
    np.testing.assert_array_equal(loss, [[1.0, 4.0], [0.0, 0.0]])


def test_masked_values_may_be_infinite():
    y, p = np.zeros((2, 1), "float32"), np.array([[2.0], [np.inf]], "float32")
    assert losses.MeanSquaredError()(y, p, mask=np.array([True, False])) == 4.0


def test_nothing_left_is_a_loss_of_zero_with_finite_gradients():
    loss, y = losses.MeanSquaredError(), np.zeros((2, 1), "float32")
    value, gradient = jax.value_and_grad(lambda p: loss(y, p, mask=np.zeros(2, bool)))(y + 1)
    assert value == 0.0
    np.testing.assert_array_equal(gradient, 0.0)


@pytest.mark.parametrize(
    "name",
    [
        "MeanSquaredError", "CategoricalCrossentropy", "BinaryCrossentropy", "Huber", "LogCosh",
        "KLDivergence", "CosineSimilarity", "Hinge", "Poisson", "CategoricalFocalCrossentropy",
    ],
)  # fmt: skip
def test_a_loss_of_no_rows_is_zero_with_finite_gradients(name):
    rows = jnp.zeros((0, 3))
    value, gradient = jax.value_and_grad(lambda x: getattr(losses, name)()(rows, x))(rows)
    assert float(value) == 0
    assert gradient.shape == (0, 3)


def test_large_class_numbers_do_not_pass_through_floats():
    seen = []

    def spy(y_true, y_pred):
        seen.append(y_true.dtype)
        return y_pred[:, 0]

    losses.LossFunctionWrapper(spy)(np.array([2**24 + 1]), jnp.ones((1, 2), jnp.bfloat16))
    assert seen == [jnp.int32]


LABELS = losses.SparseCategoricalCrossentropy()


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (np.array([0, 1, 3, 1]), r"0 to 2[\s\S]*3 in 1 of 4 rows, the first is row 2"),
        (np.array([[0, -1], [1, 1]]), r"-1 in 1 of 2 rows, the first is row 0"),
        (np.array([0.0, 1.5]), r"whole numbers[\s\S]*1\.5"),
        (np.array([0.0, np.nan]), r"NaN in 1 of 2 rows, the first is row 1"),
        (np.array(["a", "b"]), r"needs numbers as targets"),
        (np.eye(3), r"looks one-hot[\s\S]*categorical_crossentropy"),
    ],
)
def test_class_labels_that_would_be_lost_are_refused(labels, text):
    with pytest.raises(DataError, match=text):
        LABELS._kgraph_check_labels(labels, (None, 3))


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (np.array([[1, 4]]), r"does not have[\s\S]*1 to 3[\s\S]*1 of 1 rows"),
        (np.array([[1, 0], [0, 2]]), r"labels after a 0[\s\S]*the first is row 1"),
        (np.array([[1, 2, 3], [1, 1, 2]]), r"fit into 3 steps[\s\S]*at most 3 labels"),
    ],
)
def test_transcripts_that_cannot_be_written_are_refused(labels, text):
    """Keras counts the labels that are not 0, and gives what has no way through a loss of 1e5."""
    with pytest.raises(DataError, match=text):
        losses.CTC()._kgraph_check_labels(labels, (None, 3, 4))
    losses.CTC()._kgraph_check_labels(np.array([[1, 1, 0], [3, 2, 1]]), (None, 3, 4))


def test_a_mask_of_steps_ends_the_sequences_of_ctc():
    logits = np.random.default_rng(0).normal(size=(2, 5, 4)).astype("float32")
    labels = np.array([[1, 2], [3, 0]])
    mask = np.arange(5) < np.array([[5], [3]])
    loss = losses.CTC(reduction="none")
    alone = loss(labels[1:], logits[1:, :3])
    np.testing.assert_allclose(loss(labels, logits, mask=mask)[1:], alone, rtol=1e-6)
    terms = losses.CTC()._kgraph_terms(labels, logits, mask=mask, rows=np.array([False, True]))
    np.testing.assert_allclose(losses.CTC()._kgraph_finish(terms), alone[0], rtol=1e-6)
    with pytest.raises(DataError, match=r"y_true \[batch, length\][\s\S]*y_true \(2,\)"):
        losses.ctc(labels[:, 0], logits)


def test_circle_compares_with_references_and_wants_a_label_for_each_row():
    x = np.eye(3, dtype="float32")
    labels, others = np.array([[0], [1], [0]]), np.array([0, 1, 1])
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        expected = keras.losses.circle(labels, x, others, x[::-1].copy(), False, 2.0)
    ours = losses.circle(labels, x, others, x[::-1].copy(), False, 2.0)
    np.testing.assert_allclose(ours, expected, rtol=1e-6)
    with pytest.raises(DataError, match=r"one class number for each[\s\S]*labels \(2,\)"):
        losses.circle(np.array([0, 1]), x)
    gradient = jax.grad(lambda p: losses.Circle()(np.arange(3), p))(x)
    assert jnp.isfinite(gradient).all()  # no row has a positive pair


def test_labels_that_are_right_pass():
    LABELS._kgraph_check_labels(np.array([0, 2, 1]), (None, 3))
    LABELS._kgraph_check_labels(np.array([[0.0], [2.0]]), (None, 3))
    LABELS._kgraph_check_labels(np.zeros((0,), int), (None, 3))
    losses.SparseCategoricalCrossentropy(ignore_class=-1)._kgraph_check_labels(
        np.array([-1, 2]), (None, 3)
    )
    LABELS._kgraph_check_labels(np.array([70]), (None, None))


def test_other_losses_refuse_nan():
    with pytest.raises(DataError, match="NaN in 1 of 2 rows, the first is row 1"):
        losses.MeanSquaredError()._kgraph_check_labels(np.array([[0.0], [np.nan]]), (None, 1))
    losses.MeanSquaredError()._kgraph_check_labels(np.array([[0], [1]]), (None, 1))


@pytest.mark.parametrize("name", ["mse", "MSE", "mae", "MAPE", "msle", "bce", "BCE", "kld", "KLD"])
def test_short_names_give_the_functions_of_keras(name):
    assert losses.get(name).__name__ == keras.losses.get(name).__name__
    assert losses.resolve(name).name == name


def test_every_name_of_keras_is_known():
    for name in set(keras.src.losses.ALL_OBJECTS_DICT) - {"Loss", "LossFunctionWrapper"}:
        assert isinstance(losses.resolve(name), losses.Loss), name


def test_every_public_name_of_keras_is_here():
    theirs = {name for name in dir(keras.losses) if not name.startswith("_")}
    assert theirs - set(losses.__all__) == set()


def test_resolve_gives_the_class_of_a_known_function():
    assert type(losses.resolve("mse")) is losses.MeanSquaredError
    assert type(losses.resolve(losses.huber)) is losses.Huber
    assert losses.resolve("categorical_crossentropy")._kgraph_on_logits() is not None
    assert losses.resolve(None) is None


@pytest.mark.parametrize(
    ("true", "pred", "cls"),
    [
        ((None, 1), (None, 1), losses.BinaryCrossentropy),
        ((None,), (None, 10), losses.SparseCategoricalCrossentropy),
        ((None, 1), (None, 10), losses.SparseCategoricalCrossentropy),
        ((None, 10), (None, 10), losses.CategoricalCrossentropy),
    ],
)
def test_crossentropy_is_chosen_by_shapes(true, pred, cls):
    loss = losses.resolve("crossentropy", true, pred)
    assert type(loss) is cls
    assert loss.name == "crossentropy"


def test_a_function_of_the_users_is_wrapped():
    def my_loss(y_true, y_pred):
        return jnp.mean(jnp.abs(y_true - y_pred), axis=-1)

    loss = losses.resolve(my_loss)
    assert loss.name == "my_loss"
    x, y = np.ones((4, 2), "float32"), np.zeros((4, 2), "float32")
    assert loss(x, y) == keras.losses.MeanAbsoluteError()(x, y)
    assert [path for path, _ in find_opaque(loss.get_config())] == ["fn"]


def test_a_wrapped_known_function_can_be_written():
    loss = losses.LossFunctionWrapper(losses.huber, name="h", delta=0.1)
    again = losses.deserialize(losses.serialize(loss))
    x, y = np.ones((4, 2), "float32"), np.zeros((4, 2), "float32")
    assert again(x, y) == loss(x, y) == losses.Huber(0.1)(x, y)


def test_a_loss_of_the_users_needs_only_call():
    class Cubed(losses.Loss):
        def __init__(self, factor=2.0, **options):
            super().__init__(**options)
            self.factor = factor

        def call(self, y_true, y_pred):
            return self.factor * jnp.abs(y_true - y_pred) ** 3

    loss = Cubed(factor=3.0)
    assert loss.name == "cubed"
    assert loss(np.zeros(2, "float32"), np.array([1.0, 2.0], "float32")) == 13.5
    with custom_object_scope({"Cubed": Cubed}):
        assert losses.deserialize(losses.serialize(loss)).factor == 3.0


def test_options_are_checked():
    with pytest.raises(ConfigError, match=r"`reduction`[\s\S]*did you mean 'sum'"):
        losses.MeanSquaredError(reduction="summ")
    with pytest.raises(ConfigError, match=r"No loss is known as 'msee'[\s\S]*'mse'"):
        losses.get("msee")
    with pytest.raises(ConfigError, match=r"`q`[\s\S]*above 0 and below 1[\s\S]*1\.5"):
        losses.CategoricalGeneralizedCrossEntropy(1.5)
    with pytest.raises(ConfigError, match="does not define `call"):
        losses.Loss()(np.ones(2), np.ones(2))
    with pytest.raises(ConfigError, match="without reduction"):
        losses.MeanSquaredError(reduction=None)._kgraph_terms(np.ones((2, 1)), np.ones((2, 1)))


def test_a_single_class_warns():
    with pytest.warns(UserWarning, match="always 0"):
        losses.categorical_crossentropy(np.ones((2, 1)), np.ones((2, 1), "float32"))


def test_cosine_of_a_zero_vector_has_a_finite_gradient():
    gradient = jax.grad(lambda p: losses.CosineSimilarity()(np.ones((1, 3), "float32"), p))
    assert jnp.isfinite(gradient(jnp.zeros((1, 3)))).all()


def test_losses_that_mix_rows_say_so():
    assert not word_of(losses.Dice())
    assert not word_of(losses.Circle())
    assert not word_of(losses.Tversky(axis=(0, 1)))
    assert word_of(losses.Dice(axis=(1, 2)))
    assert word_of(losses.MeanSquaredError())


def test_a_call_of_ones_own_is_what_fit_and_evaluate_call():
    x, y = np.arange(8.0, dtype="float32")[:, None] / 8, np.ones((8, 1), "float32")
    weight = np.arange(8.0, dtype="float32")

    def run(library):
        class Doubled(library.losses.MeanSquaredError):
            def __call__(self, y_true, y_pred, sample_weight=None):
                return 2.0 * super().__call__(y_true, y_pred, sample_weight)

        layers = [library.Input((1,)), library.layers.Dense(1, kernel_initializer="ones")]
        model = library.Sequential(layers)
        model.compile(library.optimizers.SGD(0.1), Doubled())
        options = {"batch_size": 3, "shuffle": False, "verbose": 0}
        history = model.fit(x, y, sample_weight=weight, **options).history
        return [*history["loss"], model.evaluate(x, y, verbose=0), *model.get_weights()]

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        for one, other in zip(run(kgraph), run(keras), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5)


def test_a_call_of_ones_own_that_takes_no_weights_refuses_them():
    class Plain(kgraph.losses.Loss):
        def __call__(self, y_true, y_pred):  # pyright: ignore[reportIncompatibleMethodOverride]
            return jnp.mean((y_true - y_pred) ** 2)

    model = kgraph.Sequential([kgraph.Input((1,)), kgraph.layers.Dense(1)])
    model.compile("sgd", Plain())
    x = np.ones((4, 1), "float32")
    model.fit(x, x, verbose=0)
    with pytest.raises(ConfigError, match=r"cannot weigh[\s\S]*__call__\(self, y_true"):
        model.fit(x, x, sample_weight=np.ones(4), verbose=0)
