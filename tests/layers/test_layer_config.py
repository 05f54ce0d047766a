"""What a layer's config holds, and the dtypes in which a layer keeps and computes."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from kgraph import activations, config
from kgraph.custom_objects import custom_object_scope
from kgraph.layers.base import Input, Layer
from kgraph.layers.core import Dense
from kgraph.registry import Recorded, recorded_arguments

ONES = np.ones((2, 3), "float32")


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


def test_recorded_arguments_are_in_the_order_of_the_constructor():
    class Many(Recorded):
        def __init__(self, first, second=2, *rest, third, fourth=4, **others):
            pass

    found = recorded_arguments(Many(1, third=3, sixth=6))
    assert list(found.items()) == [
        ("first", 1), ("second", 2), ("third", 3), ("fourth", 4), ("sixth", 6)
    ]  # fmt: skip
    found = recorded_arguments(Many(1, 5, 7, 8, third=3))
    assert list(found.items()) == [
        ("first", 1), ("second", 5), ("rest", (7, 8)), ("third", 3), ("fourth", 4)
    ]  # fmt: skip


def test_config_holds_layers_and_functions_that_can_be_named():
    class Around(Layer):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def call(self, inputs):
            return self.inner(inputs)

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
