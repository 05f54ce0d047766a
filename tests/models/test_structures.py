"""One output in a list, layers and operations, clones: as in Keras, compared live."""

from __future__ import annotations

import jax
import keras
import numpy as np
import pytest

import kgraph
from kgraph.errors import ConfigError

ONES = np.ones((2, 3), np.float32)


def one_in_a_list(k, wrap=lambda symbol: [symbol]):
    a, b = k.Input((3,)), k.Input((3,))
    return k.Model([a, b], wrap(k.layers.Add()([a, b])))


@pytest.mark.parametrize("wrap", [lambda x: [x], lambda x: (x,), lambda x: [[x]]])
def test_one_output_leaves_its_list(wrap):
    found, expected = one_in_a_list(kgraph, wrap), one_in_a_list(keras, wrap)
    for model in (found, expected):
        model.x = [model([ONES, ONES]), model.predict([ONES, ONES], verbose=0)]
    assert kgraph.tree.map_structure(np.shape, found.x) == keras.tree.map_structure(
        np.shape, expected.x
    )
    assert kgraph.lower(found).apply({"params": {}, "state": {}}, [ONES, ONES])[0] is not None


def test_symbols_stay_in_the_list():
    a = kgraph.Input((3,))
    outputs = one_in_a_list(kgraph)([a, a])
    assert isinstance(outputs, list)
    assert len(outputs) == 1
    model = kgraph.Model(a, kgraph.layers.Add()([outputs[0], a]))
    np.testing.assert_array_equal(model(ONES), 3 * ONES)
    assert one_in_a_list(kgraph).output_shape == (None, 3)


def trained(k, nest, loss, targets, **options):
    x = k.Input((3,))
    made = [k.layers.Dense(1, kernel_initializer="ones", name=name)(x) for name in "abc"]
    model = k.Model(x, nest(*made))
    model.compile("sgd", loss, **options)
    history = model.fit(2 * ONES, targets, verbose=0).history
    return {key: value[0] for key, value in history.items()}


Y = np.ones((2, 1), np.float32)
NESTED = {
    "lists in lists": (lambda a, b, c: [a, [b, c]], ["mse", ["mse", "mae"]], [Y, [Y, Y]], {}),
    "lists in dicts": (
        lambda a, b, c: {"o": (a, b), "p": c},
        {"o": ("mse", "mae"), "p": "mse"},
        {"p": Y, "o": (Y, Y)},
        {"loss_weights": {"o": (1.0, 2.0), "p": 3.0}},
    ),
    "dicts in dicts": (
        lambda a, b, c: {"p": {"q": a, "s": c}, "r": b},
        {"p": {"q": "mse", "s": None}, "r": "mse"},
        {"p": {"q": Y, "s": Y}, "r": Y},
        {},
    ),
    "dicts in lists": (lambda a, b, c: [{"x": a}, b], [{"x": "mse"}, "mae"], [{"x": Y}, Y], {}),
    "names": (lambda a, b, c: [a, [b, c]], {"a": "mse", "b": "mse", "c": "mae"}, [Y, [Y, Y]], {}),
    "one target of three": (lambda a, b, c: [a, b, c], ["mse", None, None], Y, {}),
    "two targets of three": (lambda a, b, c: [a, b, c], ["mse", None, "mae"], [Y, Y], {}),
    "a target for none": (lambda a, b, c: [a, b, c], ["mse", None, "mae"], [Y, None, Y], {}),
    "one for all": (lambda a, b, c: [a, [b, c]], "mse", [Y, [Y, Y]], {}),
}


@pytest.mark.parametrize("case", NESTED)
def test_losses_targets_and_weights_nest_as_outputs_do(case):
    nest, loss, targets, options = NESTED[case]
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        expected = trained(keras, nest, loss, targets, **options)
    assert trained(kgraph, nest, loss, targets, **options) == pytest.approx(expected)


def with_operations(k):
    x = k.Input((3,))
    y = k.ops.exp(k.layers.Dense(2, name="a")(x) + 1)
    return k.Model(x, k.layers.Dense(1, name="b")(y), name="m")


def test_operations_are_no_layers():
    found, expected = with_operations(kgraph), with_operations(keras)
    assert [layer.name for layer in found.layers[1:]] == ["a", "b"]
    assert len(found.layers) == len(expected.layers)
    assert len(found.operations) == len(expected.operations)
    assert found.get_layer(index=2).name == expected.get_layer(index=2).name


def clones(k):
    """Returns what was cloned and called, and the names and classes of the results."""
    model = with_operations(k)
    model.compile("sgd", "mse")
    seen, called = [], []

    def renamed(layer):
        seen.append(type(layer).__name__ in ("Dense", "InputLayer"))
        name = f"{layer.name}_x" if isinstance(layer, k.layers.Dense) else layer.name
        return type(layer).from_config({**layer.get_config(), "name": name})

    def call(layer, *args, **kwargs):
        called.append(layer.name if isinstance(layer, k.layers.Dense) else "operation")
        return layer(*args, **kwargs)

    clone = k.models.clone_model(model, clone_function=renamed, call_function=call)
    x = k.Input((3,), name="new")
    on_tensors = k.models.clone_model(model, input_tensors=x)
    outer_input = k.Input((3,))
    outer, inside = k.Model(outer_input, model(outer_input)), []

    def noted(layer):
        inside.append(isinstance(layer, k.layers.Dense))
        return type(layer).from_config(layer.get_config())

    k.models.clone_model(outer, clone_function=noted, recursive=True)
    stack = k.models.clone_model(k.Sequential([k.layers.Dense(2)]), input_tensors=x)
    names = [layer.name for layer in clone.layers[1:]]
    return (
        seen, called, names, clone.compiled, clone.optimizer is not model.optimizer, clone.name,
        on_tensors.inputs[0] is x, len(on_tensors.layers), sorted(inside), type(stack).__name__,
        stack.built,
    )  # fmt: skip


def test_clones_are_keras_clones():
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        expected = clones(keras)
    assert clones(kgraph) == expected


class Own(kgraph.Model):
    def __init__(self, units, **options):
        super().__init__(**options)
        self.dense = kgraph.layers.Dense(units)

    def call(self, x):
        return self.dense(x)


def test_models_defined_by_code_are_cloned_as_a_whole():
    model = Own(4)
    model(ONES)
    assert kgraph.models.clone_model(model)(ONES).shape == (2, 4)
    with pytest.raises(ConfigError, match="cloned as a whole"):
        kgraph.models.clone_model(model, clone_function=lambda layer: layer)
    stack = kgraph.Sequential([kgraph.Input((3,)), kgraph.layers.Dense(2)])
    with pytest.raises(ConfigError, match="call_function is for functional models"):
        kgraph.models.clone_model(stack, call_function=lambda layer, x: layer(x))


def test_tuples_stay_tuples_in_configs_and_files(tmp_path):
    x = kgraph.Input((3,), name="x")
    model = kgraph.Model({"tuple": x}, (kgraph.layers.Dense(1)(x), [x, {"items": (x, x)}]))
    again = kgraph.Model.from_config(model.get_config())
    model.save(tmp_path / "m.kgraph")
    loaded = kgraph.saving.load_model(tmp_path / "m.kgraph")
    for one in (again, loaded):
        outputs = one({"tuple": ONES})
        assert [type(outputs), type(outputs[1]), type(outputs[1][1]["items"])] == [
            tuple, list, tuple,
        ]  # fmt: skip


def test_models_of_one_input_go_to_keras_files(tmp_path):
    x = kgraph.Input((3,))
    a = kgraph.Model(x, kgraph.layers.Dense(1)(x), name="a")
    b = kgraph.Model(x, kgraph.layers.Dense(1)(x), name="b")
    model = kgraph.Model(x, kgraph.layers.Average()([a(x), b(x)]))
    model.save(tmp_path / "m.keras")
    for k in (kgraph, keras):
        loaded = k.models.load_model(tmp_path / "m.keras")
        with jax.numpy_rank_promotion("allow"):
            found = loaded.predict(ONES, verbose=0)
        np.testing.assert_allclose(found, model.predict(ONES, verbose=0), rtol=1e-6)
