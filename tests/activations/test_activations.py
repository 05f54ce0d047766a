"""Activations against Keras, and at no more cost than the plain JAX functions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import kgraph
from kgraph import activations
from kgraph.custom_objects import get_custom_objects, register_keras_serializable
from kgraph.errors import ConfigError

X = np.linspace(-7.3, 7.1, 48, dtype=np.float32).reshape(2, 4, 6)
NAMES = sorted(
    set(dir(keras.activations))
    - {"deserialize", "get", "serialize"}
    - {name for name in dir(keras.activations) if name.startswith("_")}
)
OPTIONS = {
    "relu": [
        {"negative_slope": 0.3},
        {"max_value": 2.5},
        {"max_value": 6.0},
        {"threshold": 1.5},
        {"negative_slope": 0.1, "max_value": 3.0, "threshold": 0.7},
    ],
    "leaky_relu": [{"negative_slope": 0.01}],
    "elu": [{"alpha": 0.5}],
    "celu": [{"alpha": 2.0}],
    "gelu": [{"approximate": True}],
    "glu": [{"axis": 1}],
    "softmax": [{"axis": 1}, {"axis": (0, 2)}],
    "log_softmax": [{"axis": 0}],
    "soft_shrink": [{"threshold": 2.0}],
    "hard_shrink": [{"threshold": 2.0}],
    "squareplus": [{"b": 1.0}],
    "threshold": [],
}
CASES = [(name, {}) for name in NAMES if name not in {"sparsemax", "threshold"}]
CASES += [(name, options) for name, many in OPTIONS.items() for options in many]
CASES += [("threshold", {"threshold": 0.5, "default_value": -2.0})]


def test_every_activation_of_keras_is_here():
    assert len(NAMES) == 32
    for name in NAMES:
        assert callable(getattr(activations, name))
        assert activations.get(name) is getattr(activations, name)


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_values_and_gradients_are_those_of_keras(name, options):
    ours, theirs = getattr(activations, name), getattr(keras.activations, name)

    def total(function):
        def weighted(x):
            y = function(x, **options)
            return jnp.sum(y * jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))

        return weighted

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        expected = np.asarray(theirs(X, **options))
        slope = np.asarray(jax.grad(total(theirs))(X))
    # Both compute in float32; some formulas (soft_shrink) are rounded differently.
    np.testing.assert_allclose(ours(jnp.asarray(X), **options), expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(jax.grad(total(ours))(jnp.asarray(X)), slope, rtol=1e-5, atol=1e-6)


PLAIN = {
    "relu": jax.nn.relu,
    "softmax": jax.nn.softmax,
    "log_softmax": jax.nn.log_softmax,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "leaky_relu": lambda x: jax.nn.leaky_relu(x, 0.2),
    "softsign": jax.nn.soft_sign,
    "exponential": jnp.exp,
    "tanh": jnp.tanh,
}


@pytest.mark.parametrize("name", NAMES)
def test_defaults_trace_to_the_plain_jax_function(name):
    plain = PLAIN.get(name) or getattr(jax.nn, name, None)
    if plain is None:
        assert name in {
            "hard_shrink", "linear", "soft_shrink", "sparsemax", "tanh_shrink", "threshold",
        }  # fmt: skip
        return
    ours = jax.make_jaxpr(getattr(activations, name))(jnp.asarray(X))
    assert str(ours) == str(jax.make_jaxpr(plain)(jnp.asarray(X)))


def test_linear_adds_no_equation():
    assert not jax.make_jaxpr(activations.linear)(jnp.asarray(X)).eqns


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_sparsemax_projects_onto_the_simplex(axis):
    """Keras 3.15 adds up cumulative sums where the paper adds values, so it is not the oracle here.

    The projection is max(x - t, 0) for the one t that makes the sum 1; bisection finds it.
    """
    x = np.random.default_rng(0).normal(size=(4, 5, 6))
    low, high = (x.max(axis, keepdims=True) - 1), x.max(axis, keepdims=True)
    for _ in range(60):
        middle = (low + high) / 2
        too_much = np.maximum(x - middle, 0).sum(axis, keepdims=True) > 1
        low, high = np.where(too_much, middle, low), np.where(too_much, high, middle)
    expected = np.maximum(x - low, 0)
    ours = activations.sparsemax(jnp.asarray(x, jnp.float32), axis=axis)
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    assert 0.2 < np.mean(np.asarray(ours) == 0) < 0.8


def test_the_gradient_of_sparsemax_is_centred_on_its_support():
    x = jnp.asarray([0.1, 1.2, 0.9, -2.0])
    jacobian = jax.jacobian(activations.sparsemax)(x)
    support = np.array([0.0, 1.0, 1.0, 0.0])
    expected = np.diag(support) - np.outer(support, support) / 2
    np.testing.assert_allclose(jacobian, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["sparsemax", "softmax"])
def test_outputs_are_distributions_even_for_large_inputs(name):
    x = 1e4 + 3 * jax.random.normal(jax.random.key(0), (50, 7))
    y = getattr(activations, name)(x)
    np.testing.assert_allclose(jnp.sum(y, axis=-1), 1, atol=1e-5)
    assert float(jnp.min(y)) >= 0


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_and_nan_are_kept(name):
    function = getattr(activations, name)
    options = {"threshold": 0.5, "default_value": -2.0} if name == "threshold" else {}
    assert function(jnp.asarray(X, jnp.bfloat16), **options).dtype == jnp.bfloat16
    if name not in {"sparse_plus", "sparse_sigmoid"}:  # JAX's own hide NaN
        assert np.isnan(function(jnp.full((2, 2), jnp.nan), **options)).any()


def test_get_reads_names_callables_configs_and_none():
    assert activations.get(None) is activations.linear
    assert activations.get("swish") is activations.silu
    assert activations.get(jnp.sin) is jnp.sin
    assert activations.get({"kind": "activation", "function": "relu"}) is activations.relu
    keras_form = {"module": "builtins", "class_name": "function", "config": "relu"}
    assert activations.get(keras_form) is activations.relu
    with pytest.raises(ConfigError, match="did you mean 'relu'"):
        activations.get("rely")
    with pytest.raises(
        ConfigError, match=r"cannot be used as activation[\s\S]*received  3 \(int\)"
    ):
        activations.get(3)


@pytest.mark.parametrize("name", NAMES)
def test_serialize_gives_the_name(name):
    written = activations.serialize(getattr(activations, name))
    assert written == {"swish": "silu", "hard_swish": "hard_silu"}.get(name, name)
    assert activations.deserialize(written) is getattr(activations, name)


@pytest.mark.parametrize("name", ["relu", "gelu", "softmax", "silu", "leaky_relu", "log_softmax"])
def test_functions_of_jax_can_be_written_down(name):
    function = getattr(jax.nn, name)
    read = activations.deserialize(activations.serialize(function))
    assert function in (read, getattr(read, "__wrapped__", None))


def test_own_functions_are_written_by_name_and_lambdas_are_not():
    def doubled(x):
        return 2 * x

    with pytest.raises(
        ConfigError, match=r"activation cannot be written[\s\S]*register_keras_seri"
    ):
        activations.serialize(lambda x: 2 * x)
    written = activations.serialize(doubled)
    assert activations.deserialize(written, {"doubled": doubled}) is doubled
    register_keras_serializable("tests")(doubled)
    try:
        assert activations.deserialize(activations.serialize(doubled)) is doubled
    finally:
        del get_custom_objects()["tests>doubled"]
    assert activations.deserialize("doubled", {"doubled": doubled}) is doubled


def test_a_softmax_over_one_value_is_warned_of():
    inputs = kgraph.Input((3,))
    with pytest.warns(match="softmax over one value is always 1"):
        kgraph.layers.Dense(1, activation="softmax")(inputs)
    with pytest.warns(match="softmax over one value is always 1"):
        kgraph.layers.Softmax(axis=0)(np.ones((1, 2), "float32"))
    kgraph.layers.Softmax(axis=(0, 1))(np.ones((1, 2), "float32"))


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_a_symbolic_tensor_becomes_a_node_of_the_graph(name, options):
    function = getattr(activations, name)
    inputs = kgraph.Input(X.shape[1:])
    model = kgraph.Model(inputs, function(inputs, **options))
    np.testing.assert_allclose(model(X), function(jnp.asarray(X), **options), atol=1e-6)


def test_a_graph_of_activations_is_saved_and_is_that_of_keras(tmp_path):
    def built(api):
        inputs = api.Input((6,))
        x = api.activations.gelu(api.activations.tanh(inputs), approximate=False)
        return api.Model(inputs, api.activations.softmax(x + api.activations.relu(inputs)))

    model, x = built(kgraph), X[0]
    np.testing.assert_allclose(model(x), built(keras)(x), rtol=1e-5)
    for name in ("m.kgraph", "m.keras"):
        model.save(tmp_path / name)
        loaded = kgraph.models.load_model(tmp_path / name)
        np.testing.assert_array_equal(loaded(x), model(x))
    np.testing.assert_allclose(
        keras.models.load_model(tmp_path / "m.keras")(x), model(x), rtol=1e-5
    )


def test_jax_functions_stay_what_they_are_and_have_the_same_name():
    assert activations.get(jax.nn.silu) is jax.nn.silu
    assert activations.serialize(jax.nn.silu) == activations.serialize(activations.swish) == "silu"
