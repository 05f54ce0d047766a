"""DataParallel: the training of one device, on eight."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import spread_models as m

import kgraph
from kgraph import callbacks, distribution, optimizers
from kgraph.training.compilation import Compiler


def data_parallel() -> distribution.DataParallel:
    return distribution.DataParallel()


def trained(build, spread, batch_size=16, epochs=2):
    """Returns a model and all numbers that fit, evaluate, predict and calls gave."""
    x, model = m.X, m.compiled(build, spread)
    held = {"validation_data": (x, m.Y)}
    fit = model.fit(
        x, m.Y, batch_size=batch_size, epochs=epochs, verbose=0, sample_weight=m.WEIGHTS, **held
    )
    found = {
        "history": fit.history,
        "weights": model.get_weights(),
        "evaluate": model.evaluate(x, m.Y, sample_weight=m.WEIGHTS, verbose=0),
        "by 12": model.evaluate(x, m.Y, batch_size=12, verbose=0),
        "predict": model.predict(x, batch_size=12, verbose=0),
        "call": np.asarray(model(x[:5])),
    }
    return model, found


def fitted(build, spread, optimizer="adam", x=m.X):
    """Returns history and weights of a short training."""
    model = m.compiled(build, spread, optimizer)
    fit = model.fit(x, m.Y, batch_size=16, epochs=2, verbose=0, sample_weight=m.WEIGHTS)
    return fit.history, model.get_weights()


@pytest.mark.parametrize("batch_size", [16, pytest.param(12, marks=pytest.mark.slow)])
def test_dropout_loss_and_metrics_are_those_of_one_device(batch_size):
    one, ours = (trained(m.dropping, d, batch_size=batch_size) for d in (None, data_parallel()))
    m.assert_close(one[1], ours[1])
    assert one[0]._kgraph.trainer.engine.placement is None
    for weight in ours[0].weights:
        assert len(weight.value.devices()) == 8
        assert weight.value.is_fully_replicated
    moments = jax.tree.leaves(ours[0]._kgraph.trainer.state()["optimizer"])
    assert all(len(leaf.devices()) == 8 for leaf in moments)


def test_statistics_of_batches_are_over_all_devices():
    m.assert_close(fitted(m.normalized, None), fitted(m.normalized, data_parallel()))


@pytest.mark.slow
def test_statistics_of_batches_that_cannot_be_cut():
    with pytest.warns(UserWarning, match="12 rows cannot be cut into 8 equal parts"):
        again = trained(m.normalized, data_parallel(), batch_size=12)
    m.assert_close(trained(m.normalized, None, batch_size=12)[1], again[1])


def test_each_device_computes_its_rows():
    model = trained(m.dropping, data_parallel(), epochs=1)[0]
    (train,) = [
        found.as_text()
        for key, function in model._kgraph.trainer.engine._functions.items()
        if key[0] == "train"
        for found in function._executables.values()
    ]
    gathered = set(re.findall(r"= \w+(\[[\d,]*\])\S* gather\(", train))
    assert gathered == {"[2,1,8]", "[2,1]"}  # 2 rows of 16, of features and of what has one number
    assert "all-reduce" in train


@pytest.mark.slow
@pytest.mark.parametrize("build", [m.convolutional, m.recurrent], ids=lambda f: f.__name__)
def test_convolutions_and_masked_recurrence(build):
    x = m.IMAGES if build is m.convolutional else m.WORDS
    m.assert_close(fitted(build, None, x=x), fitted(build, data_parallel(), x=x), 2e-5)


OPTIMIZERS = {
    "averaged": lambda: optimizers.SGD(0.1, momentum=0.9, use_ema=True, ema_momentum=0.5),
    "accumulating": lambda: optimizers.Lamb(
        0.01, gradient_accumulation_steps=2, global_clipnorm=0.1
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name):
    make = OPTIMIZERS[name]
    one, ours = (fitted(m.mlp, spread, make()) for spread in (None, data_parallel()))
    m.assert_close(one, ours, 2e-5)


@pytest.mark.slow
def test_mixed_precision_with_a_scaled_loss():
    kgraph.config.set_dtype_policy("mixed_float16")
    m.assert_close(fitted(m.dropping, None), fitted(m.dropping, data_parallel()), 3e-3)


def batches(size=12):
    for low in range(0, m.ROWS, size):
        yield m.X[low : low + size], m.Y[low : low + size], m.WEIGHTS[low : low + size]


def streamed(build, spread, on_batch=True):
    model = m.compiled(build, spread)
    history = model.fit(list(batches()), epochs=2, verbose=0).history
    if not on_batch:
        return history, model.get_weights()
    on_batch = model.train_on_batch(m.X[:5], m.Y[:5]), model.test_on_batch(m.X[:5], m.Y[:5])
    found = model.evaluate(list(batches()), verbose=0), model.predict(list(batches()), verbose=0)
    return history, on_batch, found, model.predict_on_batch(m.X[:3]), model.get_weights()


def test_streams():
    one, ours = (streamed(m.dropping, spread, False) for spread in (None, data_parallel()))
    m.assert_close(one, ours)


@pytest.mark.slow
def test_streams_and_single_batches():
    m.assert_close(streamed(m.dropping, None), streamed(m.dropping, data_parallel()))


@pytest.mark.slow
def test_streams_that_cannot_be_padded():
    with pytest.warns(UserWarning, match="12 rows cannot be cut"):
        ours = streamed(m.normalized, data_parallel())
    m.assert_close(streamed(m.normalized, None), ours)


class Meddler(callbacks.Callback):
    """Reads and sets weights, and the learning rate, in the middle of an epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == 0:
            self.model.optimizer.learning_rate = 0.02
        if batch == 1:
            kernel = self.model.layers[-1].kernel
            kernel.assign(jax.device_put(kernel.numpy() + 0.5, jax.devices()[0]))
            self.logs = logs


def test_callbacks_reach_weights_and_learning_rate():
    found = []
    for spread in (None, data_parallel()):
        model, meddler = m.compiled(m.dropping, spread), Meddler()
        history = model.fit(
            m.X, m.Y, batch_size=16, epochs=2, verbose=0, callbacks=[meddler], check_finite=True
        )
        found.append((history.history, meddler.logs, model.get_weights()))
    m.assert_close(*found)


class Interrupt(callbacks.Callback):
    """Ctrl-C after a batch."""

    def on_train_batch_end(self, batch, logs=None):
        raise KeyboardInterrupt


def test_an_interrupt_leaves_a_model_that_goes_on():
    found = []
    for spread in (None, data_parallel()):
        model = m.compiled(m.dropping, spread)
        with pytest.raises(KeyboardInterrupt):
            model.fit(m.X, m.Y, batch_size=16, verbose=0, callbacks=[Interrupt()])
        first = model.get_weights()
        history = model.fit(m.X, m.Y, batch_size=16, verbose=0).history
        found.append((first, history, model.get_weights()))
    m.assert_close(*found)


@pytest.mark.slow
def test_a_loss_of_ones_own_sees_the_whole_batch():
    def loss_fn(program, variables, batch, key):
        outputs, state = program.apply(variables, batch.x, training=key is not None, key=key)
        picked = jnp.take_along_axis(outputs, batch.y[:, None].astype(jnp.int32), 1)
        return -jnp.log(jnp.mean(picked)), {"state": state, "outputs": outputs}

    found = []
    for spread in (None, data_parallel()):
        model = m.compiled(m.dropping, spread, loss_fn=loss_fn, weighted_metrics=None)
        history = model.fit(m.X, m.Y, batch_size=8, epochs=2, verbose=0)
        found.append((history.history, model.get_weights()))
    m.assert_close(*found)


@pytest.mark.slow
def test_what_is_in_force_counts_where_compile_was_not_told():
    one = trained(m.dropping, None, epochs=1)[1]
    spread = data_parallel()
    with spread.scope():
        model = m.compiled(m.dropping, None)
    assert distribution.distribution() is None
    fit = {"batch_size": 16, "verbose": 0, "sample_weight": m.WEIGHTS}
    history = model.fit(m.X, m.Y, validation_data=(m.X, m.Y), **fit)
    m.assert_close(history.history, one["history"])
    assert model._kgraph.trainer.engine.placement.distribution is spread
    plain = kgraph.models.clone_model(model)
    with spread.scope():
        plain.predict(m.X, verbose=0)
        assert len(plain.weights[0].value.devices()) == 8


def test_a_distribution_ends_with_the_next_compile():
    model, found = trained(m.dropping, data_parallel(), epochs=1)
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert len(model.weights[0].value.devices()) == 8
    m.assert_close(model.predict(m.X, batch_size=12, verbose=0), found["predict"])
    assert all(len(weight.value.devices()) == 1 for weight in model.weights)
    model.fit(m.X, m.Y, verbose=0)
    with data_parallel().scope():
        model.fit(m.X, m.Y, verbose=0)
        assert len(jax.tree.leaves(model._kgraph.trainer.state()["optimizer"])[0].devices()) == 8
    model.fit(m.X, m.Y, verbose=0)
    moments = jax.tree.leaves(model._kgraph.trainer.state()["optimizer"])
    assert all(len(leaf.devices()) == 1 for leaf in moments)


def test_equal_programs_on_other_devices_are_not_shared():
    compiler = Compiler()
    arrays = [jax.device_put(jnp.ones(3), device) for device in jax.devices()[:2]]
    for array in arrays:
        made = compiler.compile("double", lambda a: 2 * a, (), (), (array,))
        assert made(array).devices() == array.devices()


@pytest.mark.slow
def test_a_mesh_of_some_devices_leaves_the_others_alone():
    some = distribution.DataParallel(devices=distribution.list_devices()[2:5])
    model, found = trained(m.dropping, some, epochs=1)
    m.assert_close(trained(m.dropping, None, epochs=1)[1], found)
    assert model.weights[0].value.devices() == set(jax.devices()[2:5])
