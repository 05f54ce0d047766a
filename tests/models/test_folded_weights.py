"""predict, calls and exports use folded weights, and never those of yesterday."""

from __future__ import annotations

import gc
import weakref

import jax
import numpy as np
import pytest

import kgraph
from kgraph import Input, Model, Sequential
from kgraph.callbacks import LambdaCallback
from kgraph.compiler import DEFAULT_PASSES
from kgraph.compiler.folded import Fold
from kgraph.layers import Activation, BatchNormalization, Dense, Dropout

X = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=(8, 3)).astype(np.float32)


def stem() -> list:
    return [Dense(6, use_bias=False), BatchNormalization(momentum=0.5), Activation("relu")]


def make(*first) -> Model:
    x = inputs = Input((4,))
    for layer in first or stem():
        x = layer(x)
    model = Model(inputs, Dense(3)(Dropout(0.1)(x)))
    model.compile(kgraph.optimizers.SGD(0.1), "mse")
    return model


def unfolded(model: Model) -> np.ndarray:
    """Returns the outputs by a program that folds nothing, from the weights as they are now."""
    program = kgraph.lower(model)
    return np.asarray(program.apply(model.variables_for(program), X)[0])


def check(model: Model) -> np.ndarray:
    """Fails unless predictions and calls follow the weights; returns them."""
    assert model._kgraph.programs.inference().program.folds
    wanted = unfolded(model)
    found = model.predict(X, verbose=0)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model(X), wanted, rtol=1e-5, atol=1e-6)
    return found


def differ(one: np.ndarray, other: np.ndarray) -> None:
    assert float(np.abs(one - other).max()) > 1e-3


def test_predictions_follow_the_weights():
    model = make()
    fresh = check(model)
    model.fit(X, Y, epochs=3, batch_size=4, verbose=0)
    trained = check(model)
    differ(fresh, trained)
    for weight in model.weights:
        if weight.name == "moving_variance":
            weight.assign(weight.numpy() * 9)
    assigned = check(model)
    differ(trained, assigned)
    model(X, training=True)  # moves the statistics
    differ(assigned, check(model))
    model.set_weights([w.numpy() * 0.5 + 0.1 for w in model.weights])
    differ(assigned, check(model))


@pytest.mark.slow
def test_predictions_follow_weights_that_are_loaded(tmp_path):
    model = make()
    model.fit(X, Y, epochs=1, batch_size=4, verbose=0)
    trained = check(model)
    model.save(tmp_path / "m.kgraph")
    model.fit(X, Y, epochs=1, batch_size=4, verbose=0)
    differ(trained, check(model))
    model.load_weights(tmp_path / "m.kgraph")
    np.testing.assert_array_equal(check(model), trained)
    loaded = kgraph.models.load_model(tmp_path / "m.kgraph")
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), trained)


def test_a_layer_trained_in_another_model_is_noticed():
    layers = stem()
    one, other = make(*layers), make(*layers)
    before = check(one)
    other.fit(X, Y, epochs=2, batch_size=4, verbose=0)
    differ(before, check(one))


def test_predictions_in_the_middle_of_a_training_follow_it():
    model = make()
    seen = []
    watch = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(check(model)))
    model.fit(X, Y, epochs=3, batch_size=4, verbose=0, callbacks=[watch])
    differ(seen[0], seen[1])
    np.testing.assert_array_equal(seen[2], check(model))


def test_weights_are_folded_once(monkeypatch):
    model, counted = make(), []
    count = Fold.compute
    monkeypatch.setattr(Fold, "compute", lambda *args: counted.append(1) or count(*args))
    inference = model._kgraph.programs.inference()
    first = inference.variables()
    assert inference.variables()["params"].keys() == first["params"].keys()
    assert len(counted) == 1
    old = weakref.ref(model.layers[1].kernel.value)
    model.layers[1].kernel.assign(np.ones((4, 6)))
    del first
    gc.collect()
    assert old() is None, "the array that was replaced is free"
    inference.variables()
    assert len(counted) == 2


def test_a_call_that_somebody_traces_leaves_nothing_behind():
    model = make()
    wanted = unfolded(model)
    np.testing.assert_allclose(jax.jit(lambda x: model(x))(X), wanted, rtol=1e-5, atol=1e-6)
    check(model)


def test_the_report_says_what_was_folded_and_equal_models_share():
    model, same = make(), make()
    check(model)
    check(same)
    (entry,) = [e for e in model.compile_report() if e.function.startswith("predict")]
    assert entry.function == "predict (one batch, BatchNormalization folded)"
    assert [e.shared for e in same.compile_report()][-1:] == [True]


def test_folding_can_be_switched_off():
    model = make()
    model.compile(passes=DEFAULT_PASSES)
    assert not model._kgraph.programs.inference().program.folds
    np.testing.assert_allclose(model.predict(X, verbose=0), unfolded(model), rtol=1e-6)
    model.compile()
    check(model)


def test_a_changed_sequential_model_is_lowered_anew():
    model = Sequential([Input((4,)), Dense(3), BatchNormalization()])
    before, graph = model.predict(X, verbose=0), model.graph
    model.pop()
    model.add(BatchNormalization())
    assert model.graph == graph, "the same, of other layers"
    model.layers[-1].gamma.assign(np.zeros(3))
    assert float(np.abs(before).max()) > 0 == float(np.abs(model.predict(X, verbose=0)).max())


@pytest.mark.parametrize("weights", ["beside", pytest.param("inside", marks=pytest.mark.slow)])
def test_exports_hold_folded_weights(tmp_path, weights):
    pytest.importorskip("flatbuffers")
    model = make()
    model.fit(X, Y, epochs=1, batch_size=4, verbose=0)
    model.export(tmp_path / "m.stablehlo", weights=weights)
    exported = kgraph.export.load(tmp_path / "m.stablehlo")
    np.testing.assert_allclose(exported(X), unfolded(model), rtol=1e-5, atol=1e-6)
    names = sorted(exported.weights)
    assert not any("moving" in name for name in names)
    assert bool(names) == (weights == "beside")


def test_folded_weights_lie_where_the_user_has_put_the_weights():
    model = make()
    wanted = check(model)
    mesh = jax.sharding.Mesh(jax.devices()[:2], ("model",))
    place = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, "model"))
    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    kernel = model.layers[1].kernel
    for weight in model.weights:
        weight.assign(jax.device_put(weight.value, place if weight is kernel else whole))
    folded = model._kgraph.programs.inference().variables()["params"]["dense+batch_normalization"]
    assert folded["kernel"].sharding == place
    assert folded["bias"].sharding == whole
    np.testing.assert_allclose(model(X), wanted, rtol=1e-5, atol=1e-6)
