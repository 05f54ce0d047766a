"""BatchNormalization as part of the layer before it: the same numbers, and when it has to stay."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest
from graphs import models
from hypothesis import HealthCheck, given, settings
from inference_models import (
    KEY,
    assert_close,
    assert_infers_the_same,
    classes,
    inputs_for,
    trained_variables,
)

import kgraph
from kgraph import Input, Model
from kgraph.compiler import INFERENCE_PASSES, run_passes
from kgraph.compiler.passes import fold_norms
from kgraph.errors import ConfigError, StateError
from kgraph.graph import verify
from kgraph.layers import (
    Activation,
    Add,
    BatchNormalization,
    Conv1D,
    Conv1DTranspose,
    Conv2D,
    Conv2DTranspose,
    Conv3D,
    Conv3DTranspose,
    Dense,
    DepthwiseConv1D,
    DepthwiseConv2D,
    Dropout,
    EinsumDense,
    Embedding,
    GlobalAveragePooling2D,
    Masking,
    ReLU,
    SeparableConv1D,
    SeparableConv2D,
    TimeDistributed,
    ZeroPadding2D,
)

FIRST = "channels_first"
IMAGE, SERIES = (5, 6, 4), (7, 4)

PAIRS = {
    "dense": (lambda: Dense(3), {}, (4,)),
    "dense no bias": (lambda: Dense(3, use_bias=False), {"scale": False}, (4,)),
    "dense rank 4": (lambda: Dense(3, "linear"), {"center": False}, (2, 3, 4)),
    "conv1d causal": (lambda: Conv1D(3, 2, padding="causal"), {"epsilon": 0.1}, SERIES),
    "conv2d": (lambda: Conv2D(3, 2, 2, padding="same"), {}, IMAGE),
    "conv2d no bias": (
        lambda: Conv2D(3, 2, use_bias=False), {"scale": False, "center": False}, IMAGE
    ),
    "conv2d groups": (lambda: Conv2D(6, 2, groups=2, dilation_rate=2), {"axis": 3}, IMAGE),
    "conv2d first": (lambda: Conv2D(3, 2, data_format=FIRST), {"axis": 1}, IMAGE),
    "conv2d first, counted from the end": (
        lambda: Conv2D(3, 2, data_format=FIRST, use_bias=False), {"axis": -3}, IMAGE
    ),
    "conv3d": (lambda: Conv3D(2, 2), {"renorm": True}, (3, 3, 4, 2)),
    "transposed 1d": (lambda: Conv1DTranspose(3, 2, 2), {}, SERIES),
    "transposed 2d": (lambda: Conv2DTranspose(3, 2, use_bias=False), {}, IMAGE),
    "transposed 3d": (lambda: Conv3DTranspose(2, 2), {}, (2, 3, 2, 2)),
    "depthwise 1d": (lambda: DepthwiseConv1D(2, use_bias=False), {}, SERIES),
    "depthwise 2d": (lambda: DepthwiseConv2D(2, depth_multiplier=3), {}, IMAGE),
    "separable 1d": (lambda: SeparableConv1D(3, 2, use_bias=False), {}, SERIES),
    "separable 2d": (lambda: SeparableConv2D(3, 2, depth_multiplier=2), {}, IMAGE),
    "einsum": (lambda: EinsumDense("abc,cd->abd", (None, 3)), {}, SERIES),
    "einsum heads": (
        lambda: EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de"), {}, SERIES
    ),
    "einsum heads, other axis": (
        lambda: EinsumDense("...bc,cde->...bde", (None, 2, 3), bias_axes="de"), {"axis": 2}, SERIES
    ),
    "einsum axis inside": (lambda: EinsumDense("abc,cde->abde", (None, 2, 3)), {"axis": 2}, SERIES),
    "einsum elementwise": (lambda: EinsumDense("abc,c->abc", (7, 4)), {}, SERIES),
}  # fmt: skip
QUICK = (
    "dense no bias", "conv2d", "conv2d first, counted from the end", "transposed 2d",
    "depthwise 2d", "separable 1d", "einsum heads, other axis",
)  # fmt: skip


def param(name: str):
    return pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)


@pytest.mark.parametrize("name", [param(name) for name in PAIRS])
def test_a_normalisation_becomes_part_of_the_layer_before(name):
    layer, options, shape = PAIRS[name]
    x = Input(shape)
    program = assert_infers_the_same(Model(x, BatchNormalization(**options)(layer()(x))))
    assert len(classes(program)) == 1
    assert classes(program)[0].endswith("+BatchNormalization")


# --- what the graph looks like


def resnet_like() -> Model:
    x = inputs = Input((6, 6, 3))
    x = Activation("relu")(BatchNormalization()(Conv2D(4, 3, padding="same")(x)))
    y = BatchNormalization()(Dropout(0.5)(Conv2D(4, 1, use_bias=False)(x)))
    x = BatchNormalization()(Add()([x, y]))
    return Model(inputs, BatchNormalization()(Dense(2, "relu")(x)))


def test_what_is_not_behind_a_linear_layer_stays():
    program = assert_infers_the_same(resnet_like())
    assert classes(program) == [
        "Conv2D+BatchNormalization", "Activation", "Conv2D+BatchNormalization", "Add",
        "BatchNormalization", "Dense", "BatchNormalization",
    ]  # fmt: skip
    text = str(program)
    assert "-- fold_norms: 8 nodes" in text
    assert "conv2d: [batch, 6, 6, 4] float32 = Conv2D+BatchNormalization(input_layer)" in text


def test_folded_variables_have_no_weights_that_nothing_reads():
    program = kgraph.lower(resnet_like(), inference=True)
    variables = program.init(KEY)
    folded = program.fold(variables)
    assert sorted(folded["params"]) == [
        "batch_normalization_2", "batch_normalization_3", "conv2d+batch_normalization",
        "conv2d_1+batch_normalization_1", "dense",
    ]  # fmt: skip
    assert sorted(folded["state"]) == ["batch_normalization_2", "batch_normalization_3"]
    plain = kgraph.lower(resnet_like()).init(KEY)
    assert jax.tree.structure(variables) == jax.tree.structure(plain)


def test_folding_is_pure_and_works_in_a_trace():
    model = resnet_like()
    program = kgraph.lower(model, inference=True)
    variables, (images,) = trained_variables(model), inputs_for(model)
    folded = program.fold(variables)
    assert_close(jax.jit(program.fold)(variables), folded)
    jitted = jax.jit(lambda v, x: program.apply(v, x)[0])
    assert_close(jitted(variables, images), jitted(folded, images))
    grads = jax.grad(lambda v: jitted(v, images).sum())(variables)
    assert float(abs(grads["params"]["conv2d"]["kernel"]).sum()) > 0


def test_a_program_for_inference_refuses_training():
    program = kgraph.lower(resnet_like(), inference=True)
    with pytest.raises(ConfigError, match=r"inference cannot run in training[\s\S]*fold_norms"):
        program.apply(program.init(KEY), np.ones((1, 6, 6, 3)), training=True, key=KEY)
    with pytest.raises(ConfigError, match="Either `passes` or `inference`"):
        kgraph.lower(resnet_like(), (), inference=True)
    with pytest.raises(StateError, match=r"no 'conv2d'"):
        kgraph.lower(resnet_like()).apply(
            program.fold(program.init(KEY)), np.ones((1, 6, 6, 3), "float32")
        )


def test_a_pass_can_be_left_out():
    passes = [pass_ for pass_ in INFERENCE_PASSES if pass_ is not fold_norms]
    program = kgraph.lower(resnet_like(), passes)
    assert not program.folds
    assert classes(program).count("BatchNormalization") == 4


# --- when it has to stay


def users(base: type) -> type:
    """Returns a user's class of the same name: what its call does is not known."""
    return type(base.__name__, (base,), {"__module__": "elsewhere", "call": base.call})


def read_twice(x):
    y = Conv2D(3, 2)(x)
    return Add()([BatchNormalization()(y), y])


STAYS = {
    "activation": lambda x: BatchNormalization()(Conv2D(3, 2, activation="relu")(x)),
    "function": lambda x: BatchNormalization()(Conv2D(3, 2, activation=lambda v: v * 2)(x)),
    "between": lambda x: BatchNormalization()(Activation("relu")(Conv2D(3, 2)(x))),
    "other axis": lambda x: BatchNormalization(axis=1)(Conv2D(3, 2)(x)),
    "batch axis": lambda x: BatchNormalization(axis=2)(Dense(3)(x)),
    "first": lambda x: BatchNormalization()(Conv2D(3, 2, data_format=FIRST)(x)),
    "read twice": read_twice,
    "an output": lambda x: [(y := Conv2D(3, 2)(x)), BatchNormalization()(y)],
    "norm first": lambda x: Conv2D(3, 2, padding="same")(BatchNormalization()(x)),
    "padding between": lambda x: BatchNormalization()(ZeroPadding2D()(Conv2D(3, 2)(x))),
    "user's layer": lambda x: BatchNormalization()(users(Dense)(3)(x)),
    "user's norm": lambda x: users(BatchNormalization)()(Dense(3)(x)),
    "wrapped": lambda x: BatchNormalization()(TimeDistributed(Dense(3))(x)),
    "in training": lambda x: BatchNormalization()(Conv2D(3, 2)(x), training=True),
    "mask given": lambda x: BatchNormalization()(Dense(3)(x), mask=x[..., 0] > 0),
    "penalty": lambda x: BatchNormalization()(Conv2D(3, 2, activity_regularizer="l2")(x)),
    "penalty behind": lambda x: BatchNormalization(activity_regularizer="l2")(Conv2D(3, 2)(x)),
    "dtypes": lambda x: BatchNormalization(dtype="float32")(Dense(3, dtype="mixed_bfloat16")(x)),
    "einsum other bias": lambda x: BatchNormalization()(
        EinsumDense("abcd,def->abcef", (None, None, 2, 3), bias_axes="e")(x)
    ),
    "einsum input's axis": lambda x: BatchNormalization(axis=1)(
        EinsumDense("abcd,de->abce", (5, None, 3))(x)
    ),
    "einsum elided axis": lambda x: BatchNormalization(axis=1)(EinsumDense("...d,de->...e", 3)(x)),
    "einsum right": lambda x: BatchNormalization(axis=1)(EinsumDense("ab...,bc->ac...", 3)(x)),
}


@pytest.mark.parametrize("name", STAYS)
def test_it_stays_where_folding_would_change_a_result(name):
    x = Input(IMAGE)
    graph = Model(x, STAYS[name](x)).graph
    assert fold_norms(graph) == graph


def test_masks_go_through_folded_layers():
    words = Input((None,), dtype="int32")
    masked = Embedding(4, 3, mask_zero=True)(words)
    model = Model(words, BatchNormalization()(Dense(2)(masked)))
    program = assert_infers_the_same(model)
    assert classes(program)[-1] == "Dense+BatchNormalization"
    arrays = inputs_for(model)
    found = program.run(trained_variables(model), arrays).masks
    np.testing.assert_array_equal(found[0], arrays[0] != 0)


# --- sharing


def test_each_call_of_a_shared_layer_is_folded_with_its_own_normalisation():
    x, y = Input((4,)), Input((4,))
    dense, norm = Dense(4), BatchNormalization()
    one = norm(dense(x))
    outputs = [one, norm(dense(y)), BatchNormalization()(dense(one)), dense(y)[:, :2]]
    model = Model([x, y], outputs)
    program = assert_infers_the_same(model)
    assert sorted(program.folds) == ["dense+batch_normalization", "dense+batch_normalization_1"]
    assert "dense" in program.fold(trained_variables(model))["params"]  # one call is as it was


def test_nested_models_are_folded_when_they_are_inlined():
    def inner() -> Model:
        a = Input((4,))
        return Model(a, BatchNormalization()(Dense(4, use_bias=False)(a)))

    block, other = inner(), inner()
    x = Input((4,))
    across = BatchNormalization()(Model(a := Input((4,)), Dense(3)(a))(other(x)))
    program = assert_infers_the_same(Model(x, [block(block(x)), across]))
    assert classes(program) == ["Dense+BatchNormalization"] * 4


def test_a_closed_model_stays_closed():
    a = Input((None, 3))
    inner = Model(a, BatchNormalization()(Dense(3)(a)))
    x = Input((None, 3))
    program = assert_infers_the_same(Model(x, inner(Masking()(x))))
    assert not program.folds


def test_folded_layers_beside_stacked_blocks():
    x = inputs = Input((4,))
    for _ in range(3):
        x = Add()([x, Dropout(0.5)(Dense(4, "tanh")(x))])
    model = Model(inputs, BatchNormalization()(Dense(4)(x)))
    program = kgraph.lower(model, inference=True, stack=True)
    assert len(program.stacks) == len(program.folds) == 1
    variables, arrays = trained_variables(model), inputs_for(model)
    wanted = kgraph.lower(model, ()).apply(variables, arrays)[0]
    folded = program.fold(variables)
    for form in (variables, folded, program.pack(variables), program.pack(folded)):
        assert_close(program.apply(form, arrays)[0], wanted)


# --- dtypes


@pytest.mark.parametrize(
    ("policy", "tolerance"),
    [
        ("mixed_bfloat16", 2e-2),
        pytest.param("float16", 4e-3, marks=pytest.mark.slow),
        pytest.param("bfloat16", 3e-2, marks=pytest.mark.slow),
    ],
)
def test_short_floats_are_folded_in_float32(policy, tolerance):
    """Tolerances: four roundings of the compute dtype (2**-8, 2**-11) of values of that size."""
    x = Input(IMAGE)
    y = BatchNormalization(dtype=policy)(Conv2D(3, 2, dtype=policy)(x))
    model = Model(x, BatchNormalization(dtype=policy)(DepthwiseConv2D(2, dtype=policy)(y)))
    program = assert_infers_the_same(model, tolerance)
    folded = program.fold(trained_variables(model))
    compute = policy.removeprefix("mixed_")
    assert {str(array.dtype) for array in jax.tree.leaves(folded["params"])} == {compute}
    assert len(program.folds) == 2


def test_folded_weights_stay_wide_where_the_layer_does_not_cast():
    x = Input((4,))
    dense = Dense(3, dtype="mixed_bfloat16", autocast=False)
    y = BatchNormalization(dtype="float32")(dense(x))
    program = assert_infers_the_same(Model(x, y))
    assert {str(w.dtype) for fold in program.folds.values() for w in fold.weights} == {"float32"}


# --- what every pass keeps

RANDOM = settings(
    max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@RANDOM
@given(model=models())
def test_random_models_infer_the_same(model):
    before = replace(model.graph).content_hash
    graph = run_passes(model.graph, INFERENCE_PASSES)[-1][1]
    verify(graph)
    assert fold_norms(graph) == graph
    assert replace(model.graph).content_hash == before
    assert_infers_the_same(model)


# --- whole networks


def residual_net() -> Model:
    """Two bottlenecks as in ResNet50, the first with a projection."""
    x = inputs = Input((16, 16, 3))
    x = Activation("relu")(BatchNormalization()(Conv2D(8, 7, 2, padding="same")(x)))
    for width, strides in ((4, 1), (4, 1), (8, 2)):
        y = Activation("relu")(BatchNormalization()(Conv2D(width, 1, strides)(x)))
        y = Activation("relu")(BatchNormalization()(Conv2D(width, 3, padding="same")(y)))
        y = BatchNormalization()(Conv2D(4 * width, 1)(y))
        if x.shape[-1] != y.shape[-1]:
            x = BatchNormalization()(Conv2D(4 * width, 1, strides)(x))
        x = Activation("relu")(Add()([x, y]))
    return Model(inputs, Dense(5, "softmax")(GlobalAveragePooling2D()(x)))


def mobile_net() -> Model:
    """Inverted residuals as in MobileNetV2, with dropout on their way."""
    x = inputs = Input((16, 16, 3))
    for filters, strides in ((8, 2), (8, 1), (12, 2)):
        y = ReLU(6.0)(BatchNormalization()(Conv2D(16, 1, use_bias=False)(x)))
        depthwise = DepthwiseConv2D(3, strides, padding="same", use_bias=False)
        y = ReLU(6.0)(BatchNormalization()(depthwise(y)))
        y = Dropout(0.2)(BatchNormalization()(Conv2D(filters, 1, use_bias=False)(y)))
        x = Add()([x, y]) if x.shape == y.shape else y
    return Model(inputs, Dense(5)(Dropout(0.5)(GlobalAveragePooling2D()(x))))


@pytest.mark.slow
@pytest.mark.parametrize("make", [residual_net, mobile_net])
def test_no_normalisation_is_left_of_a_network(make):
    program = assert_infers_the_same(make())
    assert not {"BatchNormalization", "Dropout"} & set(classes(program))
    assert len(program.folds) >= 9
