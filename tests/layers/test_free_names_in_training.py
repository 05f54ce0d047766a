"""Losses, metrics, optimizers and callbacks of the user's: names that Keras lacks are free."""

import copy

import jax.numpy as jnp
import keras
import numpy as np
import pytest
from free_names import WAYS, names_not_of, subclass

import kgraph
from kgraph.saving import load_model
from kgraph.training.callbacks.callback import give_state, state_of, wants_batches

X = np.ones((6, 3), "float32")
Y = np.ones((6, 2), "float32")
_METRIC = "build built add_total accumulate init update compute ensure_built"
_OPTIMIZER = """averaged current_learning_rate decay_of finalize init schedule sync_learning_rate
    transformation update"""
_CALLBACK = "from_config get_config get_state set_state state_attributes wants_batches"
DOCUMENTED = {
    kgraph.losses.Loss: set(),
    kgraph.metrics.Metric: set(_METRIC.split()),
    kgraph.optimizers.SGD: set(_OPTIMIZER.split()),
    kgraph.optimizers.schedules.LearningRateSchedule: set(),
    kgraph.callbacks.Callback: set(_CALLBACK.split()),
}
"""What a class is meant to define, or to call, beyond Keras."""

KERAS = {
    kgraph.losses.Loss: keras.losses.Loss,
    kgraph.metrics.Metric: keras.metrics.Mean,
    kgraph.optimizers.SGD: keras.optimizers.SGD,
    kgraph.optimizers.schedules.LearningRateSchedule: (
        keras.optimizers.schedules.LearningRateSchedule
    ),
    kgraph.callbacks.Callback: keras.callbacks.Callback,
}

KEPT_APART = {kgraph.optimizers.SGD, kgraph.callbacks.Callback}
"""Whose private names begin with `_kgraph`, all of them."""


class Gap(kgraph.losses.Loss):
    def call(self, y_true, y_pred):
        return abs(y_true - y_pred).mean(axis=-1)


class Total(kgraph.metrics.Metric):
    def __init__(self, **options):
        super().__init__(**options)
        self.seen = self.add_weight(shape=(), name="seen")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.seen = self.seen + 1

    def result(self):
        return self.seen


@pytest.mark.parametrize("way", [*WAYS, "property", "method"])
@pytest.mark.filterwarnings("ignore:.*what nobody registered")
def test_any_name_may_be_used_in_a_loss_and_a_metric(way: str, tmp_path):
    loss_names = names_not_of(keras.losses.MeanSquaredError(), kgraph.losses.Loss())
    metric_names = names_not_of(keras.metrics.Mean(), kgraph.metrics.Metric(name="m"))
    metric_names = [n for n in metric_names if n not in ("build", "built")]
    loss, metric = subclass(Gap, loss_names, way), subclass(Total, metric_names, way)
    model = kgraph.Sequential([kgraph.Input((3,)), kgraph.layers.Dense(2)])
    model.compile("sgd", loss(), metrics=[metric(name="total")])
    before = model.get_weights()[0]
    history = model.fit(X, Y, batch_size=2, verbose=0).history
    assert history["total"] == [3]
    assert not np.array_equal(model.get_weights()[0], before)
    assert copy.deepcopy(model).evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)
    model.save(tmp_path / "model.kgraph")
    classes = {cls.__name__: cls for cls in (loss, metric)}
    loaded = load_model(tmp_path / "model.kgraph", custom_objects=classes)
    assert loaded.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)


@pytest.mark.parametrize("base", DOCUMENTED, ids=lambda cls: cls.__name__)
def test_they_offer_keras_names_and_the_documented_extras(base: type):
    theirs = set(dir(KERAS[base]()))
    ours = dir(base())
    assert {n for n in ours if not n.startswith("_")} - theirs == DOCUMENTED[base]
    private = {n for n in ours if n[0] == "_" and n[:2] != "__"} - theirs
    assert all(name.startswith("_kgraph") for name in private if base in KEPT_APART)


class Rate(kgraph.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        return 0.5 / (np.float32(1) + jnp.asarray(step, "float32"))


class Counting(kgraph.callbacks.Callback):
    """Counts batches, and takes the count back in a training that goes on."""

    state_attributes = ("batches",)

    def __init__(self):
        super().__init__()
        self.batches = 0

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1


@pytest.mark.parametrize("way", [*WAYS, "property", "method"])
@pytest.mark.filterwarnings("ignore:.*what nobody registered")
def test_any_name_may_be_used_in_an_optimizer_and_a_schedule(way: str, tmp_path):
    sgd = kgraph.optimizers.SGD
    names = names_not_of(keras.optimizers.SGD(), sgd())
    if way == "method":  # two arguments are what these hooks have, so this would be the hook
        names = [name for name in names if name not in ("decay_of", "finalize")]
    optimizer = subclass(sgd, names, way)
    rates = names_not_of(Rate(), Rate())
    rate = subclass(Rate, [name for name in rates if not hasattr(Rate, name)], way)
    made = optimizer(learning_rate=0.5, momentum=0.5, use_ema=True, weight_decay=0.1)
    model = kgraph.Sequential([kgraph.Input((3,)), kgraph.layers.Dense(2)])
    same = kgraph.models.clone_model(model)
    same.set_weights(model.get_weights())
    for each, what in ((model, made), (same, sgd(**made.get_config()))):
        each.compile(what, "mse")
        each.fit(X, Y, verbose=0)
        each.optimizer.learning_rate = 0.25
        each.fit(X, Y, verbose=0)
    assert np.array_equal(model.get_weights()[0], same.get_weights()[0])

    model.save(tmp_path / "model.kgraph")
    classes = {cls.__name__: cls for cls in (optimizer, rate)}
    loaded = load_model(tmp_path / "model.kgraph", custom_objects=classes)
    for other in (loaded, copy.deepcopy(model)):
        assert type(other.optimizer) is optimizer
        assert float(other.optimizer.learning_rate) == 0.25
    followed = optimizer(learning_rate=rate())
    assert float(followed.learning_rate) == 0.5
    again = copy.deepcopy(followed)
    assert type(again.get_config()["learning_rate"]) is dict
    weight = kgraph.Variable(np.ones(2, "float32"))
    followed.apply([np.ones(2, "float32")], [weight])  # by hand
    assert float(followed.learning_rate) == 0.25


@pytest.mark.parametrize("way", [*WAYS, "property", "method"])
def test_any_name_may_be_used_in_a_callback(way: str):
    names = names_not_of(keras.callbacks.Callback(), kgraph.callbacks.Callback())
    if way not in ("property", "method"):
        names = [name for name in names if name not in Counting().__dict__]
    callback = subclass(Counting, names, way)()
    model = kgraph.Sequential([kgraph.Input((3,)), kgraph.layers.Dense(2)])
    model.compile("sgd", "mse")
    model.fit(X, Y, batch_size=2, verbose=0, callbacks=[callback])
    assert callback.batches == 3
    assert wants_batches(callback, "train")
    assert not wants_batches(callback, "test")
    twin = copy.deepcopy(callback)
    twin.batches = 0
    give_state(twin, {"batches": 7})
    assert (twin.batches, state_of(callback)) == (7, {"batches": 3})
