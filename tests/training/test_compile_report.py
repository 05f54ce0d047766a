"""Executables: one for each function, shared between equal models, and each with its reason."""

from __future__ import annotations

from typing import Any

import engine_runs as runs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from counting import compilations
from engine_runs import LABELS, X, compiled, trained

import kgraph
from kgraph.training import compilation


@pytest.fixture(autouse=True)
def _nothing_shared_yet(monkeypatch: Any) -> None:
    monkeypatch.setattr(compilation, "_SHARED", type(compilation._SHARED)())


def _use(model: Any) -> Any:
    trained(model, validation_data=(X[:6], LABELS[:6]))
    model.evaluate(X[:6], LABELS[:6], 4, 0)
    model.predict(X, 4, 0)
    return model


def _functions(model: Any) -> list[str]:
    return [entry.function for entry in model.compile_report()]


def test_a_partial_last_batch_needs_no_executable_of_its_own() -> None:
    model = compiled()
    assert repr(model.compile_report()) == "Nothing was compiled yet"
    _use(model)
    assert _functions(model) == ["train", "results", "evaluate", "predict"]
    assert {e.reason for e in model.compile_report()} == {"first use"}
    assert not any(e.shared for e in model.compile_report())

    def use_again() -> None:
        _use(model)
        model.optimizer.learning_rate = 0.5
        trained(model, epochs=5, initial_epoch=3)

    assert compilations(use_again) == 0
    assert len(model.compile_report()) == 4

    text = repr(model.compile_report()).splitlines()
    assert text[0].startswith("4 executables, ")
    assert text[0].endswith(" s in all")
    assert text[1].split() == ["function", "trace", "compile", "why"]
    assert [line.split()[0] for line in text[2:]] == _functions(model)
    assert model.compile_report().seconds == pytest.approx(
        sum(e.traced + e.compiled for e in model.compile_report())
    )


def test_equal_models_share_and_other_models_do_not() -> None:
    _use(compiled())
    again = compiled(steps_per_execution=2)
    assert compilations(lambda: _use(again)) == 0
    assert [e.shared for e in again.compile_report()] == [True] * 4
    assert "shared" in repr(again.compile_report())

    other = trained(compiled(lambda: runs.mlp(activation="sigmoid"))).model
    assert [(e.function, e.shared) for e in other.compile_report()] == [
        ("train", False), ("results", True),
    ]  # fmt: skip
    slower = trained(compiled(optimizer=kgraph.optimizers.Adam(0.5))).model
    assert all(e.shared for e in slower.compile_report()), "the rate is an argument"
    trained(slower)
    with pytest.raises(AssertionError):
        runs.assert_same_state(slower, again)


def test_the_report_says_what_made_an_executable_new() -> None:
    model = trained(compiled()).model

    def newest() -> tuple[str, str]:
        entry = [e for e in model.compile_report() if e.function == "train"][-1]
        return entry.function, entry.reason

    model.get_layer("first").trainable = False
    trained(model)
    assert "state" in newest()[1]
    assert "float32[4]" in newest()[1]
    trained(model, X[:8], LABELS[:8])
    assert newest()[1].startswith("batch: (4, True) before, (4, False) now")
    model.compile("adam", runs.sparse(), metrics=["accuracy"])
    trained(model, X[:8], LABELS[:8])
    assert newest()[1] == "compile() or the model's trainable layers changed"
    assert model.compile_report()[-2].shared


class Scaled(kgraph.layers.Layer):
    """Multiplies by an array that is no weight."""

    def __init__(self, by: Any, back: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.by, self.back = by, back

    def call(self, inputs: Any) -> Any:
        if not self.back:
            return inputs * jnp.asarray(self.by)[None]
        by = self.by
        form = jax.ShapeDtypeStruct(inputs.shape, inputs.dtype)
        return jax.pure_callback(
            lambda a: np.asarray(a) * by, form, inputs, vmap_method="sequential"
        )


@pytest.mark.parametrize("back", [False, True], ids=["constants", "calls back into Python"])
@pytest.mark.filterwarnings("ignore:.*cannot be written down")
def test_what_the_program_does_not_show_is_never_shared(back: bool) -> None:
    x = np.ones((2, 600), "float32")
    for factor in (1.0, 2.0):
        inputs = kgraph.Input((600,))
        by = np.full(600, factor, "float32")
        model = kgraph.Model(inputs, Scaled(by, back)(inputs))
        np.testing.assert_array_equal(model.predict(x, verbose=0), x * factor)


@pytest.mark.slow
def test_eager_models_compile_nothing() -> None:
    model = compiled(run_eagerly=True)
    run = trained(model, epochs=1)
    assert len(model.compile_report()) == 0
    expected = trained(compiled(), epochs=1)
    np.testing.assert_allclose(run.logs["loss"], expected.logs["loss"], rtol=1e-6)
