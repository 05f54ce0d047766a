"""`train_on_batch` reuses the memory of arrays that nobody has read, and of no others."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import kgraph

X = np.arange(8, dtype="float32").reshape(4, 2) / 8
Y = X[:, :1]


@kgraph.saving.register_keras_serializable("handed_out")
class Stepping(kgraph.Model):
    def train_step(self, state, data):
        return super().train_step(state, data)


def model_of(cls: Any) -> Any:
    inputs = kgraph.Input((2,))
    model = cls(inputs, kgraph.layers.Dense(1, kernel_initializer="ones")(inputs))
    model.compile(kgraph.optimizers.SGD(0.1, momentum=0.9), "mse", metrics=["mae"])
    return model


@pytest.mark.parametrize("cls", [kgraph.Model, Stepping])
def test_what_was_read_between_two_batches_stays(cls: Any, tmp_path: Any):
    model, other = model_of(cls), model_of(cls)
    for reads in (
        lambda: [w.value for w in model.weights],
        lambda: jax.tree.leaves(model._kgraph.trainer.state()),
        lambda: [v.value for v in model.optimizer.variables],
        lambda: jax.tree.leaves(model.get_state_tree()),
        lambda: [model.predict(X, verbose=0)],
        lambda: [model.evaluate(X, Y, verbose=0)],
    ):
        arrays = reads()
        before = [np.array(array) for array in arrays]
        model.train_on_batch(X, Y)
        other.train_on_batch(X, Y)
        for array, then in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(array, then)
    pending = model.save(tmp_path / "m.kgraph", wait=False)  # a thread reads the arrays
    model.train_on_batch(X, Y)
    pending.wait()
    other.train_on_batch(X, Y)
    for one, same in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, same)


def test_what_nobody_reads_is_not_copied(monkeypatch: pytest.MonkeyPatch):
    from kgraph.training import packing

    sizes: list[int] = []

    def counted(tree: Any) -> Any:
        sizes.append(len(jax.tree.leaves(tree)))
        return copied(tree)

    model, copied = model_of(kgraph.Model), packing.copied
    model.train_on_batch(X, Y)
    monkeypatch.setattr(packing, "copied", counted)
    model.train_on_batch(X, Y)
    assert sum(sizes) == 0
    assert model.weights[0].value.shape == (2, 1)
    model.train_on_batch(X, Y)
    assert sum(sizes) == 1
