"""Operations in Keras' files: read as Keras wrote them, and written so that Keras reads them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import keras
import pytest
from keras_calls import FAMILIES, POOL
from test_against_keras import assert_equal, keras_evaluates

import kgraph
from kgraph.saving.keras_format.operations import PAIRS

EXCHANGED = {pair.function for pair in PAIRS}
KERAS_FAILS_ON = ("o.quantile(", "o.broadcast_to(x[:1]")  # its own calls on symbols do
HAS_NO_OPTION = ("o.isclose(x, y, 0.5)",)


def lines_of(family: str) -> list[str]:
    """Returns the calls whose functions are all exchanged."""
    skipped = (*KERAS_FAILS_ON, *HAS_NO_OPTION, "-")
    lines = [line for line in FAMILIES[family] if not line.startswith(skipped)]
    return [x for x in lines if set(re.findall(r"o\.(?:image\.)?(\w+)\(", x)) <= EXCHANGED]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "least"),
    [("elementwise", 107), ("reductions", 49), ("searching", 27)],
)
def test_models_go_to_keras_and_back(family: str, least: int, tmp_path: Path):
    lines = lines_of(family)
    assert len(lines) >= least
    used = [n for n in POOL if any(re.search(rf"\b{n}\b", line) for line in lines)]
    inputs = {
        n: keras.Input(batch_shape=POOL[n].shape, dtype=str(POOL[n].dtype), name=n) for n in used
    }
    outputs = [keras_evaluates(line, inputs) for line in lines]
    keras.Model(inputs, outputs).save(tmp_path / "theirs.keras")
    loaded = kgraph.saving.load_model(tmp_path / "theirs.keras")
    arrays = {name: jnp.asarray(POOL[name]) for name in used}

    @jax.jit
    def wanted(arrays: dict[str, Any]) -> Any:
        return [keras_evaluates(line, arrays) for line in lines]

    for line, got, value in zip(lines, loaded(arrays), wanted(arrays), strict=True):
        assert_equal(line, got, value)
    loaded.save(tmp_path / "ours.keras")
    keras.saving.load_model(tmp_path / "ours.keras")
    again = kgraph.saving.load_model(tmp_path / "ours.keras")
    assert again.graph == loaded.graph
