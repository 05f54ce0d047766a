"""Maps of dtype policies, as Keras has them."""

from __future__ import annotations

import keras
import pytest

import kgraph
from kgraph.errors import ConfigError


def of(api):
    found = api.dtype_policies.DTypePolicyMap("float32")
    found["a/.*"] = "bfloat16"
    found["b"] = api.DTypePolicy("float16")
    return found


def test_paths_find_what_they_find_in_keras():
    ours, theirs = of(kgraph), of(keras)
    for path in ("a/k", "a/k/l", "b", "b/c", "c", "x/a/k"):
        assert ours[path].name == theirs[path].name
    assert (list(ours), len(ours)) == (list(theirs), len(theirs))
    assert kgraph.dtype_policies.DTypePolicyMap()["a"] == kgraph.config.dtype_policy()
    ours["a/k.*"] = "float16"
    with pytest.raises(ConfigError, match="matches several keys"):
        ours["a/k"]
    with pytest.raises(ConfigError, match="there already"):
        ours["b"] = "float32"
    with pytest.raises(ConfigError, match="no regular expression"):
        ours["(a"] = "float32"


def test_configs_are_read_both_ways():
    ours, theirs = of(kgraph), of(keras)
    for config in (
        kgraph.dtype_policies.serialize(ours), keras.dtype_policies.serialize(theirs),
    ):  # fmt: skip
        read = kgraph.dtype_policies.get(config)
        assert dict(read.items()) == dict(ours.items())
        assert read.default_policy.name == "float32"
    assert (
        keras.dtype_policies.DTypePolicyMap.from_config(ours.get_config())["a/k"].name == "bfloat16"
    )


def test_a_layer_takes_one_policy():
    with pytest.raises(ConfigError, match=r"one policy[\s\S]*policies\[path\]"):
        kgraph.layers.Dense(2, dtype=of(kgraph))
    assert kgraph.layers.Dense(2, dtype=of(kgraph)["b"]).compute_dtype == "float16"
    assert kgraph.layers.Dense(2).quantization_mode is None
