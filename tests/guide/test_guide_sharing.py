"""Rows 47 to 52 of the guide: shared layers, and features of a network from the literature."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from guide_code import table, total

import kgraph as keras
from kgraph import layers
from kgraph.datasets import download


@pytest.fixture
def shared():
    """One embedding that encodes two texts."""
    shared_embedding = layers.Embedding(1000, 128)
    text_input_a = keras.Input(shape=(None,), dtype="int32")
    text_input_b = keras.Input(shape=(None,), dtype="int32")
    encoded_input_a = shared_embedding(text_input_a)
    encoded_input_b = shared_embedding(text_input_b)
    return keras.Model([text_input_a, text_input_b], [encoded_input_a, encoded_input_b])


def test_row_47_a_shared_layer_counts_once_and_is_called_twice(shared):
    assert total(shared).startswith("128,000 (")
    name, _, count, connected = table(shared)[-1]
    assert (name, count) == ("embedding (Embedding)", "128,000")
    assert connected.split("\n") == ["input_layer[0][0]", "input_layer_1[0][0]"]
    calls = [node for node in shared.graph.nodes if node.layer == "embedding"]
    assert [node.call_index for node in calls] == [0, 1]


def test_row_47_readers_say_which_call_they_read(shared):
    pool = layers.GlobalAveragePooling1D()
    pooled = keras.Model(shared.inputs, [pool(encoded) for encoded in shared.outputs])
    assert table(pooled)[-1][3].split("\n") == ["embedding[0][0]", "embedding[1][0]"]


def test_row_47_both_calls_use_the_same_weights(shared):
    ids = np.array([[3, 1, 4], [1, 5, 9]], "int32")
    encoded_a, encoded_b = shared([ids, ids])
    np.testing.assert_array_equal(encoded_a, encoded_b)
    np.testing.assert_array_equal(encoded_a, shared.get_layer("embedding").embeddings.numpy()[ids])


def test_row_48_an_input_keeps_its_dtype(shared):
    assert [symbol.dtype for symbol in shared.inputs] == ["int32", "int32"]


@pytest.fixture(scope="module")
def vgg19():
    return keras.applications.VGG19(weights=None)  # the guide's line downloads 575 MB


def test_row_49_vgg19_is_built_without_arrays(vgg19):
    assert len(vgg19.layers) == 26
    assert vgg19.count_params() == 143_667_240
    assert vgg19.input_shape == (None, 224, 224, 3)
    assert vgg19.output_shape == (None, 1000)
    assert not any(weight.has_value for weight in vgg19.weights)


def test_row_49_the_guides_line_asks_for_the_published_weights(monkeypatch, tmp_path):
    monkeypatch.setenv("KGRAPH_HOME", str(tmp_path))
    monkeypatch.setattr(download, "download", lambda url, *rest: pytest.fail(url))
    with pytest.raises(pytest.fail.Exception, match=r"vgg19_weights_tf_dim_ordering_tf_kernels.h5"):
        keras.applications.VGG19()


def test_rows_50_and_51_features_of_all_layers_with_the_input_among_them(vgg19):
    features_list = [layer.output for layer in vgg19.layers]
    assert features_list[0] is vgg19.input or features_list[0].call is vgg19.input.call
    feat_extraction_model = keras.Model(inputs=vgg19.input, outputs=features_list)
    assert len(feat_extraction_model.outputs) == 26
    program = keras.lower(feat_extraction_model)
    variables = jax.eval_shape(program.init, jax.random.key(0))
    img = jax.ShapeDtypeStruct((1, 224, 224, 3), "float32")
    features, _ = jax.eval_shape(program.apply, variables, img)
    assert len(features) == 26
    assert features[0].shape == (1, 224, 224, 3)
    assert features[5].shape == (1, 112, 112, 128)
    assert features[-1].shape == (1, 1000)
    assert not any(weight.has_value for weight in vgg19.weights)


def test_row_52_a_model_is_called_on_a_numpy_array():
    """The convolutions of VGG19 on a small image: 22 layers, 22 arrays, in their order."""
    vgg19 = keras.applications.VGG19(weights=None, include_top=False, input_shape=(32, 32, 3))
    features_list = [layer.output for layer in vgg19.layers]
    feat_extraction_model = keras.Model(inputs=vgg19.input, outputs=features_list)
    img = np.random.default_rng(0).random((1, 32, 32, 3), "float32")
    extracted_features = feat_extraction_model(img)
    assert isinstance(extracted_features, list)
    assert [f.shape[1:] for f in extracted_features] == [f.shape[1:] for f in features_list]
    np.testing.assert_array_equal(extracted_features[0], img)
    first = vgg19.get_layer("block1_conv1")(img)
    np.testing.assert_allclose(extracted_features[1], first, rtol=1e-5, atol=1e-6)
    assert len(extracted_features) == 22
    assert extracted_features[-1].shape == (1, 1, 1, 512)
