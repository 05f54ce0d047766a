"""`built`, `supports_masking` and masks of layers called on arrays are as in Keras."""

from __future__ import annotations

import warnings

import jax
import keras
import numpy as np
import pytest

import kgraph
from kgraph.errors import NotYetError, StateError
from kgraph.layers import Lambda

ARGUMENTS = {
    "ActivityRegularization": (0.1,), "Activation": ("relu",), "AdaptiveAveragePooling1D": (1,),
    "AlphaDropout": (0.1,), "AveragePooling1D": (2,), "Bidirectional": ("LSTM",),
    "CategoryEncoding": (3,), "ConvLSTM1D": (2, 1), "Conv1D": (2, 1), "Conv2DTranspose": (2, 1),
    "Dense": (2,), "DepthwiseConv1D": (1,), "Dot": (1,), "Dropout": (0.1,),
    "EinsumDense": ("ab,bc->ac", 2), "Embedding": (5, 2), "GaussianDropout": (0.1,),
    "GaussianNoise": (0.1,), "GroupNormalization": (1,), "GroupQueryAttention": (1, 1, 1),
    "GRU": (2,), "InputLayer": ((2,),), "Lambda": (abs,), "LSTM": (2,), "LSTMCell": (2,),
    "MultiHeadAttention": (1, 1), "Permute": ((2, 1),), "RepeatVector": (2,), "Rescaling": (1.0,),
    "Reshape": ((-1,),), "Resizing": (2, 2), "RNN": ("LSTMCell",), "SeparableConv1D": (2, 1),
    "SimpleRNN": (2,), "SpatialDropout1D": (0.1,), "SpectralNormalization": ("Dense",),
    "TimeDistributed": ("Dense",),
}  # fmt: skip
PLAIN = [
    "Add", "AdditiveAttention", "Attention", "Average", "BatchNormalization", "Concatenate",
    "Cropping1D", "ELU", "Flatten", "GlobalAveragePooling1D", "GlobalMaxPooling1D",
    "GlobalMaxPooling2D", "Identity", "Layer", "LayerNormalization", "LeakyReLU", "Masking",
    "MaxPooling1D", "MaxPooling2D", "Maximum", "Minimum", "Multiply", "Normalization", "PReLU",
    "RandomFlip", "ReLU", "RMSNormalization", "Softmax", "Subtract", "UnitNormalization",
    "UpSampling1D", "ZeroPadding1D",
]  # fmt: skip


def made(k, name):
    given = ARGUMENTS.get(name, ())
    inner = [getattr(k.layers, a)(2) if isinstance(a, str) and a[0].isupper() else a for a in given]
    return getattr(k.layers, name)(*inner)


@pytest.mark.parametrize("name", [*PLAIN, *ARGUMENTS])
def test_what_a_new_layer_says_of_itself(name):
    one, other = made(kgraph, name), made(keras, name)
    assert (one.built, one.supports_masking) == (other.built, other.supports_masking)


def test_a_layer_without_weights_is_built_by_build():
    class Own(kgraph.Layer):
        pass

    layer = Own()
    assert not layer.built
    layer.build((None, 3))
    assert layer.built


def padded(k):
    x = np.ones((1, 3, 2), np.float32)
    x[0, 1:] = 0
    return k.layers.Masking()(x)


def through_dropout(k):
    return k.layers.GlobalAveragePooling1D()(k.layers.Dropout(0.5)(padded(k)))


def through_a_sequence(k):
    ones = {"kernel_initializer": "ones", "recurrent_initializer": "ones"}
    return k.layers.GlobalAveragePooling1D()(
        k.layers.SimpleRNN(2, return_sequences=True, **ones)(padded(k))
    )


def into_a_model(k):
    x = k.Input((3, 2))
    model = k.Model(x, k.layers.GlobalAveragePooling1D()(x))
    return model(padded(k))


def out_of_a_model(k):
    x = k.Input((3, 2))
    model = k.Model(x, k.layers.Masking()(x))
    return k.layers.GlobalAveragePooling1D()(model(np.asarray(padded(k))))


@pytest.mark.parametrize(
    "program", [through_dropout, through_a_sequence, into_a_model, out_of_a_model]
)
def test_masks_go_with_arrays_from_layer_to_layer(program):
    with warnings.catch_warnings(), jax.numpy_rank_promotion("allow"):
        warnings.simplefilter("ignore")  # Keras says that the mask ends in a model that reads it
        expected = program(keras)
    np.testing.assert_allclose(program(kgraph), expected, rtol=1e-6)


def test_a_name_can_be_set_until_a_model_has_the_layer():
    class Named(kgraph.layers.Dense):
        def __init__(self, units):
            super().__init__(units)
            self.name = f"of_{units}"

    layer = Named(3)
    x = kgraph.Input((2,))
    layer.build((None, 2))
    assert [w.path for w in layer.weights] == ["of_3/kernel", "of_3/bias"]
    layer.name = "other"
    assert layer.kernel.path == "other/kernel"
    model = kgraph.Model(x, layer(x))
    assert model.get_layer("other") is layer
    with pytest.raises(StateError, match=r"part of a model[\s\S]*test_traits_of_keras[\s\S]*name="):
        layer.name = "late"
    model.name = "mine"
    assert model.name == "mine"


def test_hasattr_never_raises():
    k = kgraph.layers
    objects = [
        k.Dense(2), kgraph.Sequential(), k.TextVectorization(), k.Normalization(), k.LSTM(2),
        k.StringLookup(), kgraph.optimizers.Adam(), kgraph.metrics.Mean(), kgraph.Input((2,)),
        kgraph.callbacks.EarlyStopping(), kgraph.Model(x := kgraph.Input((2,)), x * 2),
    ]  # fmt: skip
    for thing in objects:
        for name in dir(thing):
            hasattr(thing, name)
    assert not hasattr(k.Dense(2), "output")
    with pytest.raises(NotYetError, match="is not part of a graph"):
        k.Dense(2).output  # noqa: B018


def test_lambdas_work_and_are_refused_by_save_alone(tmp_path):
    factor = 3
    x = kgraph.Input((2,))
    model = kgraph.Model(x, Lambda(lambda x: x * factor, name="triple")(x))
    np.testing.assert_array_equal(model(np.ones((1, 2), "float32")), [[3, 3]])
    for name in ("m.kgraph", "m.keras"):
        with pytest.raises(kgraph.errors.ConfigError, match="'triple'"):
            model.save(tmp_path / name)
    assert not list(tmp_path.iterdir())
