"""ModelParallel: weights cut by rules for their paths."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import jax
import keras
import numpy as np
import pytest
import spread_models as m
from jax.sharding import PartitionSpec as P

import kgraph
from kgraph import Checkpoint, distribution, optimizers
from kgraph.errors import ConfigError
from kgraph.layers import BatchNormalization, Dense

ADAM = partial(optimizers.Adam, 0.01)


def trained(spread, build=m.blocks, epochs=2, x=m.X, **options):
    model = m.compiled(build, spread, ADAM(), **options)
    model.predict(x[:3], verbose=0)  # makes the weights
    history = model.fit(x, m.Y, batch_size=16, epochs=epochs, verbose=0, seed=1).history
    found = {
        "history": history,
        "weights": model.get_weights(),
        "evaluate": model.evaluate(x, m.Y, verbose=0),
        "predict": model.predict(x, batch_size=12, verbose=0),
        "call": np.asarray(model(x[:5])),
    }
    return model, found


def specs_of(tree) -> dict[str, P]:
    found = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path): leaf.sharding.spec for path, leaf in found}


def held_by_first_device(arrays) -> int:
    """Returns how many bytes of the arrays lie on the first device."""
    first = jax.devices()[0]
    shards = (shard for array in arrays for shard in array.addressable_shards)
    return sum(shard.data.nbytes for shard in shards if shard.device == first)


def test_a_model_that_is_cut_trains_as_a_whole_one():
    two = partial(m.blocks, 2)
    one, ours = (trained(spread, two, stack=False) for spread in (None, m.tensor_parallel()))
    m.assert_close(one[1], ours[1], 1e-5)
    model = ours[0]
    assert model.get_layer("up0").kernel.value.sharding.spec == P(None, "model")
    assert model.get_layer("up0").bias.value.sharding.spec == P("model")
    assert model.get_layer("down0").bias.value.is_fully_replicated
    moments = specs_of(model._kgraph.trainer.state()["optimizer"])
    kernels = {path: spec for path, spec in moments.items() if "['up1']['kernel']" in path}
    assert len(kernels) == 2  # Adam has two moments
    assert set(kernels.values()) == {P(None, "model")}


def test_each_device_holds_what_the_plan_says_from_the_start():
    model = m.compiled(m.blocks, m.tensor_parallel())
    plan = model._kgraph.programs.lowering.distribution.plan(model)
    assert not any(weight.has_value for weight in model.weights)
    model.predict(m.X[:3], verbose=0)
    assert held_by_first_device([w.value for w in model.weights]) == plan.bytes_per_device
    assert plan.total_bytes == sum(w.nbytes for w in model.weights)
    for row, weight in zip(plan.weights, model.weights, strict=True):
        assert row.path == weight.path
        shard = weight.value.addressable_shards[0].data
        assert (row.shape, row.bytes) == (weight.shape, shard.nbytes)


@pytest.mark.slow
def test_blocks_stay_cut_when_they_are_stacked_and_recomputed():
    options = {"stack": True, "remat": "blocks"}
    one, ours = trained(None, **options), trained(m.tensor_parallel(), **options)
    m.assert_close(one[1], ours[1], 1e-5)
    engine = ours[0]._kgraph.trainer.engine
    assert len(engine.program.stacks) == 1
    seen = []
    step = kgraph.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(specs_of(engine.state.params))
    )
    ours[0].fit(m.X, m.Y, batch_size=16, verbose=0, callbacks=[step])
    stacked = {path: spec for path, spec in seen[0].items() if "x4" in path}
    assert {spec for path, spec in stacked.items() if "'up0']['kernel'" in path} == {
        P(None, None, "model")
    }
    m.assert_close(ours[0].predict(m.X, verbose=0).sum(), float(m.ROWS), 1e-5)


@pytest.mark.slow
def test_blocks_that_are_cut_differently_are_not_stacked():
    spread = m.tensor_parallel()
    spread.layout_map["up2/kernel"] = ("model", None)
    with pytest.warns(UserWarning, match="remat='blocks' has no effect"):
        ours = trained(spread, stack=True, remat="blocks")
    m.assert_close(trained(None, stack=True)[1], ours[1], 1e-5)
    assert not ours[0]._kgraph.trainer.engine.program.stacks
    assert ours[0].get_layer("up2").kernel.value.sharding.spec == P("model")


def test_outputs_are_laid_out_as_the_map_says():
    model, _ = trained(m.tensor_parallel(), epochs=1, stack=False)
    program = model._kgraph.trainer.engine.program
    marked = {node.name: node.layout for node in program.graph.nodes if node.layout}
    assert marked == {f"up{n}": ("batch", "model") for n in range(4)}
    assert "Dense(norm0); spread along ('batch', 'model')" in str(program)
    inside = str(program.jaxpr(batch=16))
    assert len(re.findall("sharding_constraint", inside)) == 4
    assert "PartitionSpec('batch', 'model')" in inside or "P('batch', 'model')" in inside


@pytest.mark.slow
@pytest.mark.parametrize("where", ["file.kgraph", "folder/"])
def test_a_saved_model_goes_on_on_other_devices(tmp_path, where):
    whole = trained(None, epochs=4, stack=False)[1]
    model, _ = trained(m.tensor_parallel(), stack=False)
    path = f"{tmp_path}/{where}"
    model.save(path)
    for spread in (None, m.tensor_parallel(distribution.list_devices()[:2], (1, 2))):
        distribution.set_distribution(spread)
        try:
            loaded = kgraph.models.load_model(path)
            m.assert_bitwise(loaded.get_weights(), model.get_weights())
            state = loaded._kgraph.trainer.state()["optimizer"]
            m.assert_bitwise(state, model._kgraph.trainer.state()["optimizer"])
            used = {d for w in loaded.weights for d in w.value.devices()}
            assert used == set(jax.devices()[: 1 if spread is None else 2])
            if spread is not None:
                assert loaded.get_layer("up0").kernel.value.sharding.spec == P(None, "model")
                assert P(None, "model") in set(specs_of(state).values())
            loaded.fit(m.X, m.Y, batch_size=16, initial_epoch=2, epochs=4, verbose=0)
            m.assert_close(loaded.get_weights(), whole["weights"], 1e-5)
        finally:
            distribution.set_distribution(None)


class Stop(kgraph.callbacks.Callback):
    """Ends the training in the middle of its second epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if (self.epoch, batch) == (1, 1):
            raise KeyboardInterrupt


def test_a_training_goes_on_bit_for_bit(tmp_path):
    fit = {"batch_size": 16, "epochs": 3, "verbose": 0, "seed": 1}
    through = m.compiled(m.dropping, sharded(), ADAM())
    history = through.fit(m.X, m.Y, **fit).history
    cut = m.compiled(m.dropping, sharded(), ADAM())
    with pytest.raises(KeyboardInterrupt):
        cut.fit(m.X, m.Y, **fit, checkpoint=Checkpoint(tmp_path / "c", every=1), callbacks=[Stop()])
    again = m.compiled(m.dropping, sharded(), ADAM())
    resumed = again.fit(m.X, m.Y, **fit, checkpoint=Checkpoint(tmp_path / "c", every=1)).history
    assert resumed == history
    m.assert_bitwise(again.get_weights(), through.get_weights())
    m.assert_bitwise(again._kgraph.trainer.state(), through._kgraph.trainer.state())
    assert again.get_layer("up").kernel.value.sharding.spec == P("batch")


def sharded() -> distribution.ModelParallel:
    """Returns rules that cut parameters along the axis of the batch."""
    layouts = distribution.LayoutMap(distribution.DeviceMesh((8,), ("batch",)))
    layouts["up/kernel"] = ("batch", None)
    layouts["head/kernel"] = ("batch", None)
    return distribution.ModelParallel(layout_map=layouts)


def test_weights_that_are_there_already_are_moved():
    model = m.compiled(m.dropping, None)
    before = model.get_weights()
    assert len(model.weights[0].value.devices()) == 1
    model.compile("adam", "sparse_categorical_crossentropy", distribution=sharded())
    model.evaluate(m.X, m.Y, verbose=0)
    m.assert_bitwise(model.get_weights(), before)
    shards = model.get_layer("up").kernel.value.addressable_shards
    assert [shard.data.shape for shard in shards] == [(1, 16)] * 8
    model.set_weights(before)
    model.fit(m.X, m.Y, verbose=0)
    assert model.get_layer("up").kernel.value.sharding.spec == P("batch")


def test_memory_of_a_step_is_that_of_each_device():
    plain, cut = (m.compiled(m.dropping, d, ADAM()).memory(16) for d in (None, sharded()))
    assert cut.arguments < 0.5 * plain.arguments


def folding() -> kgraph.Model:
    inputs = kgraph.Input((8,), name="x")
    x = BatchNormalization(name="bn")(Dense(16, name="up", use_bias=False)(inputs))
    return kgraph.Model(inputs, Dense(3, activation="softmax", name="head")(x))


def test_calls_spread_their_inputs_and_folded_weights_stay_cut():
    layouts = distribution.LayoutMap(distribution.DeviceMesh((2, 4), ("batch", "model")))
    layouts["up/kernel"], layouts["bn/.*"] = (None, "model"), ("model",)
    ours = m.compiled(folding, distribution.ModelParallel(layout_map=layouts))
    one = m.compiled(folding, None)
    one.set_weights(ours.get_weights())
    for model in (one, ours):
        model(m.X[:8], training=True)
    m.assert_close(ours.get_weights(), one.get_weights())
    for rows, spec in ((8, P("batch")), (5, P())):
        outputs = ours(m.X[:rows])
        assert outputs.sharding.spec == spec
        m.assert_close(outputs, one(m.X[:rows]))
    folded = ours._kgraph.programs.inference().variables()["params"]["up+bn"]
    assert folded["kernel"].sharding.spec == P(None, "model")
    m.assert_close(jax.jit(ours)(m.X[:8]), one(m.X[:8]))
    assert not any(isinstance(w.value, jax.core.Tracer) for w in ours.weights)


def nested() -> kgraph.Model:
    inner = kgraph.Sequential([kgraph.Input((8,)), Dense(12, name="wide")], name="inner")
    inputs = kgraph.Input((8,))
    return kgraph.Model(inputs, Dense(3, name="head")(inner(inputs)))


def test_the_plan_is_a_table_before_anything_is_allocated():
    model = nested()
    layouts = distribution.LayoutMap(distribution.DeviceMesh((2, 4), ("batch", "model")))
    layouts["inner/wide/kernel"] = (None, "model")
    layouts["inner/wide/output"] = ("batch", "model")
    layouts["wide/bais"] = ("model",)
    spread = distribution.ModelParallel(layout_map=layouts)
    lines = str(spread.plan(model)).splitlines()
    assert lines[0] == "4 weights, 588 B, on a mesh of batch 2, model 4: 300 B on each device"
    table = [re.split(r"  +", line) for line in lines[1:]]
    assert table[0] == ["weight", "shape", "dtype", "layout", "on each device"]
    assert table[1] == ["inner/wide/kernel", "[8, 12]", "float32", "(None, 'model')", "96 B"]
    assert table[3] == ["head/kernel", "[12, 3]", "float32", "whole", "144 B"]
    assert table[5] == ["inner/wide/output", "('batch', 'model')"]
    assert lines[-1] == "no path matches 'wide/bais'"
    assert not any(weight.has_value for weight in model.weights)
    text = r"'wide/bais' of the LayoutMap[\s\S]*'inner/wide/bias'[\s\S]*optional\('wide/bais'"
    with pytest.raises(ConfigError, match=text):
        model.compile("sgd", "mse", distribution=spread)
    del layouts["wide/bais"]
    layouts.optional("wide/bais", ("model",))
    model.compile("sgd", "mse", distribution=spread)
    assert [
        node.layout
        for node in model._kgraph.programs.inference().program.graph.nodes
        if node.layout
    ]


def attending(api: Any) -> Any:
    """Returns a model whose paths in files are others than Keras'."""
    inputs = api.Input((6, 8))
    x = api.layers.MultiHeadAttention(2, 4, name="attn")(inputs, inputs)
    x = api.layers.LSTM(8, name="lstm")(x)
    inside = api.Input((8,))
    x = api.Model(inside, api.layers.Dense(4, name="wide")(inside), name="inner")(x)
    return api.Model(inputs, api.layers.Dense(2, name="head")(x))


RULES = {
    "attn/query/kernel": (None, "model", None), "attn/attention_output/kernel": ("model",),
    "lstm/lstm_cell/kernel": (None, "model"), "wide/kernel": (None, "model"),
    "wide/output": ("batch", "model"),
}  # fmt: skip


def test_rules_written_for_the_paths_of_keras_cut_what_they_cut_there():
    found = []
    for api in (kgraph, keras):
        layouts = api.distribution.LayoutMap(
            api.distribution.DeviceMesh((4, 2), ("batch", "model"), api.distribution.list_devices())
        )
        for key, axes in RULES.items():
            layouts[key] = axes
        spread = api.distribution.ModelParallel(layout_map=layouts)
        with jax.numpy_rank_promotion("allow"):  # Keras' LSTM needs it
            model = attending(api)
        found.append({w.path: spread.get_variable_layout(w).axes for w in model.weights})
    ours, theirs = found
    padded = {path: (*axes, *[None] * 3)[:3] for path, axes in theirs.items()}
    assert {path: (*axes, *[None] * 3)[:3] for path, axes in ours.items()} == padded
    layouts = distribution.LayoutMap(distribution.DeviceMesh((4, 2), ("batch", "model")))
    layouts.update(RULES)
    model = attending(kgraph)
    spread = distribution.ModelParallel(layout_map=layouts)
    assert not any(weight.has_value for weight in model.weights)
    plan = spread.plan(model)
    assert plan.unused == ()
    assert plan.outputs == {"wide/output": ("batch", "model")}
    model.compile("adam", "mse", distribution=spread)
    model.fit(np.zeros((8, 6, 8), "float32"), np.zeros((8, 2), "float32"), verbose=0)
    cut = {
        w.path: tuple(w.value.sharding.spec) for w in model.weights if any(w.value.sharding.spec)
    }
    assert set(cut) == set(RULES) - {"wide/output"}


def test_rules_for_the_paths_of_files_are_still_heard_and_two_for_one_weight_are_not():
    layouts = distribution.LayoutMap(distribution.DeviceMesh((4, 2), ("batch", "model")))
    layouts["attn/query_dense/kernel"] = (None, "model")
    spread = distribution.ModelParallel(layout_map=layouts)
    rows = {row.path: row.axes for row in spread.plan(attending(kgraph)).weights}
    assert rows["attn/query_dense/kernel"] == (None, "model")
    layouts["attn/query/.*"] = ("model",)
    with pytest.raises(ConfigError, match=r"are one, for which there are several rules"):
        spread.plan(attending(kgraph))


def test_a_model_that_gets_its_graph_later_refuses_rules_then():
    layouts = distribution.LayoutMap(distribution.DeviceMesh((8,), ("batch",)))
    layouts["nowhere/kernel"] = ("batch",)
    model = kgraph.Sequential([Dense(3, name="head")])
    model.compile("sgd", "mse", distribution=distribution.ModelParallel(layout_map=layouts))
    with pytest.raises(ConfigError, match="'nowhere/kernel' of the LayoutMap matches no path"):
        model.fit(m.X, np.zeros((m.ROWS, 3), "float32"), verbose=0)


def refused(**layouts) -> None:
    found = distribution.LayoutMap(distribution.DeviceMesh((2, 4), ("batch", "model")))
    for path, layout in layouts.items():
        found[path.replace("__", "/")] = layout
    nested().compile("sgd", "mse", distribution=distribution.ModelParallel(layout_map=found))


def test_layouts_that_do_not_fit_are_refused_by_compile():
    text = r"'head/kernel' cannot be cut into equal parts along dimension 1\n"
    text += r"  expected  a size divisible by 4, the devices along 'model'\n"
    text += r"  received  shape \[12, 3\], layout \(None, 'model'\) by key 'head/kernel'\n"
    text += r"  try       the layout \('model', None\)"
    with pytest.raises(ConfigError, match=text):
        refused(head__kernel=(None, "model"))
    with pytest.raises(ConfigError, match="a layer whose size there is 4, or None in the place"):
        refused(head__bias=("model",))
    with pytest.raises(ConfigError, match="'head/bias' has more dimensions than the weight"):
        refused(head__bias=(None, "model"))
    with pytest.raises(ConfigError, match="no axis 'rows'"):
        refused(head__bias=("rows",))
    with pytest.raises(ConfigError, match=r"'head/kernel' matches several keys[\s\S]*'head.\*'"):
        refused(**{".*": (None,), "head.*": (None,)})
