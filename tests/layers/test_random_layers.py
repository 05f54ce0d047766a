"""What the random layers draw: which values share a draw, and mean and variance of the result."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kgraph.layers.base import Context, Input, Layer
from kgraph.layers.base.binding import bind
from kgraph.layers.regularization import (
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)


def draw(layer: Layer, x: jax.Array, seed: int = 0) -> np.ndarray:
    context = Context(training=True, key=jax.random.key(seed))
    return np.asarray(bind(layer, context, "layer")(x).astype(jnp.float32))


def test_dropout_drops_a_share_and_scales_the_rest():
    out = draw(Dropout(0.25), jnp.ones((100, 100)))
    assert set(np.unique(out)) == {np.float32(0), np.float32(1 / 0.75)}
    # 10,000 draws: the share has a standard deviation of 0.0043.
    assert (out == 0).mean() == pytest.approx(0.25, abs=0.02)


def test_dropout_of_everything_gives_zeros_and_zero_gradients():
    def total(x):
        return jnp.sum(bind(Dropout(1.0), Context(training=True), "layer")(x))

    value, gradient = jax.value_and_grad(total)(jnp.ones((2, 3)))
    assert value == 0
    np.testing.assert_array_equal(gradient, np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("layer", "shape", "shared"),
    [
        (Dropout(0.5, noise_shape=(None, 1, None)), (8, 6, 7), (1,)),
        (Dropout(0.5, noise_shape=(1, 6, 1)), (8, 6, 7), (0, 2)),
        (SpatialDropout1D(0.5), (8, 6, 7), (1,)),
        (SpatialDropout2D(0.5), (8, 3, 4, 7), (1, 2)),
        (SpatialDropout2D(0.5, data_format="channels_first"), (8, 7, 3, 4), (2, 3)),
        (SpatialDropout3D(0.5), (8, 3, 4, 2, 7), (1, 2, 3)),
    ],
)
def test_some_axes_share_a_draw(layer: Layer, shape: tuple[int, ...], shared: tuple[int, ...]):
    out = draw(layer, jnp.ones(shape))
    np.testing.assert_array_equal(out, np.broadcast_to(out.max(shared, keepdims=True), shape))
    for axis in set(range(len(shape))) - set(shared):
        assert not np.array_equal(out, np.broadcast_to(out.max(axis, keepdims=True), shape))


def test_gaussian_layers_have_their_mean_and_deviation():
    x = jnp.full((100, 100), 2.0)
    noise = draw(GaussianNoise(0.5), x) - 2
    # 10,000 draws: the mean has a standard deviation of 0.005, the deviation one of 0.0035.
    assert noise.mean() == pytest.approx(0, abs=0.02)
    assert noise.std() == pytest.approx(0.5, abs=0.02)
    factor = draw(GaussianDropout(0.2), x) / 2
    assert factor.mean() == pytest.approx(1, abs=0.02)
    assert factor.std() == pytest.approx(0.5, abs=0.02)  # sqrt(0.2 / 0.8)


def test_alpha_dropout_keeps_mean_and_deviation_of_normal_values():
    x = jax.random.normal(jax.random.key(5), (200, 200))
    out = draw(AlphaDropout(0.3), x)
    assert out.mean() == pytest.approx(float(x.mean()), abs=0.03)
    assert out.std() == pytest.approx(float(x.std()), abs=0.03)
    dropped = np.unique(out, return_counts=True)[1].max()  # the one value that comes again
    assert dropped / out.size == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("layer", [Dropout(0.5), GaussianNoise(0.5), GaussianDropout(0.5)])
def test_draws_are_noted_as_an_effect_and_only_in_training(layer: Layer):
    assert layer(Input((3,))).call.effects == ("random",)
    x = jnp.ones((2, 3))
    np.testing.assert_array_equal(bind(layer, Context(training=False), "layer")(x), x)


def test_draws_are_the_same_in_short_floats():
    x = jnp.ones((4, 16))
    for layer in (Dropout(0.5), GaussianNoise(0.5)):
        short = type(layer).from_config({**layer.get_config(), "dtype": "bfloat16"})
        # bfloat16 has 8 bits: half a step is 0.008 between 2 and 4.
        np.testing.assert_allclose(draw(short, x), draw(layer, x), atol=0.02)
