"""What fit leaves behind when something goes wrong, and what callbacks may do."""

from __future__ import annotations

import gc
import os
import signal
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from counting import compilations
from fit_models import classes, features

import kgraph
from kgraph.callbacks import Callback, LambdaCallback
from kgraph.errors import ConfigError, DataError, StateError


@pytest.fixture
def model() -> Any:
    inputs = kgraph.Input((6,), name="x")
    x = kgraph.layers.Dense(8, activation="relu", name="hidden")(inputs)
    made = kgraph.Model(inputs, kgraph.layers.Dense(4, activation="softmax", name="y")(x))
    made.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


def _usable(model: Any) -> None:
    assert np.all(np.isfinite(model.predict(features(), verbose=0)))
    assert all(np.all(np.isfinite(w)) for w in model.get_weights())
    model.fit(features(), classes(), epochs=1, verbose=0)


def test_ctrl_c_at_any_time_leaves_the_weights_of_a_finished_step(model: Any) -> None:
    model.fit(features(), classes(), epochs=1, verbose=0)
    random = np.random.default_rng(0)
    for _ in range(20):
        delay = float(random.uniform(0.0, 0.05))
        timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - it may come before fit begins
            timer.start()
            model.fit(features(), classes(), batch_size=8, epochs=10**6, verbose=0)
        timer.join()
        assert np.all(np.isfinite(model.predict(features()[:4], verbose=0)))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    _usable(model)


def test_ctrl_c_while_jax_looks_something_up_arrives_as_it_is(model: Any) -> None:
    def stop(epoch: int, logs: Any) -> None:  # as jax 0.12 tells it
        raise ValueError("Cache keys should be comparable using __eq__. [...]\nKeyboardInterrupt: ")

    with pytest.raises(KeyboardInterrupt):
        model.fit(features(), classes(), verbose=0, callbacks=[LambdaCallback(on_epoch_begin=stop)])
    _usable(model)


def test_history_keeps_the_epochs_before_an_interrupt(model: Any) -> None:
    def stop(epoch: int, logs: Any) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"^stopped after step 0 of epoch 3; weights kept$"):
        model.fit(
            features(),
            classes(),
            epochs=9,
            verbose=0,
            callbacks=[LambdaCallback(on_epoch_begin=stop)],
        )
    assert model.history.epoch == [0, 1]
    _usable(model)


def test_an_interrupt_says_after_which_step_it_came(model: Any) -> None:
    def stop(batch: int, logs: Any) -> None:
        if batch == 1 and model.history.epoch == [0]:
            raise KeyboardInterrupt

    model.fit(features(), classes(), epochs=1, verbose=0)  # steps of an earlier training
    with pytest.raises(KeyboardInterrupt, match=r"^stopped after step 2 of epoch 2; weights kept$"):
        model.fit(
            features(), classes(), batch_size=8, epochs=9, verbose=0,
            callbacks=[LambdaCallback(on_train_batch_end=stop)],
        )  # fmt: skip


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_epoch_end", "on_train_begin"])
def test_an_exception_in_a_callback_arrives_and_the_model_lives(model: Any, hook: str) -> None:
    error = RuntimeError("mine")

    def fail(*_: Any) -> None:
        raise error

    with pytest.raises(RuntimeError) as caught:
        model.fit(
            features(), classes(), epochs=2, verbose=0, callbacks=[LambdaCallback(**{hook: fail})]
        )
    assert caught.value is error
    _usable(model)


def test_an_exception_in_a_generator_arrives_and_the_model_lives(model: Any) -> None:
    error = RuntimeError("mine")

    def batches() -> Iterator[Any]:
        yield features()[:8], classes()[:8]
        raise error

    with pytest.raises(RuntimeError) as caught:
        model.fit(batches(), epochs=1, verbose=0)
    assert caught.value is error
    _usable(model)


def test_a_generator_that_ends_early_warns_and_stops(model: Any) -> None:
    batches = ((features()[:8], classes()[:8]) for _ in range(3))
    with pytest.warns(UserWarning, match="10 batches were wanted and 3 given"):
        history = model.fit(batches, steps_per_epoch=10, epochs=4, verbose=0)
    assert history.epoch == [0]


def test_arrays_that_the_user_holds_survive_training(model: Any) -> None:
    held = model.get_layer("hidden").kernel.value
    before = np.array(held)
    model.fit(features(), classes(), epochs=2, verbose=0)
    np.testing.assert_array_equal(held, before)
    assert not np.array_equal(model.get_layer("hidden").kernel.numpy(), before)


def test_callbacks_read_and_set_weights_during_training(model: Any) -> None:
    seen: list[np.ndarray] = []

    class Zero(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seen.append(self.model.get_weights()[0])
            if epoch == 1:
                self.model.set_weights([np.zeros_like(w) for w in self.model.get_weights()])
                self.model.stop_training = True

    model.fit(features(), classes(), epochs=5, verbose=0, callbacks=[Zero()])
    assert len(seen) == 2
    assert not np.array_equal(seen[0], seen[1])
    assert all(np.all(w == 0) for w in model.get_weights())


def test_a_callback_may_predict_during_training(model: Any) -> None:
    shapes: list[Any] = []
    predict = LambdaCallback(
        on_epoch_end=lambda *_: shapes.append(model.predict(features(), verbose=0).shape)
    )
    model.fit(features(), classes(), epochs=2, verbose=0, callbacks=[predict])
    assert shapes == [(40, 4)] * 2


def test_shared_layers_keep_one_set_of_weights_through_training(model: Any) -> None:
    head = kgraph.Model(model.input, model.get_layer("hidden").output)
    before = head.predict(features(), verbose=0)
    model.fit(features(), classes(), epochs=1, verbose=0)
    after = head.predict(features(), verbose=0)
    assert not np.array_equal(before, after)
    np.testing.assert_array_equal(head.get_weights()[0], model.get_weights()[0])


def test_frozen_layers_do_not_move_and_unfreezing_takes_effect(model: Any) -> None:
    hidden = model.get_layer("hidden")
    hidden.trainable = False
    before = hidden.get_weights()
    model.fit(features(), classes(), epochs=1, verbose=0)
    np.testing.assert_array_equal(hidden.get_weights()[0], before[0])
    hidden.trainable = True
    model.fit(features(), classes(), epochs=1, verbose=0)
    assert not np.array_equal(hidden.get_weights()[0], before[0])


def test_a_second_fit_and_a_new_learning_rate_compile_nothing(model: Any) -> None:
    model.fit(features(), classes(), epochs=1, verbose=0)

    def fit_twice() -> None:
        model.fit(features(), classes(), epochs=2, verbose=0)
        model.optimizer.learning_rate = 0.5
        model.fit(features(), classes(), epochs=1, verbose=0)

    assert compilations(fit_twice) == 0


def test_predict_on_no_rows_has_the_right_shape(model: Any) -> None:
    assert model.predict(features()[:0], verbose=0).shape == (0, 4)


def test_any_number_of_rows_gives_the_same_predictions(model: Any) -> None:
    whole = model.predict(features(), batch_size=40, verbose=0)
    for batch_size in (1, 7, 16, 64):
        part = model.predict(features(), batch_size=batch_size, verbose=0)
        np.testing.assert_allclose(part, whole, rtol=1e-5, atol=1e-6)


BAD = {
    "not compiled": (
        lambda m: kgraph.Model(m.input, m.output).fit(features(), classes()),
        StateError, r"must be compiled before fit[\s\S]*model\.compile\(",
    ),
    "unknown input": (
        lambda m: m.fit({"z": features()}, classes()),
        DataError, r"names of the model's inputs[\s\S]*expected +'x'[\s\S]*received +'z'",
    ),
    "unknown target": (
        lambda m: m.fit(features(), {"yy": classes()}),
        DataError, r"output that the model does not have: 'yy'[\s\S]*did you mean 'y'",
    ),
    "lengths": (
        lambda m: m.fit(features(), classes()[:3]),
        DataError, r"differ in their number of rows[\s\S]*\(40, 6\)[\s\S]*\(3,\)",
    ),
    "empty": (lambda m: m.fit(features()[:0], classes()[:0]), DataError, "no rows"),
    "nan labels": (
        lambda m: m.fit(features(), np.where(classes() == 0, np.nan, 1.0)),
        DataError, r"NaN in \d+ of 40 rows",
    ),
    "label range": (
        lambda m: m.fit(features(), classes() + 1),
        DataError, r"expected +0 to 3[\s\S]*received +4 in \d+ of 40 rows",
    ),
    "negative label": (
        lambda m: m.fit(features(), classes() - 1), DataError, r"expected +0 to 3",
    ),
    "batch size": (
        lambda m: m.fit(features(), classes(), batch_size=0), DataError, "cannot be 0",
    ),
    "width": (
        lambda m: m.fit(features()[:, :5], classes()),
        DataError, r"'x' has the wrong size[\s\S]*\[batch, 6\][\s\S]*\[32, 5\]",
    ),
    "no data": (lambda m: m.fit(None), DataError, "no data"),
    "epochs": (lambda m: m.fit(features(), classes(), epochs=1.5), ConfigError, "whole number"),
    "optimizer": (lambda m: m.compile("adamm"), ConfigError, r"adamm[\s\S]*'adam'"),
    "loss name": (lambda m: m.compile("adam", "msee"), ConfigError, r"msee[\s\S]*'mse'"),
    "loss key": (
        lambda m: m.compile("adam", {"z": "mse"}),
        ConfigError, r"output that the model does not have: 'z'[\s\S]*'y'",
    ),
    "metric name": (
        lambda m: m.compile("adam", "mse", metrics=["acuracy"]), ConfigError, "acuracy",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD.values(), ids=list(BAD))
def test_bad_input_is_one_clear_error_and_nothing_is_lost(model: Any, case: Any) -> None:
    call, error, text = case
    before = model.get_weights()
    with pytest.raises(error, match=text):
        call(model)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_word_ids_out_of_range_are_refused_with_the_layers_name() -> None:
    inputs = kgraph.Input((None,), name="words")
    x = kgraph.layers.Embedding(10, 4, name="table")(inputs)
    x = kgraph.layers.GlobalAveragePooling1D()(x)
    model = kgraph.Model(inputs, kgraph.layers.Dense(1)(x))
    model.compile("sgd", "mse")
    ids = np.full((8, 5), 10.0, np.float32)
    for call in (
        lambda: model.fit(ids, np.zeros((8, 1), np.float32), verbose=0),
        lambda: model.predict(ids, verbose=0),
    ):
        with pytest.raises(DataError, match=r"'table'"):
            call()


def test_a_loss_of_probabilities_on_a_linear_output_warns(model: Any) -> None:
    linear = kgraph.Model(model.input, kgraph.layers.Dense(4, name="raw")(model.input))
    linear.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.warns(UserWarning, match=r"'raw' has no softmax or sigmoid[\s\S]*from_logits=True"):
        linear.fit(features(), classes(), verbose=0)


@pytest.mark.parametrize("rows", [40, 8])
def test_a_callback_may_evaluate_during_training(model: Any, rows: int) -> None:
    def run(callbacks: Any) -> list[np.ndarray]:
        model.set_weights([np.full_like(w, 0.1) for w in model.get_weights()])
        kgraph.utils.set_random_seed(3)
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        history = model.fit(features(), classes(), epochs=3, verbose=0, callbacks=callbacks)
        return [*model.get_weights(), np.asarray(history.history["loss"])]

    logs: list[Any] = []
    x, y = features()[:rows], classes()[:rows]
    evaluate = LambdaCallback(on_epoch_end=lambda *_: logs.append(model.evaluate(x, y, verbose=0)))
    for one, other in zip(run([evaluate]), run([]), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len({loss for loss, _ in logs}) == 3


def test_training_inside_training_is_refused(model: Any) -> None:
    again = LambdaCallback(on_epoch_end=lambda *_: model.fit(features(), classes(), verbose=0))
    with pytest.raises(StateError, match="is being trained already"):
        model.fit(features(), classes(), verbose=0, callbacks=[again])
    _usable(model)


def test_nothing_of_a_finished_fit_keeps_arrays_alive(model: Any) -> None:
    model.fit(features(), classes(), verbose=0)
    kernel = model.get_layer("hidden").kernel
    old = weakref.ref(kernel.value)
    kernel.assign(np.zeros(kernel.shape, np.float32))
    gc.collect()
    assert old() is None


def test_weights_set_during_validation_stay(model: Any) -> None:
    zero = LambdaCallback()
    zero.on_test_end = lambda *_: model.set_weights([w * 0 for w in model.get_weights()])
    held = (features(), classes())
    model.fit(*held, epochs=1, validation_data=held, verbose=0, callbacks=[zero])
    assert all(np.all(w == 0) for w in model.get_weights())


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5])
def test_a_seed_that_is_none_is_refused(model: Any, seed: Any) -> None:
    with pytest.raises(ConfigError, match="seed"):
        model.fit(features(), classes(), seed=seed, verbose=0)
