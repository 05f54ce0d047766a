"""Mixed precision and float64 in fit: what is short, what is never, and loss scaling."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import engine_runs as runs
import jax
import numpy as np
import pytest
from engine_runs import X, compiled, trained

import kgraph
from kgraph.optimizers import LossScaleOptimizer


def _policy(name: str) -> Any:
    """Returns a function that builds a normalised model under a dtype policy."""

    def build() -> Any:
        kgraph.config.set_dtype_policy(name)
        try:
            return runs.mlp(kgraph.layers.LayerNormalization())
        finally:
            kgraph.config.set_dtype_policy(None)

    return build


def _dtypes(tree: Any) -> set[str]:
    return {str(np.asarray(leaf).dtype) for leaf in jax.tree.leaves(tree)}


@pytest.mark.parametrize("name", ["bfloat16", pytest.param("float16", marks=pytest.mark.slow)])
def test_short_floats_compute_and_float32_keeps(name: str) -> None:
    run = trained(compiled(_policy(f"mixed_{name}")), epochs=2)
    model = run.model
    layer = model.get_layer("first")
    assert (layer.compute_dtype, layer.variable_dtype) == (name, "float32")
    assert {str(w.dtype) for w in model.get_weights()} == {"float32"}
    state = model._kgraph.trainer.state()
    assert _dtypes(state["optimizer"]) == {"float32", "int32"}
    assert str(model.predict(X, verbose=0).dtype) == name
    # Losses and metrics are float32: no short float has so many digits.
    loss = run.logs["loss"][0]
    assert loss == float(np.float32(loss))
    assert loss != float(np.asarray(loss, name))
    expected = trained(compiled(_policy("float32")), epochs=2)
    np.testing.assert_allclose(run.logs["loss"], expected.logs["loss"], rtol=0.05)
    for a, b in zip(model.get_weights(), expected.model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=0.02)  # two epochs of Adam move at most 0.008


def test_a_layer_may_have_a_dtype_of_its_own() -> None:
    def build() -> Any:
        inputs = kgraph.Input((5,), name="x")
        x = kgraph.layers.Dense(4, dtype="mixed_bfloat16", name="short")(inputs)
        x = kgraph.layers.Dense(4, dtype="bfloat16", name="all short")(x)
        return kgraph.Model(inputs, kgraph.layers.Dense(3, dtype="float32", name="y")(x))

    run = trained(compiled(build))
    kinds = {w.path: str(w.value.dtype) for w in run.model.weights}
    assert {path: kind for path, kind in kinds.items() if "all short" in path} == {
        "all short/kernel": "bfloat16", "all short/bias": "bfloat16",
    }  # fmt: skip
    assert {kind for path, kind in kinds.items() if "all short" not in path} == {"float32"}
    assert str(run.model.predict(X, verbose=0).dtype) == "float32"
    assert np.isfinite(run.logs["loss"]).all()
    assert run.logs["loss"][1] < run.logs["loss"][0]


def _scale(model: Any) -> tuple[float, int]:
    state = model._kgraph.trainer.state()["optimizer"]
    return float(state.scale), int(state.step)


def test_float16_skips_steps_that_overflow_and_recovers() -> None:
    model = compiled(_policy("mixed_float16"), optimizer="sgd")
    assert isinstance(model.optimizer, LossScaleOptimizer)
    plain = compiled(_policy("mixed_float16"), optimizer="sgd", auto_scale_loss=False)
    assert not isinstance(plain.optimizer, LossScaleOptimizer)

    huge = LossScaleOptimizer("sgd", initial_scale=2.0**40, dynamic_growth_steps=3)
    model = compiled(_policy("mixed_float16"), optimizer=huge)
    before = model.get_weights()
    trained(model, epochs=1)
    assert _scale(model) == (2.0**36, 0), "four steps were skipped, and the scale halved in each"
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    trained(model, epochs=10)
    scale, steps = _scale(model)
    assert 0 < steps < 40, "some steps were skipped and the others made"
    assert 2.0**8 <= scale <= 2.0**30
    assert all(np.all(np.isfinite(w)) for w in model.get_weights())
    assert not np.array_equal(before[0], model.get_weights()[0])


@pytest.mark.slow
def test_overflow_is_no_fault_for_check_finite() -> None:
    huge = LossScaleOptimizer("sgd", initial_scale=2.0**40)
    trained(compiled(_policy("mixed_float16"), optimizer=huge), epochs=1, check_finite=True)


DOUBLE = """
import jax, numpy as np
jax.config.update("jax_enable_x64", True)
import engine_runs as runs, kgraph
kgraph.config.set_floatx("float64")
x, y = runs.X.astype("float64"), runs.LABELS
run = runs.trained(runs.compiled(runs.normalized), x, y, validation_data=(x, y))
assert {str(w.dtype) for w in run.model.get_weights()} == {"float64"}
leaves = jax.tree.leaves(run.model._kgraph.trainer.state()["optimizer"])
assert {str(a.dtype) for a in leaves} <= {"float64", "int32", "float32"}
assert run.model.predict(x, verbose=0).dtype == np.float64
# The loss of the outputs as they are, in double precision throughout.
outputs = run.model.predict(x, 4, verbose=0)
shifted = outputs - outputs.max(1, keepdims=True)
values = np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(y)), y]
loss = run.model.evaluate(x, y, 4, 0)[0]
np.testing.assert_allclose(loss, values.mean(), rtol=1e-7)
print("done")
"""


@pytest.mark.slow
def test_float64_stays_float64_everywhere() -> None:
    here = Path(__file__).parent
    path = os.pathsep.join([str(Path(kgraph.__file__).parents[1]), str(here)])
    done = subprocess.run(
        [sys.executable, "-c", DOUBLE], env={**os.environ, "PYTHONPATH": path}, text=True,
        capture_output=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "done\n"
