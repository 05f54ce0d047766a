"""Convolutions beyond the table: sizes, messages, causality, and the equations they emit."""

from __future__ import annotations

import inspect
import itertools

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from kgraph import config
from kgraph.errors import ConfigError, GraphError
from kgraph.layers import convolution
from kgraph.layers.base import Context, Input, Layer
from kgraph.layers.base.binding import bind
from kgraph.layers.convolution import (
    Conv1D,
    Conv1DTranspose,
    Conv2D,
    Conv2DTranspose,
    Conv3D,
    DepthwiseConv2D,
    SeparableConv1D,
)


class Sum(Layer):
    def call(self, inputs):
        return inputs[0] + inputs[1]


def function_of(layer, x):
    """Returns a pure function of the weights and an input, and the weights."""
    layer(x)
    weights = layer.weights

    def run(arrays, inputs):
        context = Context({id(w): a for w, a in zip(weights, arrays)})
        return bind(layer, context, layer.name)(inputs)

    return run, [w.value for w in weights]


# --- sizes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["valid", "same", "causal"])
def test_sizes_follow_the_formula_of_the_docstring(padding: str):
    for n, k, (s, d) in itertools.product((5, 8), (1, 2, 3), ((1, 1), (2, 1), (3, 1), (1, 2))):
        layer = Conv1D(2, k, s, padding, dilation_rate=d)
        reach = d * (k - 1) + 1
        wanted = (n - reach) // s + 1 if padding == "valid" else -(-n // s)
        assert layer(Input((n, 1))).shape == (None, wanted, 2)


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_transposed_sizes_follow_the_formula_of_the_docstring(padding: str):
    for n, k, (s, d), extra in itertools.product(
        (1, 4), (1, 2, 3, 4), ((1, 1), (2, 1), (3, 1), (1, 2)), (None, 0, 1)
    ):
        if extra is not None and extra >= s:
            continue
        layer = Conv1DTranspose(2, k, s, padding, output_padding=extra, dilation_rate=d)
        reach = d * (k - 1) + 1
        tail = reach % 2 if padding == "same" else reach
        wanted = (n - 1) * s + tail + (extra or 0)
        if extra is None:
            wanted = n * s if padding == "same" else (n - 1) * s + max(reach, s)
        assert layer(Input((n, 1))).shape == (None, wanted, 2)


def test_a_valid_convolution_shortens_a_named_axis():
    time = Input(("time", 4))
    assert Conv1D(8, 3)(time).symbolic_shape == ("batch", "time - 2", 8)
    assert Conv1D(8, 3, dilation_rate=2)(time).symbolic_shape == ("batch", "time - 4", 8)
    twice = Conv1D(8, 3)(Conv1D(8, 3)(time))
    assert twice.symbolic_shape == ("batch", "time - 4", 8)
    assert Conv1D(8, 3, padding="same")(time).symbolic_shape == ("batch", "time", 8)
    assert Conv1DTranspose(8, 3)(twice).symbolic_shape == ("batch", "time - 2", 8)


def test_adding_a_shortened_axis_to_the_whole_one_fails_with_both_lines():
    time = Input(("time", 4))
    short = Conv1D(4, 3, name="short")(time)
    with pytest.raises(GraphError) as caught:
        Sum(name="residual")([short, time])
    text = str(caught.value)
    assert "'residual' (Sum) failed in its call" in text
    assert 'Sum(name="residual")([short, time])' in text
    assert 'short = Conv1D(4, 3, name="short")(time)' in text
    assert "[batch, time - 2, 4]" in text


def test_strided_branches_of_a_residual_block_have_equal_unknown_sizes():
    image = Input(("rows", None, 3))
    main = Conv2D(4, 3, strides=2, padding="same")(image)
    shortcut = Conv2D(4, 1, strides=2)(image)
    assert main.symbolic_shape == shortcut.symbolic_shape
    assert Sum()([main, shortcut]).symbolic_shape[1] == "floordiv(rows - 1, 2) + 1"


# --- faults --------------------------------------------------------------------------------------


def test_an_input_smaller_than_the_kernel_is_refused_at_build_with_sizes_and_line():
    image = Input((4, 8, 3))
    with pytest.raises(GraphError) as caught:
        Conv2D(2, (3, 5), dilation_rate=2, name="wide")(image)
    text = str(caught.value)
    assert "'wide' (Conv2D) would have an empty output" in text
    assert "kernel_size=(3, 5), dilation_rate=(2, 2)" in text
    assert "expected  at least 5 x 9" in text
    assert "received  4 x 8" in text
    assert "test_convolution.py" in text


def test_an_input_smaller_than_the_kernel_is_refused_on_arrays_and_inside_other_layers():
    class Block(Layer):
        def __init__(self):
            super().__init__()
            self.conv = Conv1D(2, 5)

        def call(self, inputs):
            return self.conv(inputs)

    short = np.ones((1, 4, 3), "float32")
    for layer in (Conv1D(2, 5), Block(), SeparableConv1D(2, 5)):
        with pytest.raises(GraphError, match=r"empty output[\s\S]*at least 5[\s\S]*received  4"):
            layer(short)


@pytest.mark.parametrize("cls", [Conv2D, Conv2DTranspose])
def test_strides_with_dilation_are_refused(cls):
    with pytest.raises(
        ConfigError, match=r"both strides and dilation[\s\S]*\(2, 1\)[\s\S]*\(1, 3\)"
    ):
        cls(2, 3, strides=(2, 1), dilation_rate=(1, 3))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Conv2D(2, 3, padding="causal"), r"`padding`[\s\S]*'valid', 'same'[\s\S]*'causal'"),
        (lambda: Conv2D(2, 3, padding="sam"), r"`padding`[\s\S]*did you mean 'same'"),
        (lambda: Conv2D(2, (3, 3, 3)), r"`kernel_size`[\s\S]*each of 2 axes[\s\S]*\(3, 3, 3\)"),
        (lambda: Conv2D(2, (3, 0)), r"`kernel_size`[\s\S]*at least 1[\s\S]*received  0"),
        (lambda: Conv2D(2, 3, strides=1.5), r"`strides`[\s\S]*received  1\.5"),
        (lambda: Conv2D(0, 3), r"`filters`[\s\S]*at least 1"),
        (lambda: Conv2D(3, 3, groups=2), r"filters divisible by groups=2[\s\S]*filters=3"),
        (lambda: Conv2D(2, 3, data_format="NHWC"), r"`data_format`[\s\S]*channels_last"),
        (lambda: DepthwiseConv2D(3, depth_multiplier=0), r"`depth_multiplier`"),
        (
            lambda: Conv2DTranspose(2, 3, (2, 3), output_padding=(1, 3)),
            r"`output_padding`[\s\S]*strides=\(2, 3\)[\s\S]*\(1, 3\)",
        ),
    ],
)
def test_options_are_checked_when_the_layer_is_made(make, text: str):
    with pytest.raises(ConfigError, match=text):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "text"),
    [
        (Conv2D(2, 3), (4, 8, None), r"number of channels[\s\S]*axis -1 \(channels_last\)"),
        (Conv2D(4, 3, groups=2), (4, 8, 3), r"channels divisible by groups=2[\s\S]*3 channels"),
        (Conv2D(4, 3), (4, 8), r"cannot take an input with 3 axes[\s\S]*4 axes"),
        (Conv3D(4, 3), (4, 8, 8), r"cannot take an input with 4 axes[\s\S]*5 axes"),
    ],
)
def test_inputs_are_checked_when_the_layer_is_called(layer: Layer, shape, text: str):
    with pytest.raises(GraphError, match=text):
        layer(Input(shape))


def test_a_shared_convolution_takes_one_number_of_channels():
    layer = Conv2D(2, 3)
    layer(Input((4, 8, 3)))
    with pytest.raises(GraphError, match=r"parameters for 3 features[\s\S]*shared with 5"):
        layer(Input((4, 8, 5)))


# --- numbers -------------------------------------------------------------------------------------


def test_a_causal_output_depends_on_no_later_step():
    layer = Conv1D(1, 3, padding="causal", dilation_rate=2)
    x = np.random.default_rng(0).normal(size=(1, 9, 1)).astype("float32")
    run, weights = function_of(layer, x)
    by_step = jax.jacobian(lambda steps: run(weights, steps.reshape(1, 9, 1)).ravel())(x.ravel())
    later = np.triu(np.ones((9, 9), bool), 1)
    assert not np.any(np.asarray(by_step)[later])
    assert np.all(np.diag(by_step) != 0)


def test_the_transposed_convolution_is_the_gradient_of_the_convolution():
    rng = np.random.default_rng(1)
    small = rng.normal(size=(2, 3, 4, 5)).astype("float32")
    kernel = rng.normal(size=(3, 2, 7, 5)).astype("float32")
    layer = Conv2DTranspose(7, (3, 2), 2, use_bias=False)
    run, _ = function_of(layer, small)
    large = run([jnp.asarray(kernel)], small)
    _, pull_back = jax.vjp(
        lambda x: jax.lax.conv_general_dilated(
            x, kernel, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        ),
        jnp.zeros(large.shape),
    )
    np.testing.assert_allclose(large, pull_back(small)[0], atol=1e-5)  # rounding of 2 x 3 x 5 terms


def test_the_equations_are_those_of_the_function_one_would_write():
    def by_hand(arrays, x):
        kernel, bias = arrays
        y = jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        with jax.numpy_rank_promotion("allow"):
            return jax.nn.relu(y + bias)

    x = np.ones((2, 5, 5, 3), "float32")
    run, weights = function_of(Conv2D(4, 3, padding="same", activation="relu"), x)
    assert str(jax.make_jaxpr(run)(weights, x)) == str(jax.make_jaxpr(by_hand)(weights, x))


def test_the_config_keeps_the_layout_that_was_the_default():
    config.set_image_data_format("channels_first")
    recorded = Conv2D(4, 3).get_config()
    config.set_image_data_format("channels_last")
    assert Conv2D.from_config(recorded).data_format == "channels_first"
    assert Conv2D.from_config(recorded)(Input((3, 6, 7))).shape == (None, 4, 4, 5)


def test_options_and_their_order_are_those_of_keras():
    for name in (
        "Conv1D", "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose",
        "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D",
    ):  # fmt: skip
        ours = list(inspect.signature(getattr(convolution, name).__init__).parameters)[1:-1]
        theirs = list(inspect.signature(getattr(keras.layers, name).__init__).parameters)[1:-1]
        assert ours == theirs, name
