"""The contract of layers: what a user's own layer may do, and what kgraph does with it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from checks import relaxed

from kgraph import activations, config
from kgraph.errors import GraphError, StateError, SymbolError
from kgraph.layers.base import Context, Input, Layer, create_values
from kgraph.layers.base.binding import bind, updates
from kgraph.layers.core import Dense, Embedding, Masking
from kgraph.layers.regularization import Dropout
from kgraph.layers.reshaping import Flatten
from kgraph.registry import custom_object_scope

ONES = np.ones((2, 3), "float32")


def run(layer: Layer, *args: Any, training: bool | None = None, key: Any = None, **kwargs: Any):
    """Runs a layer purely; returns its output and the context of the run."""
    create_values(layer.named_weights())
    context = Context({id(w): w.value for w in layer.weights}, training, key)
    return bind(layer, context, layer.name)(*args, **kwargs), context


class Linear(Layer):
    """A layer as users write it."""

    def __init__(self, units: int = 4, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1], self.units), initializer="ones")
        self.b = self.add_weight(shape=(self.units,), initializer="zeros", trainable=True)

    def call(self, inputs):
        return jnp.matmul(inputs, self.w) + self.b[None]


# --- weights -------------------------------------------------------------------------------------


def test_weights_of_build_take_the_names_of_their_attributes():
    layer = Linear()
    assert layer(Input((3,))).shape == (None, 4)
    assert [path for path, _ in layer.named_weights()] == ["w", "b"]
    assert [weight.name for weight in layer.weights] == ["w", "b"]
    np.testing.assert_array_equal(layer(ONES), np.full((2, 4), 3))


def test_weights_may_be_made_in_the_constructor_and_without_an_attribute():
    class Early(Layer):
        def __init__(self):
            super().__init__()
            self.rows = [self.add_weight((3,), "ones"), self.add_weight((3,), "ones", name="own")]

        def call(self, inputs):
            return inputs * (self.rows[0] + self.rows[1])[None]

    layer = Early()
    np.testing.assert_array_equal(layer(ONES), 2 * ONES)
    assert [path for path, _ in layer.named_weights()] == ["rows_0", "own"]


def test_inside_call_a_weight_is_an_array_and_outside_it_is_not():
    seen = []

    class Look(Linear):
        def call(self, inputs):
            seen.append(self.w)
            return super().call(inputs)

    layer = Look()
    layer(ONES)
    assert isinstance(seen[0], jax.Array)
    assert not isinstance(layer.w, jax.Array)
    assert layer.w.shape == (3, 4)


def test_building_a_graph_makes_no_array():
    layer = Dense(4)
    layer(Input((3,)))
    assert not any(weight.has_value for weight in layer.weights)
    layer.get_weights()
    assert all(weight.has_value for weight in layer.weights)


def test_count_params_and_weight_lists_before_and_after_build():
    layer = Dense(4)
    with pytest.raises(
        StateError, match=r"'dense' \(Dense\) has no weights yet[\s\S]*call it once"
    ):
        layer.count_params()
    assert layer.weights == []
    layer.build((None, 3))
    assert layer.count_params() == 16


def _mixed(base: type, dense: type, array: Any) -> Any:
    """Returns a layer of either library with weights of its own, state, and layers inside."""

    class Mixed(base):
        def __init__(self):
            super().__init__()
            self.inner = [dense(2), dense(3, use_bias=False)]

        def build(self, input_shape):
            self.count = self.add_weight(
                shape=(), initializer="zeros", trainable=False, name="count"
            )
            self.scale = self.add_weight(shape=(3,), initializer="ones", name="scale")
            self.built = True

        def call(self, inputs):
            x = inputs * array(self.scale)
            for layer in self.inner:
                x = layer(x)
            return x

    return Mixed()


def test_order_of_weights_is_that_of_keras():
    ours = _mixed(Layer, Dense, lambda w: w[None])
    ours(ONES)
    with relaxed():
        theirs = _mixed(keras.layers.Layer, keras.layers.Dense, lambda w: w)
        theirs(ONES)
        values = [np.full(w.shape, i, "float32") for i, w in enumerate(theirs.weights)]
        theirs.set_weights(values)
        expected = np.array(theirs(ONES))
    assert [w.shape for w in ours.weights] == [tuple(w.shape) for w in theirs.weights]
    ours.set_weights(values)
    np.testing.assert_allclose(ours(ONES), expected, rtol=1e-6)
    for one, two in zip(ours.get_weights(), values, strict=True):
        np.testing.assert_array_equal(one, two)


def test_trainable_reaches_layers_inside_and_can_be_given_back():
    class Outer(Layer):
        def __init__(self):
            super().__init__()
            self.inner = Dense(2)

        def call(self, inputs):
            return self.inner(inputs)

    outer = Outer()
    outer(Input((3,)))
    assert len(outer.trainable_weights) == 2
    outer.trainable = False
    assert outer.inner.trainable is False
    assert outer.trainable_weights == []
    assert len(outer.non_trainable_weights) == 2
    outer.trainable = True
    outer.inner.trainable = False
    assert outer.trainable_weights == []
    assert len(outer.weights) == 2


# --- layers inside layers ------------------------------------------------------------------------


def test_layers_in_lists_dicts_and_nested_are_found_and_bound():
    class Nest(Layer):
        def __init__(self):
            super().__init__()
            self.steps = [Dense(3), [Dense(3)]]
            self.heads = {"a": Dense(2), "b": (Dense(2),)}

        def call(self, inputs):
            x = self.steps[1][0](self.steps[0](inputs))
            return {"a": self.heads["a"](x), "b": self.heads["b"][0](x)}

    layer = Nest()
    outputs = layer(Input((3,)))
    assert outputs["b"].shape == (None, 2)
    paths = [path for path, _ in layer.named_weights()]
    assert paths[::2] == [
        "steps/0/kernel", "steps/1/0/kernel", "heads/a/kernel", "heads/b/0/kernel",
    ]  # fmt: skip


def test_layers_may_be_made_in_build():
    class Late(Layer):
        def build(self, input_shape):
            self.inner = Dense(input_shape[-1])

        def call(self, inputs):
            return self.inner(inputs)

    layer = Late()
    assert layer(Input((5,))).shape == (None, 5)
    assert [path for path, _ in layer.named_weights()] == ["inner/kernel", "inner/bias"]
    assert layer(np.ones((2, 5), "float32")).shape == (2, 5)


def test_layers_are_built_when_an_outer_call_first_uses_them():
    class CustomRNN(Layer):  # of the Functional API guide
        def __init__(self, units=4):
            super().__init__()
            self.units = units
            self.projection_1 = Dense(units=units, activation="tanh")
            self.projection_2 = Dense(units=units, activation="tanh")
            self.classifier = Dense(1)

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
            return self.classifier(features)

    layer = CustomRNN()
    assert layer(Input((5, 3))).shape == (None, 5, 1)
    assert layer(np.zeros((1, 5, 3), "float32")).shape == (1, 5, 1)
    assert [w.shape for w in layer.weights[:3]] == [(3, 4), (4,), (4, 4)]
    assert len(layer.weights) == 6


def test_build_runs_once_also_when_the_user_calls_it():
    layer = Linear()
    layer.build((None, 3))
    layer.build((None, 3))
    layer(ONES)
    assert len(layer.weights) == 2


def test_a_shared_layer_has_one_set_of_weights():
    class Twice(Layer):
        def __init__(self, shared):
            super().__init__()
            self.first = self.second = shared

        def call(self, inputs):
            return self.second(self.first(inputs))

    layer = Twice(Dense(3))
    layer(ONES)
    assert len(layer.weights) == 2


# --- state ---------------------------------------------------------------------------------------


class RunningMean(Layer):
    """Keeps a moving mean, as BatchNormalization does."""

    def build(self, input_shape):
        self.mean = self.add_weight((input_shape[-1],), "zeros", trainable=False)

    def call(self, inputs, training=None):
        if training:
            self.mean = 0.5 * self.mean + 0.5 * jnp.mean(inputs, axis=0)
        return inputs - self.mean[None]


def test_state_is_updated_by_assignment_and_kept_by_eager_calls():
    layer = RunningMean()
    layer(ONES, training=True)
    np.testing.assert_array_equal(layer.mean.numpy(), [0.5] * 3)
    layer(ONES)
    np.testing.assert_array_equal(layer.mean.numpy(), [0.5] * 3)


def test_state_of_a_layer_that_is_called_twice_is_updated_twice():
    class Pair(Layer):
        def __init__(self):
            super().__init__()
            self.norm = RunningMean()

        def call(self, inputs):
            return self.norm(inputs) + self.norm(inputs)

    layer = Pair()
    out, context = run(_built(layer), jnp.asarray(ONES), training=True)
    changed = list(updates(context).values())
    assert len(changed) == 1
    np.testing.assert_array_equal(changed[0], [0.75] * 3)
    np.testing.assert_array_equal(out, 2 - ONES * (0.5 + 0.75))
    np.testing.assert_array_equal(layer.norm.mean.numpy(), [0] * 3)


def _built(layer: Layer) -> Layer:
    layer(Input((3,)))
    return layer


def test_state_cannot_be_updated_while_somebody_else_traces():
    layer = RunningMean()
    layer(ONES)
    with pytest.raises(StateError, match=r"inside a function that JAX is tracing"):
        jax.jit(lambda x: layer(x, training=True))(ONES)
    np.testing.assert_array_equal(layer.mean.numpy(), [0] * 3)


def test_a_trainable_weight_cannot_be_assigned():
    class Wrong(Linear):
        def call(self, inputs):
            self.b = self.b + 1
            return super().call(inputs)

    with pytest.raises(StateError, match=r"assigns its trainable weight 'b'[\s\S]*trainable=False"):
        Wrong()(ONES)


def test_nothing_leaks_when_call_raises():
    class Fails(Layer):
        def __init__(self):
            super().__init__()
            self.fail = True
            self.inner = Dense(3)

        def build(self, input_shape):
            self.count = self.add_weight((), "zeros", trainable=False)

        def call(self, inputs):
            self.count = self.count + 1
            self.extra = inputs
            out = self.inner(inputs)
            if self.fail:
                raise RuntimeError("no")
            return out

    layer = Fails()
    with pytest.raises(RuntimeError, match="no"):
        layer(ONES)
    with pytest.raises(
        GraphError, match=r"failed in its call: no[\s\S]*inside .*raise RuntimeError"
    ):
        layer(Input((3,)))
    assert layer.count.numpy() == 0
    assert not hasattr(layer, "extra")
    assert layer._context is None
    layer.fail = False
    layer(ONES)
    assert layer.count.numpy() == 1
    assert len(layer.weights) == 3


# --- randomness ----------------------------------------------------------------------------------


class TwoDropouts(Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.first, self.second = Dropout(0.5), Dropout(0.5)

    def call(self, inputs):
        return self.first(inputs), self.second(inputs), self.first(inputs)


def test_keys_come_from_the_run_the_path_and_the_number_of_the_draw():
    layer, x = TwoDropouts(), jnp.ones((4, 32))

    def draw(seed):
        return run(layer, x, training=True, key=jax.random.key(seed))[0]

    one, two, again = draw(0)
    assert not np.array_equal(one, two)
    assert not np.array_equal(one, again)
    for a, b in zip(draw(0), (one, two, again)):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(draw(1)[0], one)


def test_a_draw_does_not_depend_on_what_else_is_drawn():
    class Swapped(TwoDropouts):
        def call(self, inputs):
            second = self.second(inputs)
            return self.first(inputs), second

    x, key = jnp.ones((4, 32)), jax.random.key(0)
    plain, _ = run(TwoDropouts(name="pair"), x, training=True, key=key)
    swapped, _ = run(Swapped(name="pair"), x, training=True, key=key)
    np.testing.assert_array_equal(swapped[0], plain[0])
    np.testing.assert_array_equal(swapped[1], plain[1])


def test_a_seed_decides_the_draw_in_the_place_of_the_path():
    x, key = jnp.ones((4, 32)), jax.random.key(0)

    def draw(**options):
        return run(Dropout(0.5, **options), x, training=True, key=key)[0]

    np.testing.assert_array_equal(draw(seed=3, name="a"), draw(seed=3, name="b"))
    assert not np.array_equal(draw(seed=3), draw(seed=4))
    assert not np.array_equal(draw(name="a"), draw(name="b"))


def test_a_draw_without_a_key_says_what_to_pass():
    with pytest.raises(StateError, match=r"draws random numbers[\s\S]*key=jax.random.key"):
        run(Dropout(0.5), jnp.ones((2, 3)), training=True)


def test_eager_draws_follow_the_seed_of_the_process():
    layer, x = Dropout(0.5), np.ones((4, 32), "float32")
    config.set_random_seed(1)
    first, second = layer(x, training=True), layer(x, training=True)
    config.set_random_seed(1)
    np.testing.assert_array_equal(layer(x, training=True), first)
    assert not np.array_equal(first, second)


# --- losses --------------------------------------------------------------------------------------


def test_losses_of_calls_activities_and_weights():
    class WithLoss(Layer):
        def __init__(self):
            super().__init__(activity_regularizer=jnp.sum)
            self.inner = Dense(3, kernel_initializer="ones", kernel_regularizer="l2")

        def call(self, inputs):
            self.add_loss(jnp.stack([jnp.sum(inputs), jnp.sum(inputs)]))
            return self.inner(inputs)

    layer = WithLoss()
    layer(ONES)
    assert sorted(float(loss) for loss in layer.losses) == pytest.approx([0.09, 9, 12])
    layer.trainable = False
    assert len(layer.losses) == 2
    with pytest.raises(StateError, match="only inside its call"):
        layer.add_loss(jnp.zeros(()))


# --- training and masks --------------------------------------------------------------------------


class Says(Layer):
    """Gives 1 in training and 0 otherwise."""

    def call(self, inputs, training=None):
        return jnp.full((), float(bool(training)))


class SaysTrue(Says):
    def call(self, inputs, training=True):
        return super().call(inputs, training)


class Around(Layer):
    def __init__(self, inner, **options):
        super().__init__()
        self.inner, self.options = inner, options

    def call(self, inputs):
        return self.inner(inputs, **self.options)


class AroundTraining(Around):
    def call(self, inputs, training=None):
        return self.inner(inputs)


@pytest.mark.parametrize("mode", [None, False, True])
@pytest.mark.parametrize("inner", [Says, SaysTrue])
@pytest.mark.parametrize("outer", [None, Around, AroundTraining])
def test_training_is_explicit_then_of_the_run_then_the_default_of_the_signature(mode, inner, outer):
    layer = inner() if outer is None else outer(inner())
    said, _ = run(layer, jnp.asarray(ONES), training=mode)
    default = inner is SaysTrue
    assert bool(said) == (default if mode is None else mode)
    said = layer(ONES) if outer is Around or mode is None else layer(ONES, training=mode)
    assert bool(said) == (default if outer is Around or mode is None else mode)


def test_explicit_training_wins_for_layers_inside_too():
    for explicit in (False, True):
        outer = Around(Says(), training=explicit)
        said, _ = run(outer, jnp.asarray(ONES), training=not explicit)
        assert bool(said) is explicit


def test_training_is_the_default_of_keras_too():
    class Theirs(keras.layers.Layer):
        def call(self, inputs, training=True):
            return inputs * float(training)

    class Ours(Layer):
        def call(self, inputs, training=True):
            return inputs * float(training)

    for options in ({}, {"training": False}, {"training": True}):
        with relaxed():
            expected = np.array(Theirs()(ONES, **options))
        np.testing.assert_array_equal(Ours()(ONES, **options), expected)


def test_training_may_be_passed_by_position():
    np.testing.assert_array_equal(Says()(ONES, True), 1)
    assert Says()(Input((3,)), True).shape == ()


def test_the_four_forms_of_call():
    class Plain(Layer):
        def call(self, x):
            return x

    class Training(Layer):
        def call(self, x, training=None):
            return x if training else -x

    class Mask(Layer):
        def call(self, x, mask=None):
            return x if mask is None else jnp.where(mask[..., None], x, 0)

    class Both(Layer):
        def call(self, x, training=None, mask=None):
            out = x if training else -x
            return out if mask is None else jnp.where(mask[..., None], out, 0)

    x, mask = np.ones((1, 2, 1), "float32"), np.array([[True, False]])
    assert Plain()(x).tolist() == [[[1], [1]]]
    assert Training()(x, training=True).tolist() == [[[1], [1]]]
    assert Mask()(x, mask=mask).tolist() == [[[1], [0]]]
    assert Both()(x, mask=mask, training=False).tolist() == [[[-1], [0]]]
    for cls in (Plain, Training, Mask, Both):
        assert cls()(Input((2, 1))).shape == (None, 2, 1)
        assert cls()(Input((2, 1)), training=True).shape == (None, 2, 1)


def test_masks_travel_between_the_layers_of_a_call():
    class Sum(Layer):
        def call(self, inputs, mask=None):
            return jnp.sum(jnp.where(mask[..., None], inputs, 0), axis=1)

    class Reader(Layer):
        def __init__(self):
            super().__init__()
            self.table = Embedding(5, 1, "ones", mask_zero=True)
            self.dense = Dense(1, kernel_initializer="ones")
            self.sum = Sum()

        def call(self, ids):
            return self.sum(self.dense(self.table(ids)))

    ids = np.array([[1, 2, 0], [3, 0, 0]], "int32")
    assert Reader()(ids).tolist() == [[2], [1]]
    assert Reader()(Input((3,), dtype="int32")).shape == (None, 1)


def test_symbols_carry_masks_past_layers_that_support_them():
    masked = Masking()(Input(("time", 3)))
    assert masked.mask is not None
    assert Dense(4)(masked).mask == masked.mask
    with pytest.warns(UserWarning, match=r"'flatten' \(Flatten\) does not support masks"):
        assert Flatten()(Masking()(Input((2, 3)))).mask is None


def test_a_mask_for_another_argument_goes_to_the_parameter_of_its_name():
    class Attend(Layer):
        def call(self, query, value, query_mask=None, value_mask=None):
            assert query_mask is None
            return jnp.sum(jnp.where(value_mask[..., None], value, 0), axis=1) + query

    x = np.ones((1, 2, 1), "float32")

    class Outer(Layer):
        def __init__(self):
            super().__init__()
            self.mask, self.attend = Masking(), Attend()

        def call(self, query, value):
            return self.attend(query, self.mask(value))

    padded = x.copy()
    padded[0, 1] = 0
    assert Outer()(np.ones((1, 1), "float32"), padded).tolist() == [[2]]


# --- config --------------------------------------------------------------------------------------


def test_config_is_recorded_with_and_without_kwargs():
    class Without(Layer):
        def __init__(self, units, scale=2.0):
            super().__init__()
            self.units, self.scale = units, scale

        def call(self, inputs):
            return inputs

    class With(Layer):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)

        def call(self, inputs):
            return inputs

    layer = Without(4)
    assert layer.get_config() == {
        "units": 4, "scale": 2.0, "name": "without", "trainable": True, "dtype": "float32",
    }  # fmt: skip
    again = Without.from_config({**layer.get_config(), "name": "mine", "dtype": "mixed_bfloat16"})
    assert (again.units, again.scale, again.name) == (4, 2.0, "mine")
    assert again.compute_dtype == "bfloat16"

    layer = With(4, name="own", trainable=False, dtype="bfloat16")
    again = With.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert (again.name, again.trainable, again.dtype) == ("own", False, "bfloat16")


def test_config_holds_layers_and_functions_that_can_be_named():
    layer = Around(Dense(3, "relu", kernel_regularizer="l2"))
    config_of_it = layer.get_config()
    assert config_of_it["inner"]["class_name"] == "Dense"
    with custom_object_scope({"Around": Around}):
        again = Around.from_config(config_of_it)
    assert again.inner.units == 3
    assert again.inner.activation is activations.relu


def test_a_get_config_of_the_users_own_is_used():
    class Own(Layer):
        def __init__(self, units=3, **kwargs):
            super().__init__(**kwargs)
            self.units = units

        def call(self, inputs):
            return inputs

        def get_config(self):
            return {**super().get_config(), "units": self.units * 2}

    layer = Own(4)
    assert layer.get_config()["units"] == 8
    assert Own.from_config(layer.get_config()).units == 8


# --- dtypes --------------------------------------------------------------------------------------


def test_a_mixed_policy_computes_short_and_keeps_weights_wide():
    seen = {}

    class Look(Linear):
        def call(self, inputs):
            seen.update(inputs=inputs.dtype, weight=self.w.dtype)
            return super().call(inputs)

    layer = Look(dtype="mixed_bfloat16")
    assert layer(Input((3,))).dtype == "bfloat16"
    assert seen == {"inputs": jnp.bfloat16, "weight": jnp.bfloat16}
    assert [w.dtype for w in layer.weights] == ["float32", "float32"]
    assert layer(ONES).dtype == jnp.bfloat16


def test_the_policy_of_the_process_and_autocast():
    config.set_dtype_policy("mixed_bfloat16")
    layer = Dense(2)
    config.set_dtype_policy(None)
    assert (layer.compute_dtype, layer.dtype) == ("bfloat16", "float32")

    class Raw(Layer):
        def call(self, inputs):
            return inputs

    assert Raw(dtype="bfloat16", autocast=False)(ONES).dtype == jnp.float32
    assert Raw(dtype="bfloat16")(ONES).dtype == jnp.bfloat16
    assert Raw(dtype="bfloat16")(np.ones((2,), "int32")).dtype == jnp.int32


# --- shapes, tracing, refusals -------------------------------------------------------------------


def test_compute_output_shape_and_spec():
    assert Dense(4).compute_output_shape((None, 3)) == (None, 4)
    assert Dense(4).compute_output_shape((2, None, 3)) == (2, None, 4)
    spec = Dense(4, dtype="bfloat16").compute_output_spec(np.ones((2, 3), "float32"))
    assert (spec.shape, spec.dtype) == ((2, 4), "bfloat16")


def test_an_eager_call_inside_a_jit_uses_the_values_and_leaks_nothing():
    layer = Dense(4)

    @jax.jit
    def outside(x):
        return layer(x)

    first = outside(ONES)
    assert all(isinstance(w.value, jax.Array) for w in layer.weights)
    assert not any(isinstance(w.value, jax.core.Tracer) for w in layer.weights)
    np.testing.assert_allclose(layer(ONES), first, rtol=1e-6)
    gradient = jax.grad(lambda x: jnp.sum(layer(x)))(ONES)
    np.testing.assert_allclose(gradient[0], layer.kernel.numpy().sum(axis=1), rtol=1e-6)


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (jnp.tanh, "by a JAX function"),
        (lambda x: jnp.add(x, 1), "by a JAX function"),
        (jax.nn.relu, "by a JAX function"),
        (jax.jit(lambda x: x), "by a JAX function"),
        (np.tanh, "by numpy.tanh"),
        (np.asarray, "by a NumPy function"),
        (lambda x: 1 if x else 0, "in a condition"),
        (len, "in len()"),
        (list, "in a loop"),
        (float, "as a number"),
        (int, "as a number"),
        (range, "as a number"),
    ],
)
def test_symbols_are_refused_where_values_are_needed(use, words):
    symbol = Input((3,), name="pixels")
    with pytest.raises(SymbolError) as error:
        use(symbol)
    text = str(error.value)
    assert f"cannot be used {words}" in text
    assert "test_layer_contract.py" in text
    assert 'symbol = Input((3,), name="pixels")' in text
    assert "\n  try       " in text


def test_dense_is_the_function_that_one_would_write():
    layer = Dense(4, activation="relu")
    layer(Input((3,)))
    create_values(layer.named_weights())

    def by_layer(w, b, x):
        context = Context({id(layer.kernel): w, id(layer.bias): b})
        return bind(layer, context, "dense")(x)

    def by_hand(w, b, x):
        return jax.nn.relu(x @ w + b)

    weights = layer.kernel.value, layer.bias.value
    ours = jax.make_jaxpr(by_layer)(*weights, ONES)
    with jax.numpy_rank_promotion("allow"):
        assert str(ours) == str(jax.make_jaxpr(by_hand)(*weights, ONES))
