"""Normalisation beyond the table: accuracy, short floats, masks, freezing and messages."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kgraph.errors import ConfigError, GraphError
from kgraph.initializers import Constant
from kgraph.layers.base import Context, Input, Layer
from kgraph.layers.base.binding import bind, updates
from kgraph.layers.core import Dense, Embedding
from kgraph.layers.normalization import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    RMSNormalization,
    SpectralNormalization,
    UnitNormalization,
)
from kgraph.layers.regularization import Dropout


def train(layer: Layer, x, mask=None):
    """Returns the output of a training call, and the new state by the name of the weight."""
    layer(x)
    context = Context({id(w): w.value for w in layer.weights}, training=True)
    y = bind(layer, context, layer.name)(x, **({} if mask is None else {"mask": mask}))
    new = updates(context)
    return y, {w.name: new[id(w)] for w in layer.weights if id(w) in new}


def standardised(x, axes, epsilon=1e-3):
    wide = np.asarray(x, np.float64)
    centred = wide - wide.mean(axes, keepdims=True)
    return centred / np.sqrt(centred.var(axes, keepdims=True) + epsilon)


@pytest.mark.parametrize(
    ("layer", "axes"),
    [
        (BatchNormalization(), (0,)),
        (LayerNormalization(), (1,)),
        (GroupNormalization(1), (1,)),
    ],
    ids=["batch", "layer", "group"],
)
def test_a_large_mean_does_not_cost_the_variance_its_digits(layer: Layer, axes):
    x = (np.random.default_rng(0).normal(size=(64, 48)) + 1e3).astype("float32")
    y, _ = train(layer, x) if axes == (0,) else (layer(x), None)
    # The mean is known to 1e3 x 2**-24 = 6e-5; the mean of squares in one pass is off by 0.1.
    np.testing.assert_allclose(y, standardised(x, axes), atol=3e-4)


def test_the_moving_averages_stay_float32_in_mixed_precision():
    layer = BatchNormalization(dtype="mixed_bfloat16", center=False, scale=False)
    x = jnp.full((4, 2), 1.0, jnp.bfloat16)
    layer(x)
    layer.set_weights([[0.123456, 0.654321]] * 2)
    y, state = train(layer, x)
    assert y.dtype == jnp.bfloat16
    assert state["moving_mean"].dtype == jnp.float32
    old = np.array([0.123456, 0.654321])
    np.testing.assert_allclose(state["moving_mean"], old * 0.99 + 0.01, rtol=1e-6)
    np.testing.assert_allclose(state["moving_variance"], old * 0.99, rtol=1e-6)


@pytest.mark.parametrize("kept", [None, [True] * 6 + [False] * 2])
def test_one_pass_over_bfloat16_loses_less_than_its_rounding(kept):
    random = np.random.default_rng(0)
    x = jnp.asarray(random.normal([0, 3, 30, 300], 1, (8, 512, 4)), jnp.bfloat16)
    wide, weights = x.astype(jnp.float32), random.normal(size=(8, 512, 4)).astype("float32")
    mask = None if kept is None else jnp.broadcast_to(jnp.asarray(kept)[:, None], (8, 512))

    def run(x):
        y, state = train(BatchNormalization(dtype="mixed_bfloat16"), x, mask)
        return jnp.sum(y.astype(jnp.float32) * weights), (y, state)

    (_, (y, state)), slope = jax.value_and_grad(run, has_aux=True)(x)
    (_, (expected, two)), usual = jax.value_and_grad(run, has_aux=True)(wide)
    # Squares of 300 in float32 are known to 5e-3; the values themselves, in bfloat16, to 1.
    np.testing.assert_allclose(state["moving_variance"], two["moving_variance"], rtol=1e-4)
    np.testing.assert_allclose(*(v.astype(jnp.float32) for v in (y, expected)), rtol=2**-7)
    np.testing.assert_allclose(slope.astype(jnp.float32), usual, rtol=2**-6, atol=2**-6)


def test_bfloat16_takes_one_pass_and_wider_floats_two():
    for dtype, passes in (("bfloat16", 1), ("float32", 2)):
        layer = BatchNormalization(dtype=dtype)
        layer.build((None, 4))

        def call(x, layer=layer):
            context = Context({id(w): w.value for w in layer.weights}, training=True)
            return bind(layer, context, "norm")(x, training=True)

        traced = jax.make_jaxpr(call)(jnp.ones((8, 4), dtype)).jaxpr
        equations = [e for e in traced.eqns if e.outvars[0].aval.shape == (8, 4)]
        read = {v for e in equations if e.primitive.name == "convert_element_type"
                for v in e.outvars} | set(traced.invars)  # fmt: skip
        squares = [e for e in equations if e.primitive.name in ("square", "integer_pow")]
        assert [e.invars[0] in read for e in squares] == [passes == 1]


def test_a_constant_has_no_negative_variance():
    x = jnp.full((1000, 3), 201.0, jnp.bfloat16)
    y, state = train(BatchNormalization(epsilon=1e-9, dtype="mixed_bfloat16"), x)
    assert jnp.isfinite(y).all()
    assert (state["moving_variance"] >= 0.99).all()


def test_statistics_of_float16_do_not_overflow():
    x = jnp.asarray([[60000.0, -60000.0], [-60000.0, 60000.0]], jnp.float16)
    for layer in (LayerNormalization(dtype="float16"), RMSNormalization(dtype="float16")):
        np.testing.assert_allclose(layer(x), [[1, -1], [-1, 1]], atol=1e-3)  # float16 has 11 bits


def test_a_batch_without_any_kept_step_leaves_the_statistics():
    layer = BatchNormalization(momentum=0.5)
    x = np.full((2, 3, 4), np.nan, "float32")
    _, state = train(layer, x, mask=jnp.zeros((2, 3), bool))
    assert np.asarray(state["moving_mean"]).tolist() == [0.0] * 4
    assert np.asarray(state["moving_variance"]).tolist() == [1.0] * 4


def test_steps_that_the_mask_leaves_out_do_not_count():
    rng = np.random.default_rng(2)
    kept = rng.normal(size=(2, 3, 4)).astype("float32")
    padded = np.concatenate([kept, np.full((2, 2, 4), np.nan, "float32")], axis=1)
    mask = jnp.asarray([[True] * 3 + [False] * 2] * 2)
    _, whole = train(BatchNormalization(), kept)
    _, masked = train(BatchNormalization(), padded, mask)
    for name in whole:
        np.testing.assert_allclose(masked[name], whole[name], atol=1e-7)  # sums in another order


def test_a_mask_of_another_rank_is_refused():
    with pytest.raises(GraphError, match=r"cannot use this `mask`[\s\S]*\[2, 3\][\s\S]*\[2\]"):
        train(BatchNormalization(), np.ones((2, 3, 4), "float32"), jnp.ones((2,), bool))


def test_freezing_a_built_layer_stops_its_statistics():
    layer = BatchNormalization(momentum=0.5)
    x = np.random.default_rng(3).normal(size=(8, 2)).astype("float32") * 5
    free, state = train(layer, x)
    assert set(state) == {"moving_mean", "moving_variance"}
    layer.trainable = False
    frozen, state = train(layer, x)
    assert not state
    np.testing.assert_allclose(frozen, x / np.sqrt(1.001), rtol=1e-6)
    assert np.abs(np.asarray(free) - np.asarray(frozen)).max() > 1


def test_a_zero_vector_stays_zero_and_has_a_gradient():
    layer = UnitNormalization()
    assert layer(np.zeros((1, 3), "float32")).tolist() == [[0.0, 0.0, 0.0]]
    gradient = jax.grad(lambda x: jnp.sum(layer(x)))(jnp.zeros((1, 3)))
    assert np.all(np.isfinite(gradient))


def test_one_layer_normalises_inputs_of_different_rank():
    layer = LayerNormalization()
    assert layer(Input((5, 4))).shape == (None, 5, 4)
    assert layer(Input((4,))).shape == (None, 4)
    with pytest.raises(GraphError, match=r"parameters for 4 features[\s\S]*shared with 6"):
        layer(Input((6,)))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: BatchNormalization(renorm=True, renorm_clipping={"max": 2}),
            r"renorm_clipping[\s\S]*no 'max'[\s\S]*'rmax'",
        ),
        (
            lambda: BatchNormalization(renorm=True, renorm_clipping={"rmin": 2, "rmax": 1}),
            r"clip by these limits[\s\S]*rmin <= rmax",
        ),
        (lambda: BatchNormalization(momentum=2), r"`momentum`[\s\S]*from 0 to 1"),
        (lambda: BatchNormalization(axis=[1, 2]), r"`axis`[\s\S]*whole number"),
        (lambda: LayerNormalization(axis=0.5), r"`axis`[\s\S]*whole number"),
        (lambda: RMSNormalization(epsilon=-1), r"`epsilon`[\s\S]*at least 0"),
        (lambda: GroupNormalization(0), r"number of groups[\s\S]*received  0"),
    ],
)
def test_options_are_checked_when_the_layer_is_made(make, text: str):
    with pytest.raises(ConfigError, match=text):
        make()


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (BatchNormalization(axis=5), r"axis 5[\s\S]*3 axes[\s\S]*from -3 to 2"),
        (BatchNormalization(axis=1), r"size of axis 1"),
        (LayerNormalization(axis=[1, 2]), r"size of axis \[1, 2\]"),
        (GroupNormalization(3), r"divisible by groups=3[\s\S]*4 features"),
        (UnitNormalization(axis=3), r"axis 3[\s\S]*3 axes"),
    ],
)
def test_inputs_are_checked_when_the_layer_is_called(layer: Layer, text: str):
    with pytest.raises(GraphError, match=text) as caught:
        layer(Input(("time", 4)))
    assert "test_normalization.py" in str(caught.value)


def test_renormalisation_starts_from_the_deviation_of_the_initial_variance():
    layer = BatchNormalization(renorm=True, moving_variance_initializer=Constant(9.0))
    layer(Input((3,)))
    assert [w.name for w in layer.non_trainable_weights] == [
        "moving_mean", "moving_variance", "moving_stddev", "renorm_mean", "renorm_stddev",
    ]  # fmt: skip
    np.testing.assert_allclose(layer.moving_stddev.value, 3.0)
    np.testing.assert_allclose(layer.renorm_stddev.value, 3.0)


def test_renormalised_training_is_inference_once_the_statistics_have_settled():
    x = np.random.default_rng(2).normal(2.0, 3.0, size=(64, 3)).astype("float32")
    layer = BatchNormalization(renorm=True, momentum=0.5, renorm_momentum=0.5)
    for _ in range(30):
        trained = layer(x, training=True)
    np.testing.assert_allclose(layer(x), trained, atol=1e-4)
    part = layer(x[:4], training=True)  # a batch of 4 is normalised by what 30 batches had
    np.testing.assert_allclose(part, trained[:4], atol=1e-4)


def test_synchronized_statistics_are_those_of_the_sharded_batch():
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    over_data = jax.sharding.PartitionSpec("data")
    x = np.random.default_rng(3).normal(size=(8, 3)).astype("float32")
    layer = BatchNormalization(synchronized=True)
    whole, _ = train(layer, x)
    values = {id(w): w.value for w in layer.weights}

    def run(x):
        return bind(layer, Context(values, training=True), "layer")(x)

    sharded = jax.device_put(x, jax.sharding.NamedSharding(mesh, over_data))
    np.testing.assert_allclose(jax.jit(run)(sharded), whole, atol=1e-6)
    mapped = jax.shard_map(run, mesh=mesh, in_specs=over_data, out_specs=over_data)
    with pytest.raises(GraphError, match=r"inside shard_map[\s\S]*one shard of \['data'\]"):
        mapped(sharded)


def test_spectral_normalization_divides_by_the_largest_singular_value_in_both_modes():
    x = np.random.default_rng(4).normal(size=(2, 5)).astype("float32")
    layer = SpectralNormalization(Dense(3, use_bias=False), power_iterations=50)
    expected = x @ (kernel := layer_kernel(layer, x)) / np.linalg.norm(kernel, 2)
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)
    before = layer.vector_u.numpy()
    np.testing.assert_allclose(layer(x, training=True), expected, atol=1e-5)
    assert not np.array_equal(layer.vector_u.numpy(), before)
    np.testing.assert_array_equal(layer.layer.kernel.numpy(), kernel)


def layer_kernel(layer: SpectralNormalization, x: np.ndarray) -> np.ndarray:
    layer(x)
    return layer.layer.kernel.numpy()


def test_spectral_normalization_of_zeros_and_of_a_table():
    zeros = SpectralNormalization(Dense(3, kernel_initializer="zeros"))
    np.testing.assert_array_equal(zeros(np.ones((2, 5), "float32"), training=True), 0)
    assert np.all(np.isfinite(zeros.vector_u.numpy()))
    assert np.any(zeros.vector_u.numpy())  # the next step starts from it
    table = SpectralNormalization(Embedding(7, 3), power_iterations=50)
    rows = table(np.arange(7)[None])[0]
    assert rows.dtype == jnp.float32
    assert np.linalg.norm(rows, 2) == pytest.approx(1, abs=1e-4)
    with pytest.raises(GraphError, match=r"weight named kernel or embeddings[\s\S]*Dropout"):
        SpectralNormalization(Dropout(0.5))(Input((3,)))
    with pytest.raises(ConfigError, match=r"`power_iterations`[\s\S]*from 1 to 1000"):
        SpectralNormalization(Dense(3), power_iterations=0)
    with pytest.raises(ConfigError, match=r"wraps a Layer[\s\S]*relu"):
        SpectralNormalization("relu")
