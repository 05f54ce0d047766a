"""EinsumDense beyond the table: initial values, masks and messages."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from checks import GiveMask

from kgraph import Model
from kgraph.errors import ConfigError, GraphError
from kgraph.layers.base import Input
from kgraph.layers.core import EinsumDense


def test_the_initial_values_count_the_axes_that_are_summed_as_inputs():
    layer = EinsumDense("abc,bcd->ad", 5000, kernel_initializer="he_normal")
    layer(Input((4, 5)))
    # n = 4 x 5 inputs; 100,000 values: the deviation has a standard deviation of 0.2 %.
    assert np.std(layer.kernel.value) == pytest.approx((2 / 20) ** 0.5, rel=0.02)


def test_a_size_of_none_is_that_of_the_input():
    layer = EinsumDense("abc,bcd->abd", (None, 4), bias_axes="bd")
    assert layer(Input((3, 2))).shape == (None, 3, 4)
    assert [w.shape for w in layer.weights] == [(3, 2, 4), (3, 4)]
    x = np.random.default_rng(0).normal(size=(5, 3, 2)).astype("float32")
    expected = np.einsum("abc,bcd->abd", x, layer.kernel.numpy())
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("equation", "shape"), [("abc,cd->abd", (None, 4)), ("...c,cd->...d", 4), ("abc,bcd->ad", 4)]
)
def test_a_mask_ends_here_as_in_keras(equation: str, shape):
    steps = GiveMask()([Input((6, 3)), Input((6,), dtype="bool")])
    with pytest.warns(UserWarning, match="does not support masks"):
        assert EinsumDense(equation, shape)(steps).mask is None


def test_a_model_of_unknown_steps_runs_for_any_number_of_them():
    time = Input(("time", 3))
    model = Model(time, EinsumDense("abc,cde->abde", (None, 2, 4))(time))
    assert model.output.symbolic_shape == ("batch", "time", 2, 4)
    assert model(jnp.ones((2, 7, 3))).shape == (2, 7, 2, 4)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: EinsumDense("ab;bc->ac", 4), r"cannot read this equation[\s\S]*ab,bc->ac"),
        (lambda: EinsumDense("...ab,bc->ac", 4), r"cannot read this equation"),
        (lambda: EinsumDense("...a...,ab->...b...", 4), r"cannot read this equation"),
        (lambda: EinsumDense("ab,bz->ac", 4), r"kernel's letter 'z'"),
        (lambda: EinsumDense("ab,bc->ad", 4), r"kernel's letter 'c'|output's letter 'd'"),
        (lambda: EinsumDense("ab,bc->acd", (4, 5)), r"output's letter 'd'"),
        (lambda: EinsumDense("abc,cd->abd", 4), r"a size for each letter[\s\S]*'bd'"),
        (lambda: EinsumDense("ab,bc->ac", 4, bias_axes="b"), r"letters of 'ac'[\s\S]*'b'"),
    ],
    ids=[
        "form",
        "one ellipsis",
        "two ellipses",
        "kernel",
        "both",
        "output",
        "sizes",
        "bias",
    ],
)
def test_options_are_checked_when_the_layer_is_made(make, text: str):
    with pytest.raises(ConfigError, match=text):
        make()


def test_inputs_are_checked_when_the_layer_is_called():
    with pytest.raises(GraphError, match=r"cannot take an input with 3 axes"):
        EinsumDense("ab,bc->ac", 4)(Input((5, 3)))
    with pytest.raises(GraphError, match=r"cannot keep axis 'b'[\s\S]*size 6[\s\S]*size 5"):
        EinsumDense("abc,cd->abd", (6, 4))(Input((5, 3)))
    with pytest.raises(GraphError, match=r"known sizes for its weight 'kernel'"):
        EinsumDense("abc,bd->adc", (4, None))(Input((None, 3)))
    layer = EinsumDense("abc,cd->abd", (None, 4))
    layer(Input((5, 3)))
    with pytest.raises(GraphError, match=r"parameters for 3 features"):
        layer(Input((5, 2)))
