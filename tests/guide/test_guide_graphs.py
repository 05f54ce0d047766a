"""Rows 18 to 28 of the guide: several models from one graph, and models as layers."""

from __future__ import annotations

import numpy as np
import pytest
from guide_code import decode, encode, get_model, printed, sizes, table, total

import kgraph as keras
from kgraph import layers

ENCODER_ROWS = [
    ("conv2d (Conv2D)", "(None, 26, 26, 16)", "160"),
    ("conv2d_1 (Conv2D)", "(None, 24, 24, 32)", "4,640"),
    ("max_pooling2d (MaxPooling2D)", "(None, 8, 8, 32)", "0"),
    ("conv2d_2 (Conv2D)", "(None, 6, 6, 32)", "9,248"),
    ("conv2d_3 (Conv2D)", "(None, 4, 4, 16)", "4,624"),
    ("global_max_pooling2d (GlobalMaxPooling2D)", "(None, 16)", "0"),
]
DECODER_ROWS = [
    ("reshape (Reshape)", "(None, 4, 4, 1)", "0"),
    ("conv2d_transpose (Conv2DTranspose)", "(None, 6, 6, 16)", "160"),
    ("conv2d_transpose_1 (Conv2DTranspose)", "(None, 8, 8, 32)", "4,640"),
    ("up_sampling2d (UpSampling2D)", "(None, 24, 24, 32)", "0"),
    ("conv2d_transpose_2 (Conv2DTranspose)", "(None, 26, 26, 16)", "4,624"),
    ("conv2d_transpose_3 (Conv2DTranspose)", "(None, 28, 28, 1)", "145"),
]


@pytest.fixture
def pair():
    """Encoder and autoencoder on one graph."""
    encoder_input = keras.Input(shape=(28, 28, 1), name="img")
    encoder_output = encode(encoder_input)
    encoder = keras.Model(encoder_input, encoder_output, name="encoder")
    decoder_output = decode(encoder_output)
    return encoder, keras.Model(encoder_input, decoder_output, name="autoencoder")


@pytest.fixture
def nested():
    """Encoder, decoder, and the autoencoder that calls both."""
    encoder_input = keras.Input(shape=(28, 28, 1), name="original_img")
    encoder = keras.Model(encoder_input, encode(encoder_input), name="encoder")
    decoder_input = keras.Input(shape=(16,), name="encoded_img")
    decoder = keras.Model(decoder_input, decode(decoder_input), name="decoder")
    autoencoder_input = keras.Input(shape=(28, 28, 1), name="img")
    encoded_img = encoder(autoencoder_input)
    decoded_img = decoder(encoded_img)
    autoencoder = keras.Model(autoencoder_input, decoded_img, name="autoencoder")
    return encoder, decoder, autoencoder


def test_row_18_an_input_takes_a_name(pair):
    encoder, _ = pair
    assert encoder.input.name == "img"
    assert encoder.input_names == ["img"]
    assert table(encoder)[0] == ("img (InputLayer)", "(None, 28, 28, 1)", "0")


def test_row_19_the_encoder(pair):
    encoder, _ = pair
    assert table(encoder)[1:] == ENCODER_ROWS
    assert total(encoder) == "18,672 (72.94 KB)"


def test_row_20_the_autoencoder_goes_on_from_the_encoders_output(pair):
    _, autoencoder = pair
    assert table(autoencoder)[7:] == DECODER_ROWS
    assert total(autoencoder) == "28,241 (110.32 KB)"


def test_row_21_both_models_have_the_same_layers_by_identity_and_name(pair):
    encoder, autoencoder = pair
    assert table(autoencoder)[:7] == table(encoder)
    for ours, theirs in zip(encoder.layers, autoencoder.layers):
        assert ours is theirs
    kernel = encoder.get_layer("conv2d").kernel
    kernel.assign(np.ones(kernel.shape, "float32"))
    assert autoencoder.get_layer("conv2d").kernel.numpy().min() == 1


def test_row_22_a_name_is_in_the_header(pair):
    heads = [printed(model).splitlines()[0] for model in pair]
    assert heads == ['Model: "encoder"', 'Model: "autoencoder"']


def test_row_23_long_class_names_are_whole(pair):
    assert "global_max_pooling2d (GlobalMaxPooling2D)" in printed(pair[0])


def test_row_24_names_are_local_to_a_graph(pair, nested):
    """Keras goes on counting (conv2d_4); in kgraph the same code gives the same names."""
    encoder, *_ = nested
    assert table(encoder) == [("original_img (InputLayer)", *table(pair[0])[0][1:]), *ENCODER_ROWS]


def test_row_25_the_decoder_is_a_model_of_its_own(nested):
    _, decoder, _ = nested
    assert table(decoder) == [("encoded_img (InputLayer)", "(None, 16)", "0"), *DECODER_ROWS]
    assert total(decoder) == "9,569 (37.38 KB)"


def test_row_26_models_are_called_like_layers(nested):
    *_, autoencoder = nested
    assert table(autoencoder) == [
        ("img (InputLayer)", "(None, 28, 28, 1)", "0"),
        ("encoder (Functional)", "(None, 16)", "18,672"),
        ("decoder (Functional)", "(None, 28, 28, 1)", "9,569"),
    ]
    assert total(autoencoder) == "28,241 (110.32 KB)"


def test_row_26_a_call_shares_the_weights(nested):
    encoder, decoder, autoencoder = nested
    images = np.random.default_rng(0).random((2, 28, 28, 1), "float32")
    whole, parts = autoencoder(images), decoder(encoder(images))
    assert whole.shape == (2, 28, 28, 1)
    # One program and two fuse differently, so the last bits may differ.
    np.testing.assert_allclose(whole, parts, rtol=1e-5, atol=1e-6)
    own = {id(weight) for weight in (*encoder.weights, *decoder.weights)}
    assert {id(weight) for weight in autoencoder.weights} == own


@pytest.fixture
def ensemble():
    models = [get_model() for _ in range(3)]
    inputs = keras.Input(shape=(128,))
    y1, y2, y3 = (model(inputs) for model in models)
    outputs = layers.average([y1, y2, y3])
    return models, keras.Model(inputs=inputs, outputs=outputs)


def test_row_27_an_ensemble_averages_its_models(ensemble):
    models, ensemble_model = ensemble
    x = np.random.default_rng(0).random((5, 128), "float32")
    mean = np.mean([model(x) for model in models], axis=0)
    np.testing.assert_allclose(ensemble_model(x), mean, rtol=1e-5, atol=1e-6)
    assert not np.allclose(models[0](x), models[1](x))
    assert [total(model).split(" ")[0] for model in models] == ["129"] * 3
    assert total(ensemble_model).split(" ")[0] == "387"


def test_row_28_models_without_a_name_get_one(ensemble):
    _, ensemble_model = ensemble
    assert ensemble_model.name == "functional"
    assert sizes(ensemble_model) == [
        ("input_layer", "0"),
        ("functional", "129"),
        ("functional_1", "129"),
        ("functional_2", "129"),
        ("average", "0"),
    ]
