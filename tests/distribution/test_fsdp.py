"""FSDP: weights and optimizer state in parts; in a step weights move, not activations."""

from __future__ import annotations

import math
import re
from functools import partial
from typing import Any

import jax
import pytest
import spread_models as m
from jax.sharding import PartitionSpec as P

import kgraph
from kgraph import distribution as dist
from kgraph import layers as L
from kgraph import optimizers
from kgraph.errors import ConfigError
from kgraph.training import compilation

ROWS, LENGTH, WIDTH, WORDS = 16, 12, 32, 64
ALL = partial(dist.FSDP, least_size=0)


def mesh(shape=(8,), names=("fsdp",)):
    return dist.DeviceMesh(shape, names)


def transformer(blocks=2):
    inputs = kgraph.Input((LENGTH,), dtype="int32")
    x = L.Embedding(WORDS, WIDTH, name="words")(inputs)
    for n in range(blocks):
        h = L.LayerNormalization(name=f"norm{n}")(x)
        x = L.Add()([x, L.MultiHeadAttention(4, 8, name=f"attn{n}")(h, h, use_causal_mask=True)])
        h = L.Dense(64, activation="gelu", name=f"up{n}")(L.LayerNormalization(name=f"norm_{n}")(x))
        x = L.Add()([x, L.Dense(WIDTH, name=f"down{n}")(h)])
    return kgraph.Model(inputs, L.Dense(WORDS, activation="softmax", name="head")(x))


def collectives(model, rows=ROWS):
    """Returns the kind and the shape of each array that the compiled step moves."""
    model.memory(rows)
    text = next(reversed(compilation._SHARED.values())).result().as_text()
    kinds = "all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute"
    found = re.findall(rf"= (.*?) ({kinds})(?:-start)?\(", text)
    return [
        (kind, tuple(map(int, shape.split(",") if shape else ())))
        for shapes, kind in found
        for shape in re.findall(r"\w+\[([\d,]*)\]", shapes)
    ]


def test_each_device_holds_its_part_of_weights_and_of_the_optimizer_state():
    model = m.compiled(m.blocks, ALL(mesh()))
    plan = model._kgraph.programs.lowering.distribution.plan(model)
    assert "up0/kernel" in str(plan)
    assert "(None, 'fsdp')" in str(plan)
    cut = [row for row in plan.weights if row.axes]
    assert all(row.bytes * 8 == row.total for row in cut)
    assert {row.path for row in plan.weights if not row.axes} == {"head/bias"}  # 3 numbers
    model.fit(m.X, m.Y, batch_size=16, verbose=0)
    assert model.get_layer("up0").kernel.value.sharding.spec == P(None, "fsdp")
    moments = jax.tree_util.tree_leaves_with_path(model._kgraph.trainer.state()["optimizer"])
    kernels = [leaf for path, leaf in moments if "'up0']['kernel']" in jax.tree_util.keystr(path)]
    assert {leaf.sharding.spec for leaf in kernels} == {P(None, "fsdp")}
    assert len(kernels) == 2


@pytest.mark.parametrize("stack", [False, True])
def test_weights_move_and_activations_do_not(stack):
    model = transformer()
    loss = "sparse_categorical_crossentropy"
    model.compile("adam", loss, distribution=ALL(mesh()), stack=stack)
    shapes = {weight.shape for weight in model.weights}
    stacked = {(2, *shape) for shape in shapes}
    found = collectives(model)
    assert {kind for kind, _ in found} == {"all-gather", "all-reduce"}
    assert {shape for kind, shape in found if kind == "all-gather"} <= shapes
    assert {shape for kind, shape in found if kind == "all-reduce"} <= shapes | stacked | {()}


def test_rules_by_hand_that_cut_along_the_batch_move_weights_as_well():
    layouts = dist.LayoutMap(mesh((8,), ("data",)))
    layouts[".*(up|down).*/kernel"] = ("data",)
    model = transformer()
    spread = dist.ModelParallel(layout_map=layouts)
    model.compile("adam", "sparse_categorical_crossentropy", distribution=spread, stack=True)
    gathered = {shape for kind, shape in collectives(model) if kind == "all-gather"}
    assert gathered == {(WIDTH, 64), (64, WIDTH)}


def test_with_tensor_parallelism_rules_come_first_and_the_rest_is_cut():
    layouts = dist.LayoutMap(mesh((2, 4), ("fsdp", "model")))
    layouts["up.*/kernel"] = (None, "model")
    layouts["down.*/kernel"] = ("model", None)
    layouts["head/kernel"] = ("fsdp", None)
    spread = ALL(layout_map=layouts)
    model = m.compiled(transformer, spread)
    axes = {row.path: row.axes for row in spread.plan(model).weights}
    assert axes["up0/kernel"] == ("fsdp", "model")
    assert axes["down0/kernel"] == ("model", "fsdp")
    assert axes["head/kernel"] == ("fsdp", None)
    assert axes["words/embeddings"] == ("fsdp",)
    whole = {math.prod(shape) for kind, shape in collectives(model) if kind == "all-gather"}
    assert max(whole) < ROWS // 2 * LENGTH * 64  # no activation of a Dense was brought together


def test_data_in_parts_send_gradients_and_parts_of_layers_send_activations():
    def sent(spread):
        model = transformer()
        loss = "sparse_categorical_crossentropy"
        model.compile("adam", loss, distribution=spread, stack=False)
        return model, collectives(model)

    model, found = sent(dist.DataParallel(mesh(names=("batch",))))
    gradients = {weight.shape for weight in model.weights}
    assert {kind for kind, _ in found} == {"all-reduce"}
    assert {shape for _, shape in found} == gradients | {()}  # each once, and the loss
    assert sum(math.prod(shape) for _, shape in found if shape) == model.count_params()

    layouts = dist.LayoutMap(mesh((1, 8), ("batch", "model")))
    layouts["up.*/kernel"] = (None, "model")
    layouts["up.*/bias"] = ("model",)
    layouts["down.*/kernel"] = ("model", None)
    _, found = sent(dist.ModelParallel(layout_map=layouts))
    activations = [shape for _, shape in found if len(shape) == 3]
    assert {kind for kind, _ in found} == {"all-reduce"}
    assert activations == [(ROWS, LENGTH, WIDTH)] * 4  # forward and backward of two blocks


@pytest.mark.slow
@pytest.mark.parametrize(
    "spread",
    [
        lambda: ALL(mesh()),
        lambda: ALL(mesh((2, 4), ("data", "fsdp")), batch_dim_name=("data", "fsdp")),
    ],
)
@pytest.mark.parametrize("options", [{"stack": False}, {"stack": True, "remat": "blocks"}])
def test_it_trains_as_one_device_does(spread, options):
    def trained(spread):
        model = m.compiled(m.blocks, spread, optimizers.Adam(0.01), **options)
        history = model.fit(m.X, m.Y, batch_size=16, epochs=2, verbose=0, seed=1).history
        return history, model.get_weights(), model.predict(m.X, batch_size=12, verbose=0)

    m.assert_close(trained(None), trained(spread()), 1e-5)


def test_batches_are_cut_over_several_axes():
    spread = dist.FSDP(mesh((2, 4), ("data", "fsdp")), batch_dim_name=("data", "fsdp"))
    assert spread.num_model_replicas == 8
    assert spread.batch_sharding.spec == P(("data", "fsdp"))
    assert spread.get_data_layout((None, 3)).axes == (("data", "fsdp"), None)


def test_small_weights_and_those_that_cannot_be_cut_are_whole():
    spread = dist.FSDP(mesh())
    assert spread.axes_of("a", (255, 256)) == ()
    assert spread.axes_of("a", (256, 256)) == ("fsdp",)
    assert spread.axes_of("a", (256, 1001, 999)) == ("fsdp",)
    assert spread.axes_of("a", (1001, 999)) == ()
    assert spread.axes_of("a", (3, 3, 256, 512)) == (None, None, None, "fsdp")


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="no axis 'rows' to cut weights along"):
        dist.FSDP(mesh(), fsdp_dim_name="rows")
    with pytest.raises(ConfigError, match="no axis 'rows' to spread batches along"):
        dist.FSDP(mesh(), batch_dim_name=("fsdp", "rows"))
    wrong: Any = {"a": ("fsdp",)}
    with pytest.raises(ConfigError, match="takes a DeviceMesh"):
        dist.FSDP(wrong)
    with pytest.raises(ConfigError, match="rules as a LayoutMap"):
        dist.FSDP(layout_map=wrong)
    with pytest.raises(ConfigError, match="another mesh"):
        dist.FSDP(mesh(), layout_map=dist.LayoutMap(mesh()))
