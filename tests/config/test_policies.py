"""dtype_policies and mixed_precision: Keras' names for what `config` has."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np
import pytest

import kgraph
from kgraph import config, dtype_policies, mixed_precision, optimizers
from kgraph.errors import ConfigError, StateError

QUANTIZED = {
    "AWQDTypePolicy", "GPTQDTypePolicy", "Int4DTypePolicy", "QuantizedDTypePolicy",
    "QuantizedFloat8DTypePolicy",
}  # fmt: skip


def names(module):
    return {name for name in dir(module) if not name.startswith("_")}


def test_the_names_of_keras():
    ours = set(dtype_policies.__all__)
    assert names(keras.dtype_policies) - ours == set(QUANTIZED)
    assert names(keras.mixed_precision) == set(mixed_precision.__all__)
    assert kgraph.FloatDTypePolicy is kgraph.DTypePolicy is mixed_precision.Policy
    assert mixed_precision.LossScaleOptimizer is optimizers.LossScaleOptimizer


@pytest.mark.parametrize("name", ["float32", "mixed_bfloat16", "mixed_float16", "bfloat16"])
def test_policies_are_those_of_keras(name):
    made, wanted = dtype_policies.get(name), keras.dtype_policies.get(name)
    for attribute in ("name", "compute_dtype", "variable_dtype", "quantization_mode"):
        assert getattr(made, attribute) == getattr(wanted, attribute)
    assert made.get_config() == wanted.get_config()
    written = keras.dtype_policies.serialize(wanted)
    assert made == dtype_policies.deserialize(written) == dtype_policies.get(written)
    assert dtype_policies.deserialize(dtype_policies.serialize(made)) == made
    assert kgraph.DTypePolicy.from_config(made.get_config()) == made


def test_a_policy_without_a_name_is_the_global_one():
    mixed_precision.set_global_policy("mixed_bfloat16")
    assert kgraph.DTypePolicy().name == mixed_precision.global_policy().name == "mixed_bfloat16"
    assert dtype_policies.get(None).compute_dtype == kgraph.layers.Dense(1).compute_dtype
    config.set_dtype_policy(None)
    assert kgraph.DTypePolicy().name == "float32"
    assert dtype_policies.get(np.float16).name == "float16"
    parameters = inspect.signature(kgraph.DTypePolicy).parameters
    assert str(parameters["name"].default) == "None"


@pytest.mark.usefixtures("relaxed")
def test_a_layer_takes_a_policy_until_it_is_built():
    def made(api: Any) -> tuple[Any, ...]:
        layer = api.layers.Dense(3)
        layer.dtype_policy = "mixed_bfloat16"
        inputs = api.Input((4,))
        model = api.Model.from_config(api.Model(inputs, layer(inputs)).get_config())
        outputs = model.predict(np.ones((2, 4), "float32"), verbose=0)
        return layer.compute_dtype, str(model.layers[-1].kernel.dtype), outputs.dtype

    assert made(kgraph) == made(keras)
    layer = kgraph.layers.Dense(3)
    layer.build((None, 2))
    with pytest.raises(StateError, match=r"'dense' \(Dense\) cannot take other dtypes any more"):
        layer.dtype_policy = "float32"
    with pytest.raises(StateError, match="is inside, and has its own"):
        kgraph.layers.Bidirectional(kgraph.layers.GRU(2)).dtype_policy = "bfloat16"
    with pytest.raises(ConfigError, match="mixed_int8"):
        kgraph.layers.Dense(3).dtype_policy = "mixed_int8"


def test_what_is_no_policy():
    with pytest.raises(ConfigError, match=r"`name`[\s\S]*'mixed_int8'"):
        dtype_policies.get("mixed_int8")
    with pytest.raises(ConfigError, match="no dtype policy"):
        dtype_policies.get(object())
    quantized = keras.dtype_policies.serialize(keras.dtype_policies.get("int8_from_float32"))
    with pytest.raises(ConfigError, match="has no 'QuantizedDTypePolicy'"):
        dtype_policies.deserialize(quantized)
