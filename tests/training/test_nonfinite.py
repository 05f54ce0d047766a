"""check_finite: the step, the layer and the user's line of the first number that is not finite."""

from __future__ import annotations

from typing import Any

import engine_runs as runs
import jax.numpy as jnp
import numpy as np
import pytest
from engine_runs import BATCH, TARGETS, X, compiled, cut, trained

import kgraph
from kgraph import layers, ops
from kgraph.errors import StateError
from kgraph.training.nonfinite import NonFiniteError


def _with(array: np.ndarray, row: int, value: float) -> np.ndarray:
    spoiled = array.copy()
    spoiled[row, 0] = value
    return spoiled


def _finite(model: Any) -> bool:
    return all(np.all(np.isfinite(w)) for w in model.get_weights())


def logarithm() -> Any:
    """Returns a model that takes the logarithm of what may be negative."""
    inputs = kgraph.Input((5,), name="x")
    x = layers.Dense(4, name="fine")(inputs)
    x = ops.log(x)  # the line that the error names
    return kgraph.Model(inputs, layers.Dense(3, name="y")(x))


def square_root() -> Any:
    """Returns a model whose outputs are finite and whose gradient is not: the root of 0."""
    inputs = kgraph.Input((5,), name="x")
    x = layers.Dense(4, kernel_initializer="zeros", name="fine")(inputs)
    return kgraph.Model(inputs, layers.Dense(3, name="y")(ops.sqrt(x)))


def overflowing(y_true: Any, y_pred: Any) -> Any:
    return jnp.exp(jnp.abs(y_pred) * 0 + 100.0)[:, 0]


MSE = {"loss": "mse", "metrics": []}
CASES: dict[str, Any] = {
    "input": (runs.mlp, MSE, _with(X, 9, np.nan), TARGETS, "step 3", r"the input 'x'"),
    "infinite input": (runs.mlp, MSE, _with(X, 0, np.inf), TARGETS, "step 1", r"the input 'x'"),
    "targets": (
        runs.mlp, MSE, X, _with(TARGETS, 12, np.inf), "step 4", r"the targets of 'y'",
    ),
    "layer": (
        logarithm, MSE, X, TARGETS, "step 1",
        r"test_nonfinite\.py:\d+[\s\S]*the output of 'log'[\s\S]*finite inputs and weights",
    ),
    "gradient": (
        square_root, MSE, X, TARGETS, "step 1",
        r"the gradient by 'fine/(kernel|bias)', of a finite loss",
    ),
    "loss": (
        runs.mlp, {"loss": overflowing, "metrics": []}, X, TARGETS, "step 1",
        r"the loss itself, of finite outputs",
    ),
    "update": (
        runs.mlp, {**MSE, "optimizer": kgraph.optimizers.SGD(3e38, momentum=0.9)}, X, TARGETS * 50,
        "step 1", r"the update of the optimizer, of finite gradients",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_the_error_names_the_place(case: Any) -> None:
    build, options, x, y, step, text = case
    model = compiled(build, **{"optimizer": "sgd", **options})
    with pytest.raises(NonFiniteError, match=text) as caught:
        trained(model, x, y, shuffle=False, check_finite=True)
    assert isinstance(caught.value, StateError)
    assert f"not finite in {step}" in str(caught.value)
    assert _finite(model)
    assert int(model._kgraph.trainer.state()["step"]) == int(step.split()[1]) - 1


def test_the_line_is_the_users() -> None:
    with pytest.raises(NonFiniteError) as caught:
        trained(compiled(logarithm, **MSE), X, TARGETS, check_finite=True)
    number = int(str(caught.value).split("test_nonfinite.py:")[1].split()[0])
    with open(__file__) as file:
        assert "the line that the error names" in file.readlines()[number - 1]


def test_the_model_has_the_weights_from_before_the_step() -> None:
    model = compiled(optimizer="sgd")
    batches = [*cut()[:2], (_with(cut()[2][0], 1, np.nan), cut()[2][1])]
    with pytest.raises(NonFiniteError, match="step 3"):
        trained(model, batches, check_finite=True)
    expected = trained(compiled(optimizer="sgd"), cut()[:2], epochs=1).model
    runs_equal = [
        np.array_equal(a, b)
        for a, b in zip(model.get_weights(), expected.get_weights(), strict=True)
    ]
    assert all(runs_equal)
    trained(model)  # it can go on


@pytest.mark.filterwarnings("ignore:The loss is nan")
def test_without_a_fault_it_changes_nothing() -> None:
    checked = trained(compiled(runs.dropping), check_finite=True)
    runs.assert_same(checked, trained(compiled(runs.dropping)))
    model = compiled(**MSE)
    model.fit(_with(X, 9, np.nan), TARGETS, BATCH, verbose=0)  # not asked: not looked for
    assert not _finite(model)
