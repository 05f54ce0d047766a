"""The pass for CPUs: marks convolutions, changes no number, and leaves other platforms alone."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import kgraph
from kgraph import Input, Model, layers
from kgraph.compiler import CPU_PASSES, DEFAULT_PASSES, Program, platform_passes, run_passes
from kgraph.compiler.lower import graph_of
from kgraph.compiler.passes import inline_models, use_cpu_forms
from kgraph.compiler.primitives import equations
from kgraph.graph import verify
from kgraph.training.padding import loops_well
from kgraph.training.xla_options import xla_options

KEY = jax.random.key(3)


class Hidden(kgraph.Layer):
    """A convolution that no class name tells of."""

    def call(self, inputs: Any) -> Any:
        kernel = jnp.ones((3, 3, inputs.shape[-1], 2))
        axes = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(inputs, kernel, (1, 1), "SAME", dimension_numbers=axes)


def make_model(last: Any = None) -> Model:
    inputs = Input((12, 12, 3), name="x")
    inner = Input((10, 10, 4))
    pooled = layers.MaxPooling2D(2)(layers.SeparableConv2D(6, 3, activation="relu")(inner))
    x = Model(inner, pooled, name="inner")(layers.Conv2D(4, 3, activation="relu")(inputs))
    x = layers.Conv2DTranspose(5, 3, strides=2)(layers.DepthwiseConv2D(2)(x))
    x = layers.Conv2D(4, 1)(x) if last is None else last(x)
    return Model(inputs, layers.Dense(3, name="y")(layers.GlobalAveragePooling2D()(x)))


def lowered(model: Model, *passes: Any) -> Program:
    return kgraph.lower(model, passes=(*DEFAULT_PASSES, *passes))


def test_gradients_are_those_of_the_plain_program() -> None:
    model = make_model()
    plain, marked = lowered(model), lowered(model, *CPU_PASSES)
    variables = plain.init(KEY)
    x = jax.random.normal(KEY, (2, 12, 12, 3))

    def gradients(program: Program) -> Any:
        def loss(params: Any, x: Any) -> Any:
            return jnp.sin(program.apply({**variables, "params": params}, x)[0]).sum()

        return jax.jit(jax.value_and_grad(loss, (0, 1)))(variables["params"], x)

    for own, wanted in zip(*map(jax.tree.leaves, (gradients(marked), gradients(plain)))):
        np.testing.assert_allclose(own, wanted, rtol=1e-5, atol=1e-6 * float(jnp.abs(wanted).max()))


def test_the_pass_shows_what_it_did_and_a_second_run_changes_nothing() -> None:
    graph = run_passes(graph_of(make_model()), (inline_models,))[-1][1]
    before = graph.content_hash
    marked = use_cpu_forms(graph)
    verify(marked)
    assert graph.content_hash == before != marked.content_hash
    assert use_cpu_forms(marked) == marked
    shown = str(marked)
    for line in (
        "Conv2D(x); outputs by window, inputs by patches, kernel by turned for kernel",
        "; shifts, then product",
        "MaxPooling2D(inner/separable_conv2d); gradient by cells",
        "; outputs by window, inputs by turned for inputs, kernel by spreading",
        "Conv2D(conv2d_transpose); product",
    ):
        assert line in shown
    assert marked.by_name["y"].lowering == ""


def test_large_windows_of_poolings_are_left_to_xla() -> None:
    inputs = Input((24, 24, 3))
    outputs = [layers.MaxPooling2D(size)(inputs) for size in (2, (11, 12))]
    graph = use_cpu_forms(Model(inputs, outputs).graph)
    assert [node.lowering for node in graph.calls] == ["gradient by cells", ""]


def test_models_use_it_by_themselves_and_compile_can_switch_it_off() -> None:
    inputs = Input((2, 2, 1))
    model = Model(inputs, layers.Conv2D(1, 1)(inputs))
    x = np.ones((4, 2, 2, 1), "float32")
    marks = {}
    for passes in (None, DEFAULT_PASSES):
        model.compile("sgd", "mse", passes=passes)
        model.fit(x, x, verbose=0)
        assert model._kgraph.trainer.engine is not None
        marks[passes] = any(
            node.lowering for node in model._kgraph.trainer.engine.program.graph.nodes
        )
    assert marks == {None: jax.default_backend() == "cpu", DEFAULT_PASSES: False}


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_other_platforms_get_the_plain_program(platform: str) -> None:
    assert platform_passes(platform) == ()
    model = make_model()
    plain, default = lowered(model), kgraph.lower(model)
    variables = jax.eval_shape(plain.init, KEY)
    x = jax.ShapeDtypeStruct((2, 12, 12, 3), jnp.float32)

    def text(program: Program) -> str:
        def loss(variables: Any, x: Any) -> Any:
            return program.apply(variables, x)[0].sum()

        traced = jax.jit(jax.grad(loss)).trace(variables, x)
        return traced.lower(lowering_platforms=(platform,)).as_text()

    assert text(default) == text(plain)
    assert text(lowered(model, *CPU_PASSES)) != text(plain)


def test_marked_programs_loop_well_and_the_loop_holds_no_rearranged_convolution() -> None:
    x = [np.ones((4, 12, 12, 3), "float32")]
    model = make_model()
    plain, marked = lowered(model), lowered(model, *CPU_PASSES)
    foreign = lowered(make_model(Hidden()), *CPU_PASSES)
    assert [loops_well(p, x, 4, "cpu") for p in (plain, marked, foreign)] == [False, True, False]

    def rearranged(program: Program) -> bool:
        def loss(variables: Any) -> Any:
            return program.apply(variables, x)[0].sum()

        variables = jax.eval_shape(program.init, KEY)
        found = equations(jax.make_jaxpr(jax.grad(loss))(variables))
        convolutions = [e for e in found if e.primitive.name == "conv_general_dilated"]
        assert convolutions
        usual = ((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))
        return any(tuple(e.params["dimension_numbers"]) != usual for e in convolutions)

    assert rearranged(plain)
    assert not rearranged(marked)


def test_blocks_of_convolutions_are_stacked_where_they_loop_well_and_only_if_asked_for() -> None:
    inputs = x = Input((6, 6, 5))
    for _ in range(16):
        x = layers.add([x, layers.Conv2D(5, 3, padding="same", activation="relu")(x)])
    model = Model(inputs, x)
    passes = (*DEFAULT_PASSES, *CPU_PASSES)
    stacked = kgraph.lower(model, passes=passes, stack=True)
    assert [stack.plan.count for stack in stacked.stacks.values()] == [16]
    if jax.default_backend() == "cpu":
        assert not kgraph.lower(model, passes=passes, stack="auto").stacks
        assert not kgraph.lower(model, stack=True).stacks
    plain, batch = lowered(model), jnp.ones((2, 6, 6, 5))
    variables = plain.init(KEY)
    own, wanted = (p.apply(variables, batch)[0] for p in (stacked, plain))
    np.testing.assert_allclose(own, wanted, rtol=1e-4, atol=1e-5)


def test_options_of_xla_are_for_convolutions_on_a_cpu_and_are_understood() -> None:
    assert xla_options("stablehlo.dot_general") == {}
    lowered = jax.jit(lambda x: x + 1).lower(1.0)
    assert lowered.compile(xla_options("stablehlo.convolution") or None)(1.0) == 2.0
