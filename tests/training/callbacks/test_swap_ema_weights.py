"""SwapEMAWeights: validation with averages, as in Keras, and weights that come back."""

from __future__ import annotations

import contextlib

import jax
import keras
import numpy as np
import pytest

import kgraph
from kgraph.errors import ConfigError
from kgraph.layers.base.tree import named_weights

RTOL = 2e-5  # float32 sums in another order, over two dozen small steps


def lenient(library):
    stack = contextlib.ExitStack()
    if library is keras:
        stack.enter_context(jax.numpy_dtype_promotion("standard"))
        stack.enter_context(jax.numpy_rank_promotion("allow"))
    return stack


def data():
    x = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
    return x, x @ np.array([[1.0], [-2.0], [0.5], [0.0]], "float32")


def compiled(library, wrap=lambda library, optimizer: optimizer, **options):
    inputs = library.Input((4,))
    x = library.layers.BatchNormalization(name="norm")(inputs)
    model = library.Model(inputs, library.layers.Dense(1, name="head")(x))
    model.layers[-1].set_weights([np.full((4, 1), 0.3, "float32"), np.ones(1, "float32")])
    optimizer = library.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.8, **options)
    model.compile(wrap(library, optimizer), "mse")
    return model


def trained(library, callbacks, epochs=3, **options):
    x, y = data()
    with lenient(library):
        model = compiled(library, **options)
        history = model.fit(
            x, y, batch_size=4, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks,
            validation_data=(x[:7], y[:7]),
        )  # fmt: skip
    return model, history.history


def by_path(library, optimizer):
    return library.optimizers.MultiOptimizer(
        library.optimizers.OptimizerMap(library.optimizers.SGD(0.05), {"head/.*": optimizer})
    )


def scaled(library, optimizer):
    return library.optimizers.LossScaleOptimizer(optimizer, 8.0)


@pytest.mark.parametrize(
    ("on_epoch", "wrap"),
    [
        pytest.param(False, None, id="plain", marks=pytest.mark.slow),
        pytest.param(True, None, id="on epoch"),
        pytest.param(False, by_path, id="multi", marks=pytest.mark.slow),
        pytest.param(True, by_path, id="multi, on epoch", marks=pytest.mark.slow),
        pytest.param(False, scaled, id="scaled", marks=pytest.mark.slow),
    ],
)
def test_training_is_that_of_keras(on_epoch, wrap):
    options = {} if wrap is None else {"wrap": wrap}
    seen, histories, weights = {}, [], []
    for library in (kgraph, keras):
        seen[library] = []

        class Watch(library.callbacks.Callback):
            kept = seen[library]

            def on_epoch_end(self, epoch, logs=None):
                self.kept.append([np.asarray(w) for w in self.model.get_weights()])

        swap = library.callbacks.SwapEMAWeights(swap_on_epoch=on_epoch)
        model, history = trained(library, [swap, Watch()], **options)
        histories.append(history)
        weights.append(model.get_weights())
    for key, values in histories[1].items():
        np.testing.assert_allclose(histories[0][key], values, rtol=RTOL, err_msg=key)
    for ours, theirs in zip((*seen[kgraph], weights[0]), (*seen[keras], weights[1]), strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=RTOL, atol=1e-5)


def test_validation_sees_the_average_and_training_does_not():
    plain, swapped = trained(kgraph, []), trained(kgraph, [kgraph.callbacks.SwapEMAWeights()])
    assert plain[1]["loss"] == swapped[1]["loss"]
    assert plain[1]["val_loss"] != swapped[1]["val_loss"]
    for a, b in zip(plain[0].get_weights(), swapped[0].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_predict_and_evaluate_use_the_average_and_put_the_weights_back():
    """Keras leaves the average in place after `predict`."""
    model, _ = trained(kgraph, [])
    x, y = data()
    averaged = model.predict(x, verbose=0)
    model.get_layer("head").set_weights([np.zeros((4, 1)), np.zeros(1)])
    before = model.get_weights()
    swap = kgraph.callbacks.SwapEMAWeights()
    np.testing.assert_array_equal(model.predict(x, verbose=0, callbacks=[swap]), averaged)
    expected = np.mean((averaged - y) ** 2)
    loss = model.evaluate(x, y, verbose=0, callbacks=[swap])
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_optimizer_without_an_average_is_refused_before_training():
    inputs = kgraph.Input((4,))
    model = kgraph.Model(inputs, kgraph.layers.Dense(1)(inputs))
    model.compile("adam", "mse")
    with pytest.raises(ConfigError, match=r"SwapEMAWeights[\s\S]*Adam[\s\S]*use_ema=True"):
        model.fit(*data(), verbose=0, callbacks=[kgraph.callbacks.SwapEMAWeights()])


def test_its_state_holds_the_weights_that_training_goes_on_with():
    """A checkpoint between epochs sees the average; the weights of the training are kept here."""
    states = []

    class Look(kgraph.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            states.append(swap.get_state())

    swap = kgraph.callbacks.SwapEMAWeights(swap_on_epoch=True)
    trained(kgraph, [swap, Look()], epochs=1)
    model, _ = trained(kgraph, [], epochs=1)
    other = kgraph.callbacks.SwapEMAWeights(swap_on_epoch=True)
    other.set_model(model)
    other.set_state(states[0])
    average = model.get_weights()  # what fit ended with
    other.on_epoch_begin(1)
    assert sorted(states[0]["_own"]) == ["head/bias", "head/kernel", "norm/beta", "norm/gamma"]
    for path, weight in named_weights(model):
        if path in states[0]["_own"]:
            np.testing.assert_array_equal(weight.numpy(), states[0]["_own"][path])
    assert not all(np.array_equal(a, b) for a, b in zip(average, model.get_weights()))
