"""Rows 60 to 71 of the guide: functional models beside subclasses, and both together."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from guide_code import MLP, CustomRNN, mnist_model, table, total

import kgraph as keras
from kgraph import layers


def functional_mlp() -> keras.Model:
    inputs = keras.Input(shape=(32,))
    x = layers.Dense(64, activation="relu")(inputs)
    outputs = layers.Dense(10)(x)
    return keras.Model(inputs, outputs)


def classifier() -> keras.Model:
    inputs = keras.Input((None, 32))
    x = layers.GlobalAveragePooling1D()(inputs)
    outputs = layers.Dense(1)(x)
    return keras.Model(inputs, outputs)


def test_row_60_the_functional_mlp():
    counts = [row[2] for row in table(functional_mlp())]
    assert counts == ["0", "2,112", "650"]
    assert total(functional_mlp()).startswith("2,762 (")


def test_row_61_a_subclassed_model_has_weights_after_its_first_call():
    mlp = MLP()
    assert mlp.weights == []
    outputs = mlp(jnp.zeros((1, 32)))
    assert outputs.shape == (1, 10)
    assert mlp.count_params() == 2762
    assert total(mlp).startswith("2,762 (")


def test_row_61_both_versions_compute_the_same():
    mlp, functional = MLP(), functional_mlp()
    x = np.random.default_rng(0).random((5, 32), "float32")
    mlp(x)
    functional.set_weights(mlp.get_weights())
    np.testing.assert_allclose(functional(x), mlp(x), rtol=1e-5, atol=1e-6)


def test_row_62_shapes_are_checked_where_the_layer_is_called():
    dense = layers.Dense(10, name="head")
    dense(keras.Input((32,)))
    with pytest.raises(keras.errors.GraphError) as caught:
        dense(keras.Input((64,)))
    text = str(caught.value)
    assert "'head' (Dense)" in text
    assert "test_guide_styles.py" in text
    assert "32" in text
    assert "64" in text


def test_row_62_ranks_are_checked_where_the_layer_is_called():
    with pytest.raises(keras.errors.GraphError, match=r"Conv2D[\s\S]*test_guide_styles.py"):
        layers.Conv2D(8, 3)(keras.Input((32,)))


def test_row_63_a_functional_model_is_data(tmp_path):
    model = mnist_model()
    clone = keras.models.clone_model(model)
    assert table(clone) == table(model)
    assert clone.layers[1] is not model.layers[1]
    from_json = keras.models.model_from_json(model.to_json())
    assert table(from_json) == table(model)
    assert keras.utils.plot_model(from_json, tmp_path / "model.svg").path.exists()
    part = keras.Model(model.input, model.get_layer("dense_1").output)
    assert part.output_shape == (None, 64)


def test_row_64_a_graph_cannot_turn_back_on_itself():
    """A call needs its input first, so a cycle cannot be written down; a missing input is named."""
    known, other = keras.Input((4,), name="known"), keras.Input((4,), name="other")
    outputs = layers.add([known, layers.Dense(4)(other)])
    with pytest.raises(keras.errors.GraphError, match="'other'"):
        keras.Model(known, outputs)


def test_row_65_the_shape_may_be_positional():
    model = classifier()
    assert model.input_shape == (None, None, 32)
    assert total(model).startswith("33 (")


def test_row_66_a_layer_with_layers_and_a_functional_model_inside(capsys):
    rnn_model = CustomRNN(classifier())
    outputs = rnn_model(jnp.zeros((1, 10, 5)))
    assert capsys.readouterr().out == "(1, 10, 32)\n"
    assert outputs.shape == (1, 1)
    assert [w.shape for w in rnn_model.weights] == [
        (5, 32), (32,), (32, 32), (32,), (32, 1), (1,),
    ]  # fmt: skip
    assert rnn_model.count_params() == 192 + 1056 + 33 == 1281


class Plain(layers.Layer):
    def call(self, inputs, factor=2.0):
        return inputs["a"] * factor + inputs["b"]


class WithTraining(layers.Layer):
    def call(self, inputs, training=None):
        return inputs + 1 if training else inputs


class WithMask(layers.Layer):
    def call(self, inputs, mask=None):
        return jnp.sum(inputs * jnp.asarray(mask, inputs.dtype)[..., None], axis=1)


class WithBoth(layers.Layer):
    def call(self, inputs, training=None, mask=None):
        kept = inputs * jnp.asarray(mask, inputs.dtype)[..., None]
        return jnp.sum(kept, axis=1) + (1 if training else 0)


def test_row_67_inputs_are_any_structure_and_options_are_no_tensors():
    inputs = {"a": keras.Input((3,), name="a"), "b": keras.Input((3,), name="b")}
    model = keras.Model(inputs, Plain()(inputs, factor=5.0))
    ones = np.ones((2, 3), "float32")
    np.testing.assert_array_equal(model({"a": ones, "b": 2 * ones}), 7 * ones)


def test_row_67_training_reaches_a_call_that_asks_for_it():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, WithTraining()(inputs))
    zeros = np.zeros((2, 3), "float32")
    np.testing.assert_array_equal(model(zeros), zeros)
    np.testing.assert_array_equal(model(zeros, training=True), zeros + 1)


@pytest.mark.parametrize(("layer", "added"), [(WithMask, 0), (WithBoth, 1)])
def test_row_67_a_mask_reaches_a_call_that_asks_for_it(layer, added):
    inputs = keras.Input((3, 2))
    model = keras.Model(inputs, layer()(layers.Masking()(inputs)))
    x = np.array([[[1, 2], [0, 0], [3, 4]]], "float32")
    np.testing.assert_array_equal(model(x), [[4, 6]])
    np.testing.assert_array_equal(model(x, training=True), [[4 + added, 6 + added]])


def test_rows_68_and_70_a_static_batch_and_a_layer_without_build():
    inputs = keras.Input(batch_shape=(16, 10, 5))
    x = layers.Conv1D(32, 3)(inputs)
    outputs = CustomRNN()(x)
    model = keras.Model(inputs, outputs)
    assert table(model) == [
        ("input_layer (InputLayer)", "(16, 10, 5)", "0"),
        ("conv1d (Conv1D)", "(16, 8, 32)", "512"),
        ("custom_rnn (CustomRNN)", "(16, 8, 1)", "2,145"),
    ]
    assert total(model).startswith("2,657 (")
    assert model(np.zeros((16, 10, 5), "float32")).shape == (16, 8, 1)


def test_row_69_a_second_instance_has_weights_of_its_own():
    first, second = CustomRNN(), CustomRNN()
    keras.Model(inputs := keras.Input(batch_shape=(16, 8, 32)), first(inputs))
    assert second(jnp.zeros((1, 10, 5))).shape == (1, 10, 1)
    assert first.count_params() == 1056 + 1056 + 33
    assert second.count_params() == 192 + 1056 + 33
    assert not {id(w) for w in first.weights} & {id(w) for w in second.weights}


def test_row_70_layers_inside_keep_their_own_paths():
    """Two projections of the same shape are two weights with two names and two starting values."""
    layer = CustomRNN()
    layer(jnp.zeros((1, 4, 32)))
    paths = [weight.path for weight in layer.weights]
    assert len(set(paths)) == len(paths), paths
    one, other = layer.projection_1.kernel.numpy(), layer.projection_2.kernel.numpy()
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    "name",
    """Conv1D Conv2D Conv3D Conv2DTranspose MaxPooling1D MaxPooling2D MaxPooling3D AveragePooling1D
    GRU LSTM ConvLSTM2D BatchNormalization Dropout Embedding""".split(),  # noqa: SIM905
)
def test_row_71_the_layers_that_the_guide_names_exist(name):
    assert issubclass(getattr(layers, name), layers.Layer)
