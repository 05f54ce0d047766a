"""float64 where JAX would cut it to float32: refused when a layer is made."""

from __future__ import annotations

import jax
import jax.experimental
import numpy as np
import pytest

import kgraph as keras
from kgraph.errors import ConfigError, ModelFileError

enable_x64 = (jax if hasattr(jax, "enable_x64") else jax.experimental).enable_x64  # jax 0.7


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.layers.Dense(3, dtype="float64"),
        lambda: keras.layers.LSTM(3, dtype=np.float64),
        lambda: keras.layers.Dense(3, dtype=keras.dtype_policies.DTypePolicy("float64")),
        lambda: keras.Input((3,), dtype="float64"),
        lambda: keras.Variable(np.zeros(3), dtype="float64"),
        lambda: keras.layers.Layer().add_weight((3,), dtype="float64"),
    ],
)
def test_is_refused_by_the_setting_that_it_needs(make):
    with pytest.raises(ConfigError, match=r"float64 needs .*jax_enable_x64[\s\S]*try"):
        make()
    with enable_x64(True):
        make()


def test_floatx_counts_as_well():
    keras.config.set_floatx("float64")
    with pytest.raises(ConfigError, match="jax_enable_x64"):
        keras.layers.Dense(3)


def test_a_file_that_needs_it_names_the_setting(tmp_path):
    with enable_x64(True):
        layers = [keras.Input((3,), dtype="float64"), keras.layers.Dense(2, dtype="float64")]
        keras.Sequential(layers).save(tmp_path / "wide.kgraph")
    with pytest.raises(ModelFileError, match="float64 needs JAX's setting jax_enable_x64"):
        keras.saving.load_model(tmp_path / "wide.kgraph")
