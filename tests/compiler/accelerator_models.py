"""The models of the tests of accelerators: one of each kind, small, compiled for training."""

from __future__ import annotations

from collections.abc import Callable

from kgraph import Input, Model, layers


def mlp() -> Model:
    x = inputs = Input((16,))
    for _ in range(2):
        x = layers.Dense(16, activation="relu")(x)
    return _compiled(Model(inputs, layers.Dense(4)(x)))


def resnet() -> Model:
    x = inputs = Input((8, 8, 3))
    x = layers.Conv2D(8, 3, activation="relu")(x)
    y = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    x = layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(layers.Add()([x, y])))
    return _compiled(Model(inputs, layers.Dense(4)(x)))


def ticket() -> Model:
    title = Input((6,), name="title", dtype="int32")
    tags = Input((4,), name="tags")
    x = layers.LSTM(8)(layers.Embedding(20, 8, mask_zero=True)(title))
    x = layers.Concatenate()([x, tags])
    outputs = [
        layers.Dense(1, "sigmoid", name="priority")(x),
        layers.Dense(4, "softmax", name="department")(x),
    ]
    model = Model([title, tags], outputs)
    loss = {"priority": "binary_crossentropy", "department": "categorical_crossentropy"}
    model.compile("rmsprop", loss)
    return model


def transformer() -> Model:
    x = inputs = Input((8, 16))
    y = layers.LayerNormalization()(x)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 8, dropout=0.1)(y, y)])
    y = layers.Dense(32, activation="gelu")(layers.LayerNormalization()(x))
    return _compiled(Model(inputs, layers.Add()([x, layers.Dense(16)(y)])))


def batch_norm() -> Model:
    x = inputs = Input((6, 6, 4))
    x = layers.BatchNormalization()(layers.Conv2D(8, 3, use_bias=False)(x))
    x = layers.Flatten()(layers.MaxPooling2D(2)(layers.Activation("swish")(x)))
    return _compiled(Model(inputs, layers.Dense(4)(x)))


def mixed_bfloat16() -> Model:
    x = inputs = Input((16,))
    x = layers.Dense(16, activation="relu", dtype="mixed_bfloat16")(x)
    x = layers.LayerNormalization(dtype="mixed_bfloat16")(x)
    return _compiled(Model(inputs, layers.Dense(4, dtype="float32")(x)))


def conv_attention() -> Model:
    x = inputs = Input((12, 8))
    x = layers.Conv1D(8, 3, padding="causal", activation="relu")(x)
    x = layers.Attention()([x, layers.Conv1D(8, 3, strides=2, padding="same")(x)])
    return _compiled(Model(inputs, layers.Dense(4)(layers.GlobalMaxPooling1D()(x))))


def stateful_rnn() -> Model:
    inputs = Input((5, 4), batch_size=2)
    x = layers.Bidirectional(layers.GRU(4, return_sequences=True))(inputs)
    return _compiled(Model(inputs, layers.Dense(4)(layers.SimpleRNN(4, stateful=True)(x))))


def _compiled(model: Model) -> Model:
    model.compile("adam", "mse", metrics=["mae"])
    return model


MODELS: dict[str, Callable[[], Model]] = {
    made.__name__: made
    for made in (
        mlp, resnet, ticket, transformer, batch_norm, mixed_bfloat16, conv_attention, stateful_rnn
    )
}  # fmt: skip
FIXED_BATCH = {"stateful_rnn"}
"""Models whose batch has a size, because they keep a state for each row."""
