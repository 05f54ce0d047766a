"""How layers are called: random keys, losses, training, masks, and what symbols refuse."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from checks import relaxed

import kgraph
from kgraph import config
from kgraph.errors import StateError, SymbolError
from kgraph.layers.base import Context, Input, Layer, create_values
from kgraph.layers.base.binding import bind
from kgraph.layers.base.tree import named_weights
from kgraph.layers.core import Dense, Embedding, Masking
from kgraph.layers.regularization import Dropout
from kgraph.layers.reshaping import Flatten

ONES = np.ones((2, 3), "float32")


def run(layer: Layer, *args: Any, training: bool | None = None, key: Any = None, **kwargs: Any):
    """Runs a layer purely; returns its output and the context of the run."""
    create_values(named_weights(layer))
    context = Context({id(w): w.value for w in layer.weights}, training, key)
    return bind(layer, context, layer.name)(*args, **kwargs), context


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


# --- shapes, tracing, refusals -------------------------------------------------------------------


def test_compute_output_shape_and_spec():
    assert Dense(4).compute_output_shape((None, 3)) == (None, 4)
    assert Dense(4).compute_output_shape((2, None, 3)) == (2, None, 4)
    attention = kgraph.layers.MultiHeadAttention(1, 2)
    assert attention.compute_output_shape((2, 4, 3), (2, 5, 3)) == (2, 4, 3)
    assert attention.compute_output_shape((2, 4, 3), value_shape=(2, 5, 3)) == (2, 4, 3)
    assert kgraph.layers.Add().compute_output_shape([(2, 3), (2, 3)]) == (2, 3)
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
    assert "test_layer_calls.py" in text
    assert 'symbol = Input((3,), name="pixels")' in text
    assert "\n  try       " in text


def test_dense_is_the_function_that_one_would_write():
    layer = Dense(4, activation="relu")
    layer(Input((3,)))
    create_values(named_weights(layer))

    def by_layer(w, b, x):
        context = Context({id(layer.kernel): w, id(layer.bias): b})
        return bind(layer, context, "dense")(x)

    def by_hand(w, b, x):
        return jax.nn.relu(x @ w + b)

    weights = layer.kernel.value, layer.bias.value
    ours = jax.make_jaxpr(by_layer)(*weights, ONES)
    with jax.numpy_rank_promotion("allow"):
        assert str(ours) == str(jax.make_jaxpr(by_hand)(*weights, ONES))
