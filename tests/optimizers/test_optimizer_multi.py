"""Several optimizers for one model: the weights of Keras' MultiOptimizer, and who gets what."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from optimizer_oracle import assert_same_weights, gradients, random_tree, run_keras, run_kgraph

from kgraph import optimizers
from kgraph.errors import ConfigError
from kgraph.optimizers import MultiOptimizer, OptimizerMap
from kgraph.optimizers.learning_rate import LearningRateError


def mapped(library, **options):
    """Returns the same MultiOptimizer of kgraph or Keras; 'dense/bias' is an exact key."""
    chosen = library.OptimizerMap(
        library.Adam(0.02, global_clipnorm=0.5),
        {
            "dense/.*": library.SGD(0.1, momentum=0.9, weight_decay=0.01),
            "dense/bias": library.RMSprop(0.01, use_ema=True, ema_momentum=0.5),
        },
    )
    return library.MultiOptimizer(chosen, **options)


def test_weights_are_those_of_keras():
    ours, theirs = mapped(optimizers), mapped(keras.optimizers)
    params, state = run_kgraph(ours, gradients(1.0, 8))
    assert_same_weights(params, run_keras(theirs, gradients(1.0, 8)))
    assert int(state.step) == 8
    assert sorted(state.parts) == ["0", "1", "2"]
    assert ours.use_ema
    final = ours.finalize(params, state)
    finalized = run_keras(mapped(keras.optimizers), gradients(1.0, 8), finalize=True)
    assert_same_weights(final, finalized)
    assert not np.array_equal(final["dense"]["bias"], params["dense"]["bias"])


def test_a_function_chooses_once_for_each_path():
    asked = []

    def choose(parameter):
        asked.append(parameter.path)
        return optimizers.Adam(0.02) if len(parameter.shape) == 2 else optimizers.SGD(0.1)

    def keras_choose(variable):
        flat = len(variable.shape) == 2
        return keras.optimizers.Adam(0.02) if flat else keras.optimizers.SGD(0.1)

    ours = MultiOptimizer(choose)
    params, _ = run_kgraph(ours, gradients(1.0, 4))
    theirs = run_keras(keras.optimizers.MultiOptimizer(keras_choose), gradients(1.0, 4))
    assert_same_weights(params, theirs)
    assert asked == ["dense/bias", "dense/kernel", "embedding/table", "scan/stack"]
    assert len(ours.optimizers) == 4


def test_the_loss_is_scaled_once():
    optimizer = mapped(optimizers, loss_scale_factor=8.0)
    params = random_tree(np.random.default_rng(0))
    assert float(optimizer.scale_loss(jnp.float32(2.0), optimizer.init(params))) == 16.0
    grads = gradients(1.0, 3)
    scaled = [jax.tree.map(lambda g: 8.0 * g, tree) for tree in grads]
    assert_same_weights(run_kgraph(optimizer, scaled)[0], run_kgraph(mapped(optimizers), grads)[0])
    wrapped = optimizers.LossScaleOptimizer(mapped(optimizers), initial_scale=8.0)
    assert_same_weights(run_kgraph(wrapped, scaled)[0], run_kgraph(mapped(optimizers), grads)[0])


def test_each_optimizer_has_its_own_learning_rate():
    optimizer = mapped(optimizers)
    state = optimizer.init(random_tree(np.random.default_rng(0)))
    assert optimizer.sync_learning_rate(state) is state
    optimizer.optimizers[0].learning_rate = 0.5
    state = optimizer.sync_learning_rate(state)
    assert float(state.parts["0"].learning_rate) == 0.5
    other = mapped(optimizers)
    other._kgraph_adopt_rate(state)
    assert [part.learning_rate for part in other.optimizers] == pytest.approx([0.5, 0.01, 0.02])
    with pytest.raises(LearningRateError, match=r"can be read[\s\S]*optimizer\.optimizers"):
        _ = optimizer.learning_rate
    with pytest.raises(LearningRateError, match="can be set"):
        optimizer.learning_rate = 0.1


def test_it_survives_its_config_and_reads_that_of_keras():
    optimizer = mapped(optimizers, loss_scale_factor=2.0, name="mine")
    again = optimizers.deserialize(json.loads(json.dumps(optimizers.serialize(optimizer))))
    assert again.get_config() == optimizer.get_config()
    read = optimizers.deserialize(keras.optimizers.serialize(mapped(keras.optimizers)))
    for mine, other in zip(read.optimizers, mapped(optimizers).optimizers, strict=True):
        assert type(mine) is type(other)
        rate = mine.get_config().pop("learning_rate")
        assert rate == pytest.approx(other.get_config()["learning_rate"])


def test_a_pattern_that_matches_nothing_is_said():
    optimizer = MultiOptimizer(OptimizerMap("sgd", {"dence/.*": "adam"}))
    with pytest.warns(UserWarning, match=r"'dence/\.\*'[\s\S]*among dense/bias, dense/kernel"):
        optimizer.init(random_tree(np.random.default_rng(0)))


def test_a_map_is_a_mapping():
    chosen = OptimizerMap("sgd")
    chosen["a/.*"] = adam = optimizers.Adam()
    assert (chosen["a/b"], chosen["b"], len(chosen), list(chosen)) == (
        adam, chosen.default_optimizer, 1, ["a/.*"],
    )  # fmt: skip
    assert chosen
    del chosen["a/.*"]
    assert chosen["a/b"] is chosen.default_optimizer
    assert OptimizerMap("sgd")  # without keys, too


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: OptimizerMap("sgd", {"a": "adam", "[": "adam"}), r"'\[' is no regular expression"),
        (lambda: OptimizerMap("sgd", {3: "adam"}), "3 is no regular expression"),
        (lambda: OptimizerMap("sgd", {"a": "adam"}).__setitem__("a", "sgd"), r"'a' already"),
        (
            lambda: OptimizerMap("sgd", {"a.*": "adam", ".*b": "sgd"})["ab"],
            r"'ab' matches several keys of the OptimizerMap",
        ),
        (lambda: MultiOptimizer("adam"), r"needs an OptimizerMap or a function"),
        (
            lambda: MultiOptimizer(OptimizerMap(optimizers.LossScaleOptimizer("adam"))),
            r"LossScaleOptimizer cannot be part[\s\S]*LossScaleOptimizer\(MultiOptimizer",
        ),
        (
            lambda: MultiOptimizer(OptimizerMap(optimizers.SGD(loss_scale_factor=2.0))),
            r"SGD cannot be part[\s\S]*loss_scale_factor=2\.0",
        ),
        (
            lambda: MultiOptimizer(OptimizerMap(MultiOptimizer(OptimizerMap("sgd")))),
            r"MultiOptimizer cannot be part",
        ),
        (lambda: MultiOptimizer(lambda _: "adam").init({"w": jnp.ones(1)}), r"needs optimizers"),
    ],
    ids=["regex", "key", "twice", "several", "name", "scaling", "factor", "nested", "chosen"],
)
def test_what_cannot_work_is_refused(make, text):
    with pytest.raises(ConfigError, match=text):
        make()


def test_every_public_name_of_keras_is_here():
    # `legacy` holds what Keras keeps for files of Keras 2.
    theirs = {name for name in dir(keras.optimizers) if not name.startswith("_")} - {"legacy"}
    assert theirs - set(optimizers.__all__) == set()
    schedules = {n for n in dir(keras.optimizers.schedules) if not n.startswith("_")}
    assert schedules - set(optimizers.schedules.__all__) == set()
