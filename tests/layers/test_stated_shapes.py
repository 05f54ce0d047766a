"""`compute_output_shape` and `compute_output_spec` of a user's layer, as in Keras."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import kgraph
from kgraph.errors import GraphError


def groups(api):
    """A layer whose `call` needs to know its sizes as numbers."""

    class Groups(api.layers.Layer):
        def call(self, inputs):
            rows = np.arange(inputs.shape[0] * 2) // 2  # NumPy needs a number of rows
            return inputs[rows]

        def compute_output_shape(self, input_shape):
            return (None, *input_shape[1:])

    return Groups()


def test_a_layer_that_cannot_be_run_on_unknown_sizes_says_its_shape():
    def built(api):
        inputs = api.Input((3,))
        x = groups(api)(inputs)
        head = api.layers.Dense(2, kernel_initializer="ones")
        model = api.Model(inputs, head(x))
        return x.shape, model.output_shape, model.predict(X, verbose=0)

    X = np.arange(6, dtype="float32").reshape(2, 3)
    with jax.numpy_rank_promotion("allow"):
        expected = built(keras)
    shape, output_shape, outputs = built(kgraph)
    assert (shape, output_shape) == expected[:2] == ((None, 3), (None, 2))
    np.testing.assert_allclose(outputs, expected[2], rtol=1e-6)


class Cut(kgraph.layers.Layer):
    """Says of an unknown length that it is 4."""

    def call(self, inputs):
        return inputs[:, ::2]

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 4, input_shape[2])


def test_a_stated_size_is_known_to_later_layers_and_checked_when_it_runs():
    inputs = kgraph.Input((None, 1))
    flat = kgraph.layers.Flatten()(Cut()(inputs))
    assert flat.shape == (None, 4)
    model = kgraph.Model(inputs, kgraph.layers.Dense(1)(flat))
    assert model(np.ones((2, 8, 1))).shape == (2, 1)
    with pytest.raises(GraphError, match=r"'cut' gives another shape than it states\n  at .*py:\d"):
        model(np.ones((2, 6, 1)))


def test_a_shape_that_call_does_not_give_is_an_error_with_both_lines():
    class Wrong(kgraph.layers.Layer):
        def call(self, inputs):
            return inputs[:, :2]

        def compute_output_shape(self, input_shape):
            return (input_shape[0], 3)

    text = r"'wrong' \(Wrong\) gives .* its compute_output_shape states\n  at .*\n(.*\n)*  defined"
    with pytest.raises(GraphError, match=text):
        Wrong()(kgraph.Input((5,)))


def spec_layer(api, dtype):
    class Both(api.layers.Layer):
        def call(self, inputs, scale):
            return {"b": inputs * scale, "a": jnp.argmax(inputs, axis=-1)}

        def compute_output_spec(self, inputs, scale):
            return {
                "a": api.KerasTensor(inputs.shape[:-1], dtype=dtype),
                "b": api.KerasTensor(inputs.shape),
            }

    return Both()


def test_specs_of_several_outputs():
    def specs(api):
        outputs = spec_layer(api, "int32")(api.Input((3,)), api.Input((3,)))
        assert isinstance(outputs["a"], api.KerasTensor)
        return {key: (value.shape, value.dtype) for key, value in outputs.items()}

    assert specs(kgraph) == specs(keras)
    with pytest.raises(GraphError, match="compute_output_spec states"):
        spec_layer(kgraph, "float32")(kgraph.Input((3,)), kgraph.Input((3,)))


def test_a_hook_may_ask_its_base_and_several_shapes_go_by_name():
    class Asks(kgraph.layers.Dense):
        def compute_output_shape(self, input_shape):
            asked.append(input_shape)
            return super().compute_output_shape(input_shape)

    class Pair(kgraph.layers.Layer):
        def call(self, left, right):
            return left + right

        def compute_output_shape(self, left_shape, right_shape):
            asked.append((left_shape, right_shape))
            return left_shape

    asked = []
    inputs = kgraph.Input((3,))
    outputs = Asks(2)(inputs)
    assert outputs.shape == Asks(2).compute_output_shape((None, 3)) == (None, 2)
    Pair()(outputs, right=outputs)
    assert asked[0] == (None, 3)
    assert asked[-1] == ((None, 2), (None, 2))


def test_what_states_no_shape_is_refused():
    cls = type("Mute", (kgraph.layers.Dense,), {"compute_output_shape": lambda self, shape: None})
    with pytest.raises(GraphError, match=r"compute_output_shape of 'mute'.* states no shape"):
        cls(2)(kgraph.Input((3,)))


def test_a_keras_tensor_of_no_model():
    tensor = kgraph.KerasTensor((None, 4), dtype="int32")
    assert (tensor.shape, tensor.dtype, tensor.ndim) == ((None, 4), "int32", 2)
    with pytest.raises(kgraph.errors.ConfigError, match="dense"):
        kgraph.KerasTensor((2,), sparse=True)
    spec = kgraph.layers.Dense(2).compute_output_spec(kgraph.KerasTensor((None, 4)))
    assert isinstance(spec, kgraph.KerasTensor)
    assert spec.shape == (None, 2)


def test_a_stated_size_of_an_input_is_the_inputs_size():
    class Positions(kgraph.layers.Layer):
        """Has a weight for three steps, so it fits no unknown number of them."""

        def build(self, input_shape):
            self.table = self.add_weight((3, input_shape[-1]), name="table")

        def call(self, inputs):
            steps = kgraph.ops.slice(self.table, (0, 0), inputs.shape[1:])
            return kgraph.ops.broadcast_to(steps, inputs.shape)

        def compute_output_shape(self, input_shape):
            return input_shape

    inputs = kgraph.Input((None, 4))
    x = kgraph.layers.Conv1D(4, 3, strides=2, padding="same")(inputs)
    model = kgraph.Model(inputs, x + Positions()(x))
    assert model(np.ones((2, 5, 4))).shape == (2, 3, 4)
    with pytest.raises(Exception, match="slice_sizes must be less"):
        model(np.ones((2, 7, 4)))
