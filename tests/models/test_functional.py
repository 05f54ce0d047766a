"""Functional models: what they show, how they are called, nested, and taken apart."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import kgraph
from kgraph import Input, Layer, Model
from kgraph.errors import ConfigError, DataError, StateError
from kgraph.layers import Activation, Add, BatchNormalization, Dense, Dropout

ONES = np.ones((2, 3), np.float32)


def make_model(name: str = "small") -> Model:
    x = Input((3,), name="x")
    h = Dense(4, "relu", name="hidden")(x)
    return Model(x, Dense(2, name="head")(h), name=name)


def test_names_shapes_and_tensors():
    model = make_model()
    assert model.name == "small"
    assert [layer.name for layer in model.layers] == ["x", "hidden", "head"]
    assert (model.input_names, model.output_names) == (["x"], ["head"])
    assert (model.input_shape, model.output_shape) == ((None, 3), (None, 2))
    assert model.input is model.inputs[0]
    assert model.output is model.outputs[0]
    assert model.input.name == "x"


def test_inputs_and_outputs_keep_their_structure():
    a, b = Input((3,), name="a"), Input((3,), name="b")
    total = a + b
    model = Model({"a": a, "b": b}, [total, {"left": a * 2.0}])
    assert model.input == {"a": a, "b": b}
    assert [s.name for s in model.inputs] == ["a", "b"]
    assert model.output[1].keys() == {"left"}
    assert len(model.outputs) == 2
    assert model.output_shape == [(None, 3), {"left": (None, 3)}]


def test_get_layer_by_name_and_index():
    model = make_model()
    assert model.get_layer("hidden") is model.layers[1]
    assert model.get_layer(index=-1).name == "head"
    with pytest.raises(ConfigError, match=r"no 'hiden'[\s\S]*did you mean 'hidden'"):
        model.get_layer("hiden")
    with pytest.raises(ConfigError, match="a name or an index"):
        model.get_layer()
    with pytest.raises(ConfigError, match="has 3 layers"):
        model.get_layer(index=3)


def test_inputs_and_outputs_come_together():
    x = Input((3,))
    with pytest.raises(ConfigError, match="both inputs and outputs"):
        Model(x)


@pytest.mark.parametrize("data", [ONES, jnp.ones((2, 3)), [[1.0] * 3] * 2, ONES.astype(np.float64)])
def test_a_model_is_called_on_arrays_and_lists(data):
    model = make_model()
    found = model(data)
    assert found.shape == (2, 2)
    assert found.dtype == jnp.float32
    kernel, bias, head, head_bias = model.get_weights()
    wanted = np.maximum(ONES @ kernel + bias, 0) @ head + head_bias
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_data_of_another_size_is_refused():
    with pytest.raises(
        DataError, match=r"'x' has the wrong size[\s\S]*\[batch, 3\][\s\S]*\[2, 4\]"
    ):
        make_model()(np.ones((2, 4)))


def test_weights_appear_on_first_need():
    model = make_model()
    assert not any(weight.has_value for weight in model.weights)
    assert model.count_params() == 3 * 4 + 4 + 4 * 2 + 2
    model(ONES)
    assert all(weight.has_value for weight in model.weights)
    assert [w.path for w in model.weights] == [
        "hidden/kernel", "hidden/bias", "head/kernel", "head/bias",
    ]  # fmt: skip


def test_the_seed_decides_the_weights():
    def weights(seed):
        kgraph.config.set_random_seed(seed)
        return make_model().get_weights()

    for one, two in zip(weights(3), weights(3)):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(weights(3)[0], weights(4)[0])


def test_training_updates_state_and_draws_anew():
    x = Input((64,))
    model = Model(x, Dropout(0.5)(BatchNormalization()(x)))
    data = np.random.default_rng(0).normal(size=(8, 64)).astype(np.float32)
    before = model.get_weights()
    model(data)
    for one, two in zip(before, model.get_weights()):
        np.testing.assert_array_equal(one, two)
    first, second = model(data, training=True), model(data, training=True)
    assert not np.array_equal(first, second)
    assert not np.array_equal(before[2], model.get_weights()[2])


def test_a_model_is_a_layer():
    inner = make_model()
    x = Input((3,))
    outer = Model(x, Activation("relu")(inner(x)))
    assert outer.get_layer("small") is inner
    inner.set_weights([np.ones(w.shape) for w in inner.weights])
    np.testing.assert_allclose(outer(ONES), np.maximum(inner(ONES), 0))
    assert [w is v for w, v in zip(outer.weights, inner.weights)] == [True] * 4
    ensemble = Model(x, kgraph.layers.Average()([inner(x), make_model("other")(x)]))
    assert len(ensemble.weights) == 8


def test_a_functional_model_inside_a_custom_layer():
    class Wrapper(Layer):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def call(self, inputs, training=None):
            return self.model(inputs, training=training) + 1.0

    inner = make_model()
    layer = Wrapper(inner)
    np.testing.assert_allclose(layer(ONES), inner(ONES) + 1)
    x = Input((3,))
    model = Model(x, layer(x))
    np.testing.assert_allclose(model(ONES), inner(ONES) + 1)
    assert len(model.weights) == 4
    params = kgraph.lower(model).init(jax.random.key(0))["params"]
    assert list(params["wrapper"]["model"]) == ["hidden", "head"]


def test_layer_output_and_input():
    model = make_model()
    hidden = model.get_layer("hidden")
    assert hidden.output.shape == (None, 4)
    assert hidden.input.name == "x"
    features = Model(model.input, hidden.output)
    head, bias = model.get_weights()[2:]
    np.testing.assert_allclose(np.asarray(features(ONES)) @ head + bias, model(ONES), rtol=1e-5)
    with pytest.raises(StateError, match="is not part of a graph"):
        _ = Dense(3).output


def test_trainable_of_layers_and_models():
    model = make_model()
    assert [w.name for w in model.trainable_weights] == ["kernel", "bias"] * 2
    model.get_layer("hidden").trainable = False
    assert len(model.trainable_weights) == 2
    assert len(model.non_trainable_weights) == 2
    model.trainable = False
    assert model.trainable_weights == []
    assert not model.get_layer("head").trainable
    model.trainable = True
    assert len(model.trainable_weights) == 4
    x = Input((3,))
    assert Model(x, Dense(2)(x), trainable=False).trainable_weights == []


def test_a_frozen_batch_normalization_does_not_update():
    x = Input((3,))
    model = Model(x, BatchNormalization()(x))
    model.trainable = False
    before = model.get_weights()
    model(5 * ONES, training=True)
    for one, two in zip(before, model.get_weights()):
        np.testing.assert_array_equal(one, two)


def test_set_weights_checks_all_before_it_sets_any():
    model = make_model()
    before = model.get_weights()
    with pytest.raises(StateError, match="4 weights"):
        model.set_weights(before[:3])
    changed = [2 * w for w in before[:3]] + [np.ones(7)]
    with pytest.raises(StateError, match=r"head/bias|'head/bias'"):
        model.set_weights(changed)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


def test_a_functional_model_by_a_subclass():
    class Built(Model):
        def __init__(self, width, **options):
            x = Input((3,))
            super().__init__(inputs=x, outputs=Dense(width)(x), **options)
            self.width = width

    model = Built(5, name="built")
    assert model.graph is not None
    assert model(ONES).shape == (2, 5)
    again = Built.from_config(model.get_config())
    assert (again.width, again.name) == (5, "built")


def test_a_call_of_the_subclass_comes_before_the_graph():
    class Tenfold(Model):
        def __init__(self):
            x = Input((3,))
            super().__init__(inputs=x, outputs=x * 2.0)

        def call(self, inputs, training=None):
            return inputs * 10.0

    x = Input((3,))
    model = Tenfold()
    np.testing.assert_array_equal(model(ONES), 10 * ONES)
    np.testing.assert_array_equal(Model(x, model(x))(ONES), 10 * ONES)


def test_a_model_of_several_inputs_is_called_with_a_list_or_a_dict():
    a, b = Input((3,), name="a"), Input((3,), name="b")
    model = Model([a, b], Add()([a, b]))
    for data in ([ONES, ONES], (ONES, ONES), {"a": ONES, "b": ONES}):
        np.testing.assert_array_equal(model(data), 2 * ONES)
    x = Input((3,))
    assert model([x, x]).shape == (None, 3)


def test_first_weights_do_not_depend_on_what_asks_for_them_first():
    def fresh() -> Model:
        kgraph.utils.set_random_seed(7)
        inputs = kgraph.Input((4,))
        x = kgraph.layers.Dense(5, name="a")(inputs)
        return kgraph.Model(inputs, kgraph.layers.Dense(3, name="b")(x))

    first = fresh().get_weights()
    used = fresh()
    used.predict(np.zeros((1, 4)), verbose=0)
    for one, other in zip(first, used.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_variables_go_out_to_a_program_and_come_back():
    model = kgraph.Sequential([kgraph.Input((3,)), kgraph.layers.Dense(2)])
    program = kgraph.lower(model)
    variables = model.variables_for(program)
    doubled = jax.tree.map(lambda a: a * 2 + 1, variables)
    model.assign(doubled)
    x = np.ones((2, 3), "float32")
    np.testing.assert_array_equal(model.predict(x, verbose=0), program.apply(doubled, x)[0])
    model.assign({"params": variables["params"]})
    np.testing.assert_array_equal(model.predict(x, verbose=0), program.apply(variables, x)[0])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda p: p["dense"].pop("bias"), r"have no 'dense/bias'[\s\S]*the weight 'dense/bias'"),
        (lambda p: p["dense"].update(bias=np.ones(3)), r"'params/dense/bias' has another shape"),
        (lambda p: p.update(other=np.ones(3)), r"\(Sequential\) has no weight 'params/other'"),
    ],
)
def test_variables_that_do_not_fit_change_nothing(change, text):
    model = kgraph.Sequential([kgraph.Input((3,)), kgraph.layers.Dense(2)])
    before = model.get_weights()
    variables = {"params": {"dense": {"kernel": np.ones((3, 2)), "bias": np.ones(2)}}}
    change(variables["params"])
    with pytest.raises(StateError, match=text):
        model.assign(variables)
    assert all(np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True))
