"""Between trainings repeated blocks stay stacked until somebody reads them, and nobody sees it."""

from __future__ import annotations

import copy

import jax
import numpy as np
import pytest

import kgraph.training.packing
from kgraph import Input, Model, callbacks, optimizers
from kgraph.compiler import layout, packing
from kgraph.compiler.packing import stack_rows
from kgraph.errors import DataError
from kgraph.layers import Add, BatchNormalization, Dense, Dropout
from kgraph.utils import set_random_seed

WIDTH, BLOCKS = 4, 3
X = np.random.default_rng(0).normal(size=(20, WIDTH)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 20)


def fresh(stack: bool = True) -> Model:
    """Returns a new model, always with the same weights."""
    set_random_seed(4)
    inputs = x = Input((WIDTH,))
    for i in range(BLOCKS):
        h = Dense(WIDTH, "tanh", name=f"inner_{i}")(BatchNormalization()(x))
        x = Add(name=f"sum_{i}")([x, Dropout(0.2)(h)])
    model = Model(inputs, Dense(3, "softmax")(x))
    model.compile(optimizers.Adam(0.01), "sparse_categorical_crossentropy", stack=stack)
    return model


def fitted(model: Model, **options) -> Model:
    model.fit(X, Y, 8, verbose=0, **{"seed": 3, **options})
    return model


def assert_equal(one: Model, other: Model) -> None:
    """Compares weights and training states, bit for bit."""
    found = [(m.get_weights(), m._kgraph.trainer.state()) for m in (one, other)]
    assert jax.tree.structure(found[0]) == jax.tree.structure(found[1])
    jax.tree.map(np.testing.assert_array_equal, *found)


@pytest.fixture(scope="module")
def twice() -> Model:
    """A model after two fits, of which nobody has read anything in between."""
    return fitted(fitted(fresh()))


def test_later_trainings_and_evaluations_stack_nothing(monkeypatch):
    model = fitted(fresh())
    seen = []
    for module in (packing, layout, kgraph.training.packing):
        monkeypatch.setattr(module, "stack_rows", lambda r: seen.append(r) or stack_rows(r))
    fitted(model)
    model.train_on_batch(X, Y)
    model.evaluate(X, Y, verbose=0)
    fitted(model)
    assert not seen
    model.get_layer("inner_1").get_weights()
    model.evaluate(X, Y, verbose=0)
    assert len(seen) == 2, "a kernel was read and a bias"


def test_reading_between_trainings_changes_nothing(twice):
    model = fitted(fresh())
    held = [w.value for w in model.weights]
    state, seen = model._kgraph.trainer.state(), model.get_weights()
    kept = jax.tree.map(np.array, state)
    fitted(model)
    assert_equal(model, twice)
    # What was handed out was not given away to the second training.
    for one, other in zip(held, seen, strict=True):
        np.testing.assert_array_equal(one, other)
    jax.tree.map(np.testing.assert_array_equal, state, kept)


def test_evaluating_and_copying_between_trainings_changes_nothing(twice):
    model = fitted(fresh())
    logs = model.evaluate(X, Y, verbose=0)
    weight = model.get_layer("inner_1").kernel
    copied = copy.deepcopy(weight)
    assert weight.keeper is None
    before = np.array(copied.value)
    fitted(model)
    assert_equal(model, twice)
    np.testing.assert_array_equal(copied.value, before)
    copied.assign(before + 1)
    assert_equal(model, twice)
    assert model.evaluate(X, Y, verbose=0) != logs


def test_weights_that_were_set_between_trainings_are_trained():
    one, other = fitted(fresh()), fitted(fresh(stack=False))
    for model in (one, other):
        model.get_layer("inner_1").kernel.assign(np.full((WIDTH, WIDTH), 0.25, np.float32))
        fitted(model)
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_models_that_share_blocks_see_what_each_has_trained():
    model = fitted(fresh())
    part = Model(model.inputs, model.get_layer("sum_1").output)
    part.compile(optimizers.SGD(0.1), "mse", stack=True)
    first = part.predict(X, verbose=0)
    targets = np.zeros_like(first)
    fitted(model)
    part.fit(X, targets, 8, verbose=0)
    seen = [w.numpy() for w in part.weights]
    fitted(model, epochs=2, initial_epoch=1)
    now = part.predict(X, verbose=0)
    assert not np.allclose(first, now)
    np.testing.assert_allclose(part(X), now, rtol=1e-6)
    assert any(not np.array_equal(a, w.numpy()) for a, w in zip(seen, part.weights, strict=True))


class Evaluator(callbacks.Callback):
    """Evaluates another model, of the same layers, while this one is trained."""

    def __init__(self, other):
        super().__init__()
        self.other = other

    def on_epoch_end(self, epoch, logs=None):
        self.found = self.other.evaluate(X, Y, verbose=0)
        self.expected = self.model.evaluate(X, Y, verbose=0)


def test_a_model_that_shares_blocks_is_evaluated_during_the_training():
    model = fresh()
    other = Model(model.inputs, model.outputs)
    other.compile("sgd", "sparse_categorical_crossentropy", stack=True)
    watcher = Evaluator(other)
    fitted(model, epochs=2, callbacks=[watcher])
    assert watcher.found == pytest.approx(watcher.expected)
    assert_equal(model, fitted(fresh(), epochs=2))


class Interrupt(callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        raise KeyboardInterrupt


def test_an_interrupt_leaves_weights_that_can_be_used_and_trained():
    model = fitted(fresh())
    with pytest.raises(KeyboardInterrupt):
        fitted(model, callbacks=[Interrupt()])
    assert all(np.isfinite(w).all() for w in model.get_weights())
    fitted(model)
    assert int(model._kgraph.trainer.state()["step"]) == 7


def test_a_fit_that_never_began_has_the_optimizer_state_of_the_beginning():
    model = fresh()
    with pytest.raises(DataError):
        fitted(model, validation_data=(X, Y + 5))
    state = model._kgraph.trainer.state()
    assert int(state["step"]) == 0
    assert not any(np.any(slot) for slot in jax.tree.leaves(state["optimizer"].inner))
    expected = jax.tree.structure(model._kgraph.trainer.abstract_state()["optimizer"])
    assert jax.tree.structure(state["optimizer"]) == expected
