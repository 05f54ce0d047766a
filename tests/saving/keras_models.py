"""Models that are built alike in Keras and in kgraph, to be exchanged through files."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jax
import keras
import numpy as np

OLDER = tuple(map(int, keras.__version__.split(".")[:2])) < (3, 15)
"""Whether the Keras at hand is older than the one whose files are written. Files go to Keras 3.12
as well: put that on PYTHONPATH, and the same tests run under it."""


@contextlib.contextmanager
def relaxed() -> Iterator[None]:
    """Runs Keras as its users do: with type promotion, and without its warnings."""
    with (
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


def mlp(K: Any) -> Any:
    x = inputs = K.Input((5,))
    x = K.layers.Dense(4, "relu", kernel_regularizer="l2", kernel_constraint="non_neg")(x)
    return K.Model(inputs, K.layers.Dense(2, "softmax", name="head")(x), name="mlp")


def sequential(K: Any) -> Any:
    L = K.layers
    return K.Sequential([K.Input((6,)), L.Dense(4, "tanh"), L.LayerNormalization(), L.Dense(1)])


def autoencoder(K: Any) -> Any:
    L = K.layers
    image = K.Input((8, 8, 1), name="img")
    x = L.Conv2D(3, 3, activation="relu")(image)
    x = L.MaxPooling2D(2)(x)
    encoder = K.Model(image, L.GlobalMaxPooling2D()(x), name="encoder")
    code = K.Input((3,), name="code")
    x = L.Reshape((3, 1, 1))(L.Dense(3)(code))
    x = L.Conv2DTranspose(2, 3, activation="relu")(x)
    decoder = K.Model(code, L.UpSampling2D(2)(x), name="decoder")
    whole = K.Input((8, 8, 1), name="whole")
    return K.Model(whole, decoder(encoder(whole)), name="autoencoder")


def ensemble(K: Any) -> Any:
    def member() -> Any:
        inputs = K.Input((4,))
        return K.Model(inputs, K.layers.Dense(2)(inputs))

    inputs = K.Input((4,))
    return K.Model(inputs, K.layers.average([member()(inputs) for _ in range(3)]))


def shared(K: Any) -> Any:
    a, b = K.Input((4,), name="a"), K.Input((4,), name="b")
    layer = K.layers.Dense(3, "tanh", name="both")
    return K.Model([a, b], K.layers.Dense(1)(K.layers.concatenate([layer(layer2(K)(a)), layer(b)])))


def layer2(K: Any) -> Any:
    return K.layers.Dense(4, name="only_a")


def nested_twice(K: Any) -> Any:
    x, y, z = K.Input((3,)), K.Input((3,)), K.Input((3,))
    one = K.Model(x, K.layers.Dense(3, name="core")(x), name="one")
    two = K.Model(y, K.layers.Dense(3, name="own")(one(one(y))), name="two")
    return K.Model(z, two(two(z)))


def tickets(K: Any) -> Any:
    L = K.layers
    title = K.Input((None,), name="title", dtype="int32")
    body = K.Input((None,), name="body", dtype="int32")
    tags = K.Input((4,), name="tags")
    x = L.LSTM(3)(L.Embedding(9, 4)(title))
    y = L.LSTM(2)(L.Embedding(9, 4)(body))
    x = L.concatenate([x, y, tags])
    outputs = {"priority": L.Dense(1, name="priority")(x), "dept": L.Dense(3, name="dept")(x)}
    return K.Model({"title": title, "body": body, "tags": tags}, outputs)


def resnet(K: Any) -> Any:
    L = K.layers
    inputs = K.Input((8, 8, 3), name="img")
    x = L.Conv2D(4, 3, activation="relu")(inputs)
    block = L.MaxPooling2D(2)(x)
    x = L.Conv2D(4, 3, activation="relu", padding="same")(block)
    x = L.Conv2D(4, 3, activation="relu", padding="same")(x)
    x = L.add([x, block])
    x = L.GlobalAveragePooling2D()(x)
    return K.Model(inputs, L.Dense(2)(x), name="toy_resnet")


def masked_rnn(K: Any) -> Any:
    L = K.layers
    words = K.Input((None,), dtype="int32")
    x = L.Embedding(9, 4, mask_zero=True)(words)
    x = L.LSTM(3, return_sequences=True)(x)
    return K.Model(words, L.Dense(2)(L.GRU(2)(x)))


def masked_bidirectional(K: Any) -> Any:
    L = K.layers
    series = K.Input((None, 3))
    x = L.Masking()(series)
    x = L.Bidirectional(L.GRU(2, return_sequences=True))(x)
    return K.Model(series, L.TimeDistributed(L.Dense(2))(x))


def stacked_cells(K: Any) -> Any:
    L = K.layers
    series = K.Input((4, 3))
    return K.Model(series, L.RNN([L.LSTMCell(3), L.GRUCell(2), L.SimpleRNNCell(2)])(series))


def states(K: Any) -> Any:
    L = K.layers
    series, first = K.Input((4, 3)), K.Input((2,))
    x, h, c = L.LSTM(2, return_state=True, return_sequences=True)(series)
    y = L.LSTM(2)(x, initial_state=[h, c])
    return K.Model([series, first], L.add([y, first]))


def transformer(K: Any) -> Any:
    L = K.layers
    x = tokens = K.Input((5, 4))
    attended = L.MultiHeadAttention(2, 3)(x, x)
    x = L.LayerNormalization()(L.add([x, attended]))
    inner = L.Dense(4)(L.Dense(8, "gelu")(x))
    x = L.LayerNormalization()(L.add([x, inner]))
    return K.Model(tokens, L.Dense(2)(L.GlobalAveragePooling1D()(x)))


def grouped_attention(K: Any) -> Any:
    x = K.Input((5, 4))
    return K.Model(x, K.layers.GroupQueryAttention(2, 4, 2)(x, x))


def vgg_like(K: Any) -> Any:
    L = K.layers
    blocks = [K.Input((8, 8, 2))]
    for filters in (2, 3):
        blocks += [L.Conv2D(filters, 3, padding="same", activation="relu"), L.BatchNormalization()]
        blocks += [L.MaxPooling2D((2, 2), strides=(2, 2))]
    return K.Sequential([*blocks, L.Flatten(), L.Dense(3, "softmax")], name="vgg")


def separable(K: Any) -> Any:
    L = K.layers
    image = K.Input((8, 8, 2))
    x = L.SeparableConv2D(3, 3)(image)
    x = L.DepthwiseConv2D(2, depth_multiplier=2)(x)
    return K.Model(image, L.Flatten()(L.PReLU()(L.GroupNormalization(2)(x))))


def operators(K: Any) -> Any:
    x, y = K.Input((4,)), K.Input((4,))
    a = K.layers.Dense(4)(x) * 2.0 + y
    b = (a - y) / 3.0
    c = K.ops.concatenate([a[:, :2], K.ops.maximum(b, 0.0)[:, 1:]], axis=1)
    return K.Model([x, y], K.layers.Dense(2)(K.ops.relu(-c) ** 2))


def functions(K: Any) -> Any:
    x = K.Input((2, 3))
    y = K.layers.Dense(3, "tanh")(x)
    z = K.ops.matmul(y, K.ops.transpose(x, (0, 2, 1)))
    z = K.ops.softmax(z, axis=-1)
    mean = K.ops.mean(z, axis=1, keepdims=True)
    wide = K.ops.squeeze(K.ops.expand_dims(K.ops.sum(z, axis=-1), 2), 2)
    return K.Model(x, [K.layers.Flatten()(mean), K.ops.reshape(wide, (-1, 2))])


def conditions(K: Any) -> Any:
    x = K.Input((3,))
    y = K.layers.Dense(3)(x)
    large = K.ops.greater(y, 0.0)
    return K.Model(x, K.ops.where(large, K.ops.exp(y), K.ops.cast(large, "float32")))


def time_distributed_model(K: Any) -> Any:
    row = K.Input((3,))
    inner = K.Model(row, K.layers.Dense(2, "relu")(row))
    rows = K.Input((4, 3))
    return K.Model(rows, K.layers.TimeDistributed(inner)(rows))


def nested_sequential(K: Any) -> Any:
    inner = K.Sequential([K.layers.Dense(3), K.layers.BatchNormalization()], name="inner")
    x = K.Input((4,))
    return K.Model(x, K.layers.Dense(1)(K.layers.add([inner(x), inner(K.layers.ReLU()(x))])))


def frozen(K: Any) -> Any:
    L = K.layers
    x = K.Input((4,))
    y = L.BatchNormalization(trainable=False)(L.Dense(3, trainable=False)(x))
    return K.Model(x, L.Dense(1)(y))


def mixed_precision(K: Any) -> Any:
    x = K.Input((4,))
    y = K.layers.Dense(3, "relu", dtype="mixed_bfloat16")(x)
    return K.Model(x, K.layers.Dense(1, dtype="float32")(y))


def many_options(K: Any) -> Any:
    L, x = K.layers, K.Input((6, 2))
    y = L.Conv1D(3, 2, kernel_initializer=K.initializers.HeNormal(seed=3), bias_initializer="ones")(
        x
    )
    y = L.LeakyReLU(0.1)(y)
    y = L.Conv1D(2, 2, kernel_regularizer=K.regularizers.L1L2(0.01, 0.02), padding="causal")(y)
    y = L.Activation("gelu")(L.RMSNormalization()(y))
    return K.Model(x, L.Dense(2, kernel_constraint=K.constraints.MaxNorm(1.0))(L.Flatten()(y)))


def tied_embedding(K: Any) -> Any:
    L, words = K.layers, K.Input((4,), dtype="int32")
    table = L.ReversibleEmbedding(9, 3, name="table")
    return K.Model(words, table(L.LayerNormalization()(table(words)), reverse=True))


def spectral(K: Any) -> Any:
    L, x = K.layers, K.Input((6, 2))
    y = L.SpectralNormalization(L.Conv1D(3, 2, activation="tanh"), power_iterations=2)(x)
    return K.Model(x, L.SpectralNormalization(L.Dense(2))(L.Flatten()(y)))


def mobile_net_like(K: Any) -> Any:
    """Separable blocks as of MobileNetV2: padding, bounded rectifiers, a linear bottleneck."""
    L, image = K.layers, K.Input((9, 9, 2))
    x = L.ZeroPadding2D(((0, 1), (0, 1)))(image)
    x = L.ReLU(6.0)(L.BatchNormalization(momentum=0.999)(L.Conv2D(4, 3, 2, use_bias=False)(x)))
    y = L.Conv2D(8, 1, use_bias=False, padding="same")(x)
    y = L.ReLU(6.0)(L.BatchNormalization(epsilon=1e-3)(y))
    y = L.DepthwiseConv2D(3, padding="same", use_bias=False)(y)
    y = L.Conv2D(4, 1, use_bias=False)(L.ReLU(6.0)(L.BatchNormalization()(y)))
    x = L.GlobalAveragePooling2D(keepdims=True)(L.Add()([x, y]))
    x = L.Dropout(0.0)(L.Conv2D(3, 1)(x))
    return K.Model(image, L.Softmax()(L.Reshape((3,))(x)))


def u_net_like(K: Any) -> Any:
    L, image = K.layers, K.Input((8, 8, 1))
    down = L.Conv2D(2, 3, padding="same", activation="relu")(image)
    x = L.MaxPooling2D()(down)
    x = L.SpatialDropout2D(0.0)(L.Conv2D(3, 3, padding="same", activation="elu")(x))
    x = L.Conv2DTranspose(2, 2, strides=2, padding="same")(x)
    x = L.Cropping2D(1)(L.Concatenate()([down, x]))
    return K.Model(image, L.Conv2D(1, 1, activation="sigmoid")(x))


def inception_like(K: Any) -> Any:
    """Parallel branches that are joined, and channels that gate themselves."""
    L, image = K.layers, K.Input((6, 6, 2))
    branches = [L.Conv2D(2, n, padding="same", activation="relu")(image) for n in (1, 3)]
    branches += [L.Conv2D(1, 1)(L.AveragePooling2D(3, 1, "same")(image))]
    x = L.Concatenate(axis=-1)(branches)
    gate = L.Dense(5, "sigmoid")(L.Dense(2, "relu")(L.GlobalMaxPooling2D()(x)))
    x = L.Multiply()([x, L.Reshape((1, 1, 5))(gate)])
    return K.Model(image, L.Dense(2)(L.Flatten()(x)))


def sequence_to_sequence(K: Any) -> Any:
    L, source, target = K.layers, K.Input((None, 3)), K.Input((None, 2))
    encoded, h, c = L.LSTM(4, return_sequences=True, return_state=True)(source)
    decoded = L.LSTM(4, return_sequences=True)(target, initial_state=[h, c])
    context = L.Attention(use_scale=True)([decoded, encoded])
    return K.Model([source, target], L.TimeDistributed(L.Dense(2))(L.add([decoded, context])))


def siamese(K: Any) -> Any:
    L = K.layers
    tower = K.Sequential([K.Input((4,)), L.Dense(3, "relu"), L.UnitNormalization()], name="tower")
    a, b = K.Input((4,)), K.Input((4,))
    one, two = tower(a), tower(b)
    close = L.Dot(axes=1, normalize=True)([one, two])
    return K.Model([a, b], L.Dense(1, "sigmoid")(L.concatenate([K.ops.abs(one - two), close])))


def text_cnn(K: Any) -> Any:
    L, words = K.layers, K.Input((7,), dtype="int32")
    x = L.Embedding(9, 3)(words)
    found = [L.GlobalMaxPooling1D()(L.Conv1D(2, n, activation="relu")(x)) for n in (2, 3)]
    return K.Model(words, L.Dense(2, "softmax")(L.Concatenate()(found)))


def tabular(K: Any) -> Any:
    """Preprocessing layers in front of a net, and inputs in a dict."""
    L = K.layers
    inputs = {
        "age": K.Input((2,), name="age"), "size": K.Input((3,), name="size"),
        "kind": K.Input((1,), name="kind", dtype="int32"),
    }  # fmt: skip
    age = L.Normalization(mean=[1.0, 2.0], variance=[4.0, 0.5])(inputs["age"])
    size = L.Rescaling(0.5, offset=-1.0)(inputs["size"])
    kind = L.CategoryEncoding(9, output_mode="one_hot")(inputs["kind"])
    x = L.Dense(3, "selu", bias_regularizer="l1")(L.concatenate([age, size, kind]))
    return K.Model(inputs, {"score": L.Dense(1, name="score")(x)})


def vision_transformer(K: Any) -> Any:
    L, image = K.layers, K.Input((4, 4, 2))
    x = L.Reshape((4, 4))(L.Conv2D(4, 2, 2, name="patches")(image))
    x = L.EinsumDense("abc,cd->abd", (None, 4), bias_axes="d")(x)
    y = L.LayerNormalization(epsilon=1e-6)(x)
    x = L.add([x, L.MultiHeadAttention(2, 2, name="attention")(y, y, use_causal_mask=True)])
    y = L.Dense(4)(L.Dense(6, "gelu")(L.LayerNormalization(epsilon=1e-6)(x)))
    return K.Model(image, L.Dense(2)(L.GlobalAveragePooling1D()(L.add([x, y]))))


def video(K: Any) -> Any:
    L, frames = K.layers, K.Input((3, 4, 4, 1))
    x = L.ConvLSTM2D(2, 2, return_sequences=True)(frames)
    x = L.Conv3D(2, (2, 1, 1), activation="relu")(x)
    return K.Model(frames, L.Dense(1)(L.GlobalAveragePooling3D()(x)))


def two_directions(K: Any) -> Any:
    """Directions that differ, masks by data, and a recurrent net that is called twice."""
    L, series = K.layers, K.Input((5, 3))
    x = L.Masking(0.0)(series)
    x = L.Bidirectional(
        L.LSTM(2, return_sequences=True), merge_mode="sum",
        backward_layer=L.GRU(2, return_sequences=True, go_backwards=True),
    )(x)  # fmt: skip
    again = L.SimpleRNN(2, return_sequences=True, name="again")
    return K.Model(series, L.GlobalAveragePooling1D()(again(again(x))))


_MAKERS = (
    mlp, sequential, autoencoder, ensemble, shared, nested_twice, tickets, resnet,
    masked_rnn, masked_bidirectional, stacked_cells, states, transformer, grouped_attention,
    vgg_like, separable,
    operators, functions, conditions, time_distributed_model, nested_sequential, frozen,
    mixed_precision, many_options, tied_embedding, spectral, mobile_net_like, u_net_like,
    inception_like, sequence_to_sequence, siamese, text_cnn, tabular, vision_transformer, video,
    two_directions,
)  # fmt: skip
MODELS: dict[str, Callable[[Any], Any]] = {make.__name__: make for make in _MAKERS}
_OPTIMIZERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("Adam", {"amsgrad": True}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("RMSprop", {"momentum": 0.5, "centered": True}),
    ("AdamW", {"use_ema": True, "clipnorm": 1.0}),
    ("Adagrad", {}),
    ("Adadelta", {}),
    ("Adamax", {}),
    ("Nadam", {}),
    ("Ftrl", {}),
    ("Lion", {}),
    ("Lamb", {}),
    ("Adafactor", {}),
    ("Muon", {}),
    ("ScheduleFreeAdamW", {}),
    ("Adam", {"gradient_accumulation_steps": 2}),
)
_OTHER_BEFORE = {"Muon", "ScheduleFreeAdamW"}  # Keras 3.12 steps otherwise, or has none
OPTIMIZERS = [o for o in _OPTIMIZERS if not (OLDER and o[0] in _OTHER_BEFORE)]


def data_for(model: Any, rows: int = 4, seed: int = 0) -> tuple[Any, Any]:
    """Returns inputs and targets for a Keras model, in the structures of its ends."""
    rng = np.random.default_rng(seed)

    def array(tensor: Any) -> np.ndarray:
        shape = (rows, *(6 if n is None else n for n in tensor.shape[1:]))
        if "int" in str(tensor.dtype):
            return rng.integers(0, 9, shape).astype("int32")
        return rng.normal(size=shape).astype("float32")

    with relaxed():
        ends = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
        x = keras.tree.map_structure(array, ends)
        outputs = model(x)
        y = keras.tree.map_structure(
            lambda t: rng.uniform(0.1, 0.9, t.shape).astype("float32"), outputs
        )
    return x, y
