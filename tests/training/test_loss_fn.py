"""loss_fn: the loss of the user's own function of the program."""

from __future__ import annotations

from typing import Any

import engine_runs as runs
import jax.numpy as jnp
import numpy as np
import pytest
from engine_runs import LABELS, X, assert_same, compiled, cut, trained

import kgraph
from kgraph.errors import ConfigError


def same(program: Any, variables: Any, batch: Any, key: Any) -> Any:
    """Computes what the built-in loss does, and hands the outputs on."""
    outputs, state = program.apply(variables, batch.x, training=key is not None, key=key)
    loss = runs.sparse()(batch.y, outputs, batch.sample_weight)
    return loss, {"state": state, "outputs": outputs}


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(runs.normalized, id="normalized"),
        pytest.param(runs.dropping, id="dropping", marks=pytest.mark.slow),
    ],
)
def test_it_equals_the_loss_that_it_computes(build: Any) -> None:
    held = {"validation_data": (X[:4], LABELS[:4]), "sample_weight": runs.WEIGHTS}
    expected = trained(compiled(build), X[:12], LABELS[:12], **{**held, "sample_weight": None})
    run = trained(
        compiled(build, loss_fn=same, metrics=["accuracy"]), X[:12], LABELS[:12],
        **{**held, "sample_weight": None},
    )  # fmt: skip
    assert_same(run, expected)
    weights = runs.WEIGHTS[:12]
    weighed = trained(compiled(build), X[:12], LABELS[:12], sample_weight=weights)
    own = trained(compiled(build, loss_fn=same, metrics=["accuracy"]), X[:12], LABELS[:12],
                  sample_weight=weights)  # fmt: skip
    assert_same(own, weighed)


def counting(program: Any, variables: Any, batch: Any, key: Any) -> Any:
    outputs, _ = program.apply(variables, batch.x, training=key is not None, key=key)
    loss = jnp.mean(outputs**2) + program.penalties(variables["params"])
    size = jnp.float32(batch.x.shape[0])
    return loss, {"rows": size, "trains": jnp.float32(key is not None)}


def test_its_numbers_are_logged_as_means_over_rows() -> None:
    model = compiled(loss_fn=counting)
    run = trained(model, epochs=1, validation_data=(X[:6], LABELS[:6]), validation_batch_size=4)
    assert set(run.logs) == {
        f"{held}{name}" for held in ("", "val_") for name in ("loss", "rows", "trains")
    }
    sizes = np.array([len(x) for x, _ in cut()])
    np.testing.assert_allclose(run.logs["rows"], (sizes * sizes).sum() / sizes.sum(), rtol=1e-6)
    np.testing.assert_allclose(run.logs["val_rows"], (16 + 4) / 6, rtol=1e-6)
    assert (run.logs["trains"], run.logs["val_trains"]) == ([1.0], [0.0])
    assert list(model.evaluate(X, LABELS, verbose=0, return_dict=True)) == [
        "loss", "rows", "trains",
    ]  # fmt: skip


def test_without_a_state_the_layers_keep_theirs() -> None:
    def stateless(*given: Any) -> Any:
        loss, aux = same(*given)
        del aux["state"]
        return loss, aux

    kept = trained(compiled(runs.normalized, loss_fn=stateless), epochs=1).model
    moved = trained(compiled(runs.normalized, loss_fn=same), epochs=1).model
    mean = "moving_mean"
    assert not np.any(getattr(kept.layers[2], mean).numpy())
    assert np.any(getattr(moved.layers[2], mean).numpy())


def test_several_inputs_and_outputs_come_by_name() -> None:
    seen: dict[str, Any] = {}

    def look(program: Any, variables: Any, batch: Any, key: Any) -> Any:
        seen.update(x=batch.x, y=batch.y, weight=batch.sample_weight)
        outputs, _ = program.apply(variables, batch.x)
        return jnp.mean(outputs["a"]) + jnp.mean(outputs["b"]), {}

    one, two = kgraph.Input((5,), name="one"), kgraph.Input((5,), name="two")
    a, b = kgraph.layers.Dense(2)(one), kgraph.layers.Dense(1)(two)
    model = kgraph.Model({"one": one, "two": two}, {"a": a, "b": b})
    model.compile("sgd", loss_fn=look)
    model.fit({"two": X, "one": X}, {"b": X[:, :1], "a": X[:, :2]}, verbose=0)
    assert {key: value.shape[1:] for key, value in seen["y"].items()} == {"a": (2,), "b": (1,)}
    assert set(seen["x"]) == {"one", "two"}
    assert seen["weight"] is None
    model.fit({"two": X, "one": X}, verbose=0)
    assert seen["y"] is None


BAD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no dict": (
        lambda *_: jnp.zeros(()), {},
        r"returns the loss and a dict[\s\S]*expected +loss, \{\}[\s\S]*received",
    ),
    "an array": (
        lambda program, variables, batch, key: (jnp.zeros(4), {}), {},
        r"'loss' as an array[\s\S]*a scalar[\s\S]*\[4\][\s\S]*jnp\.mean",
    ),
    "an array beside it": (
        lambda program, variables, batch, key: (jnp.zeros(()), {"extra": jnp.zeros(2)}), {},
        r"'extra' as an array",
    ),
    "metrics without outputs": (
        counting, {"metrics": ["accuracy"]},
        r"'accuracy' needs outputs[\s\S]*\"outputs\": outputs",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD.values(), ids=list(BAD))
def test_mistakes_are_one_clear_error(case: Any) -> None:
    loss_fn, options, text = case
    model = compiled(loss_fn=loss_fn, **options)
    before = model.get_weights()
    with pytest.raises(ConfigError, match=text):
        trained(model)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


def test_it_is_not_given_together_with_a_loss() -> None:
    for clash in ({"loss": "mse"}, {"loss_weights": [1.0]}):
        with pytest.raises(ConfigError, match="takes the place of loss and loss_weights"):
            runs.mlp().compile("sgd", loss_fn=same, **clash)
