"""The models of the functional API guide, for kgraph and for Keras alike (`k` is either)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import keras


def mnist_model(k: Any) -> Any:
    inputs = k.Input(shape=(784,))
    x = k.layers.Dense(64, activation="relu")(inputs)
    x = k.layers.Dense(64, activation="relu")(x)
    return k.Model(inputs=inputs, outputs=k.layers.Dense(10)(x), name="mnist_model")


def encoder(k: Any, name: str = "img") -> Any:
    inputs = k.Input(shape=(28, 28, 1), name=name)
    x = k.layers.Conv2D(16, 3, activation="relu")(inputs)
    x = k.layers.Conv2D(32, 3, activation="relu")(x)
    x = k.layers.MaxPooling2D(3)(x)
    x = k.layers.Conv2D(32, 3, activation="relu")(x)
    x = k.layers.Conv2D(16, 3, activation="relu")(x)
    return k.Model(inputs, k.layers.GlobalMaxPooling2D()(x), name="encoder")


def decoder(k: Any) -> Any:
    inputs = k.Input(shape=(16,), name="encoded_img")
    return k.Model(inputs, _decoded(k, inputs), name="decoder")


def autoencoder(k: Any) -> Any:
    """The encoder and the decoder in one flat graph."""
    inner = encoder(k)
    return k.Model(inner.input, _decoded(k, inner.output), name="autoencoder")


def _decoded(k: Any, x: Any) -> Any:
    x = k.layers.Reshape((4, 4, 1))(x)
    x = k.layers.Conv2DTranspose(16, 3, activation="relu")(x)
    x = k.layers.Conv2DTranspose(32, 3, activation="relu")(x)
    x = k.layers.UpSampling2D(3)(x)
    x = k.layers.Conv2DTranspose(16, 3, activation="relu")(x)
    return k.layers.Conv2DTranspose(1, 3, activation="relu")(x)


def nested(k: Any) -> Any:
    """The autoencoder as two calls of models."""
    inner, outer = encoder(k, "original_img"), decoder(k)
    inputs = k.Input(shape=(28, 28, 1), name="img")
    return k.Model(inputs, outer(inner(inputs)), name="autoencoder")


def ticket(k: Any, mask_zero: bool = False) -> Any:
    title, body = k.Input((None,), name="title"), k.Input((None,), name="body")
    tags = k.Input((12,), name="tags")
    title_features = k.layers.LSTM(8)(k.layers.Embedding(50, 6, mask_zero=mask_zero)(title))
    body_features = k.layers.LSTM(4)(k.layers.Embedding(50, 6)(body))
    x = k.layers.Concatenate()([title_features, body_features, tags])
    priority = k.layers.Dense(1, name="priority")(x)
    department = k.layers.Dense(4, name="department")(x)
    return k.Model([title, body, tags], [priority, department], name="ticket")


def toy_resnet(k: Any) -> Any:
    inputs = k.Input(shape=(32, 32, 3), name="img")
    x = k.layers.Conv2D(32, 3, activation="relu")(inputs)
    x = k.layers.Conv2D(64, 3, activation="relu")(x)
    block_1 = k.layers.MaxPooling2D(3)(x)
    block_2 = _residual(k, block_1)
    block_3 = _residual(k, block_2)
    x = k.layers.Conv2D(64, 3, activation="relu")(block_3)
    x = k.layers.GlobalAveragePooling2D()(x)
    x = k.layers.Dense(256, activation="relu")(x)
    x = k.layers.Dropout(0.5)(x)
    return k.Model(inputs, k.layers.Dense(10)(x), name="toy_resnet")


def _residual(k: Any, inputs: Any) -> Any:
    x = k.layers.Conv2D(64, 3, activation="relu", padding="same")(inputs)
    x = k.layers.Conv2D(64, 3, activation="relu", padding="same")(x)
    return k.layers.Add()([x, inputs])


def siamese(k: Any) -> Any:
    """One layer that is called on two inputs and on its own output."""
    left, right = k.Input((4,), name="left"), k.Input((4,), name="right")
    shared = k.layers.Dense(4, name="shared")
    again = shared(shared(right))
    joined = k.layers.Concatenate()([shared(left), again])
    return k.Model([left, right], k.layers.Dense(1)(joined), name="siamese")


GUIDE = {
    make.__name__: make
    for make in (mnist_model, encoder, decoder, autoencoder, nested, ticket, toy_resnet, siamese)
}


@cache
def oracle(make: Callable[[Any], Any]) -> Any:
    """Returns the model of Keras, with the names that a fresh session gives."""
    keras.utils.clear_session()
    return make(keras)
