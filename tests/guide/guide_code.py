"""The models of the Functional API guide as its readers type them, and a reader of summaries."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

import kgraph as keras
from kgraph import layers

WIDE = 140
"""Characters per line of a summary, enough that no cell wraps."""


def printed(model: keras.Model) -> str:
    """Returns what `model.summary()` prints."""
    found: list[str] = []
    model.summary(line_length=WIDE, print_fn=found.append)
    assert len(found) == 1  # the whole text, once
    return found[0]


def table(model: keras.Model) -> list[tuple[str, ...]]:
    """Returns the printed rows below the header, a text for each column."""
    lines = printed(model).splitlines()
    head, body = lines[2], lines[4:]
    starts = [
        head.index(title) for title in ("Layer", "Output", "Param", "Connected") if title in head
    ]
    rows: list[list[str]] = [[]]
    for line in body:
        if line.startswith("="):
            break
        if line.startswith("_"):
            rows.append([])
            continue
        ends = [*starts[1:], None]
        cells = [line[start:end].strip() for start, end in zip(starts, ends)]
        rows[-1] = [f"{a}\n{b}" if b else a for a, b in zip(rows[-1], cells)] or cells
    return [tuple(row) for row in rows]


def sizes(model: keras.Model) -> list[tuple[str, str]]:
    """Returns name and number of parameters from each printed row."""
    return [(row[0].split(" ")[0], row[2]) for row in table(model)]


def total(model: keras.Model) -> str:
    """Returns the printed number of all parameters, with the memory they take."""
    lines = printed(model).splitlines()
    return next(x.removeprefix("Total params: ") for x in lines if x.startswith("Total params: "))


def mnist_model() -> keras.Model:
    inputs = keras.Input(shape=(784,))
    dense = layers.Dense(64, activation="relu")
    x = dense(inputs)
    x = layers.Dense(64, activation="relu")(x)
    outputs = layers.Dense(10)(x)
    return keras.Model(inputs=inputs, outputs=outputs, name="mnist_model")


def encode(encoder_input):
    x = layers.Conv2D(16, 3, activation="relu")(encoder_input)
    x = layers.Conv2D(32, 3, activation="relu")(x)
    x = layers.MaxPooling2D(3)(x)
    x = layers.Conv2D(32, 3, activation="relu")(x)
    x = layers.Conv2D(16, 3, activation="relu")(x)
    return layers.GlobalMaxPooling2D()(x)


def decode(encoded):
    x = layers.Reshape((4, 4, 1))(encoded)
    x = layers.Conv2DTranspose(16, 3, activation="relu")(x)
    x = layers.Conv2DTranspose(32, 3, activation="relu")(x)
    x = layers.UpSampling2D(3)(x)
    x = layers.Conv2DTranspose(16, 3, activation="relu")(x)
    return layers.Conv2DTranspose(1, 3, activation="relu")(x)


def get_model() -> keras.Model:
    inputs = keras.Input(shape=(128,))
    outputs = layers.Dense(1)(inputs)
    return keras.Model(inputs, outputs)


def ticket_model(words: int = 10000, title_units: int = 128, body_units: int = 32) -> keras.Model:
    title_input = keras.Input(shape=(None,), name="title")
    body_input = keras.Input(shape=(None,), name="body")
    tags_input = keras.Input(shape=(12,), name="tags")
    title_features = layers.Embedding(words, 64)(title_input)
    body_features = layers.Embedding(words, 64)(body_input)
    title_features = layers.LSTM(title_units)(title_features)
    body_features = layers.LSTM(body_units)(body_features)
    x = layers.concatenate([title_features, body_features, tags_input])
    priority_pred = layers.Dense(1, name="priority")(x)
    department_pred = layers.Dense(4, name="department")(x)
    return keras.Model(
        inputs=[title_input, body_input, tags_input],
        outputs=[priority_pred, department_pred],
    )


def ticket_data(rows: int, words: int = 10000, body: int = 100):
    """Returns title, body and tags, and the two targets: neither of them is a distribution."""
    random = np.random.default_rng(0)
    title_data = random.integers(words, size=(rows, 10))
    body_data = random.integers(words, size=(rows, body))
    tags_data = random.integers(2, size=(rows, 12)).astype("float32")
    priority_targets = random.random(size=(rows, 1))
    dept_targets = random.integers(2, size=(rows, 4))
    return [title_data, body_data, tags_data], [priority_targets, dept_targets]


def toy_resnet() -> keras.Model:
    inputs = keras.Input(shape=(32, 32, 3), name="img")
    x = layers.Conv2D(32, 3, activation="relu")(inputs)
    x = layers.Conv2D(64, 3, activation="relu")(x)
    block_1_output = layers.MaxPooling2D(3)(x)

    x = layers.Conv2D(64, 3, activation="relu", padding="same")(block_1_output)
    x = layers.Conv2D(64, 3, activation="relu", padding="same")(x)
    block_2_output = layers.add([x, block_1_output])

    x = layers.Conv2D(64, 3, activation="relu", padding="same")(block_2_output)
    x = layers.Conv2D(64, 3, activation="relu", padding="same")(x)
    block_3_output = layers.add([x, block_2_output])

    x = layers.Conv2D(64, 3, activation="relu")(block_3_output)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(256, activation="relu")(x)
    x = layers.Dropout(0.5)(x)
    outputs = layers.Dense(10)(x)
    return keras.Model(inputs, outputs, name="toy_resnet")


class PlainDense(layers.Layer):
    """The guide's CustomDense without `get_config`; its `__init__` takes no `**kwargs`."""

    def __init__(self, units=32):
        super(PlainDense, self).__init__()  # noqa: UP008
        self.units = units

    def build(self, input_shape):
        self.w = self.add_weight(
            shape=(input_shape[-1], self.units),
            initializer="random_normal",
            trainable=True,
        )
        self.b = self.add_weight(shape=(self.units,), initializer="random_normal", trainable=True)

    def call(self, inputs):
        return jnp.matmul(inputs, self.w) + self.b


class CustomDense(PlainDense):
    """The guide's second one: `get_config` returns the constructor's arguments and nothing else."""

    def get_config(self):
        return {"units": self.units}


class MLP(keras.Model):
    def __init__(self, **kwargs):
        super(MLP, self).__init__(**kwargs)  # noqa: UP008
        self.dense_1 = layers.Dense(64, activation="relu")
        self.dense_2 = layers.Dense(10)

    def call(self, inputs):
        x = self.dense_1(inputs)
        return self.dense_2(x)


class CustomRNN(layers.Layer):
    """The guide's recurrent layer, around any classifier; it prints as the guide's first one."""

    def __init__(self, classifier=None):
        super().__init__()
        self.units = 32
        self.projection_1 = layers.Dense(units=self.units, activation="tanh")
        self.projection_2 = layers.Dense(units=self.units, activation="tanh")
        self.classifier = layers.Dense(1) if classifier is None else classifier

    def call(self, inputs):
        outputs = []
        state = jnp.zeros(shape=(inputs.shape[0], self.units))
        for t in range(inputs.shape[1]):
            x = inputs[:, t, :]
            h = self.projection_1(x)
            y = h + self.projection_2(state)
            state = y
            outputs.append(y)
        features = jnp.stack(outputs, axis=1)
        print(features.shape)
        return self.classifier(features)
