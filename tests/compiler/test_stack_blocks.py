"""Repeated blocks give the same by one body as one by one; and only blocks that are the same do."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from stacked_models import (
    BUILDERS,
    KEY,
    TIME,
    WIDTH,
    Noisy,
    assert_close,
    batch_for,
    encoder,
    observed,
)

import kgraph
from kgraph import Input, Layer, Model
from kgraph.compiler import Program, run_passes
from kgraph.compiler.passes import inline_models, stack_blocks
from kgraph.compiler.primitives import equations
from kgraph.errors import ConfigError, GraphError
from kgraph.graph import verify
from kgraph.layers import (
    Add,
    BatchNormalization,
    Conv1D,
    Dense,
    Dropout,
    Lambda,
    LayerNormalization,
    TimeDistributed,
)
from kgraph.layers.base.platform import lowering_for


def counts(program: Program) -> list[int]:
    """Returns the number of blocks of each stacked run."""
    return [stack.plan.count for stack in program.stacks.values()]


EXPECTED = {name: [4] for name in BUILDERS} | {"two_kinds": [4, 4], "remasked": [3]}
QUICK = ("encoder", "residual", "normalized", "pyramid")
NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in BUILDERS]


@pytest.mark.parametrize("name", NAMES)
def test_stacked_blocks_compute_what_they_compute_one_by_one(name):
    model = BUILDERS[name](4)
    batch = batch_for(model)
    stacked, plain = kgraph.lower(model, stack=True), kgraph.lower(model, stack=False)
    assert sorted(counts(stacked)) == EXPECTED[name]
    variables = plain.init(KEY)
    wanted = observed(plain, variables, batch)
    (total, (*outputs, state)), grads = observed(stacked, stacked.pack(variables), batch)
    unpacked = stacked.unpack({"params": grads, "state": state})
    assert_close(((total, (*outputs, unpacked["state"])), unpacked["params"]), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["decoder", "shared", "two_kinds", "two_carried"])
def test_variables_need_not_be_packed(name):
    model = BUILDERS[name](3)
    batch = batch_for(model)
    stacked, plain = kgraph.lower(model, stack=True), kgraph.lower(model, stack=False)
    variables = plain.init(KEY)
    assert_close(observed(stacked, variables, batch), observed(plain, variables, batch))


def test_packed_variables_hold_each_number_once():
    program = kgraph.lower(BUILDERS["normalized"](5), stack=True)
    variables = program.init(KEY)
    packed = program.pack(variables)
    shapes = jax.tree.map(jnp.shape, packed)
    (name,) = program.stacks
    assert set(packed["params"]) == {name}
    assert shapes["params"][name]["dense"] == {"kernel": (5, WIDTH, WIDTH), "bias": (5, WIDTH)}
    assert jax.tree.structure(program.pack(packed | variables)) == jax.tree.structure(packed)
    jax.tree.map(np.testing.assert_array_equal, program.unpack(packed), variables)
    traced = jax.jit(lambda v: program.unpack(program.pack(v)))(variables)
    jax.tree.map(np.testing.assert_array_equal, traced, variables)


class Draws(Layer):
    """Adds the numbers that it draws, twice in a call and in a layer inside."""

    def __init__(self, **options):
        super().__init__(**options)
        self.inside = Dropout(0.5)

    def call(self, inputs, training=None):
        bits = jax.random.randint(self.next_key(), inputs.shape, 0, 1000)
        bits += 1000 * jax.random.randint(self.next_key(), inputs.shape, 0, 1000)
        return inputs + bits.astype(inputs.dtype) + self.inside(jnp.ones_like(inputs))


def test_every_draw_is_the_same_bit_for_bit():
    inputs = x = Input((8,))
    for _ in range(5):
        x = Dropout(0.5)(Draws()(x))
    model = Model(inputs, x)
    ones = np.ones((3, 8), np.float32)
    stacked, plain = kgraph.lower(model, stack=True), kgraph.lower(model, stack=False)
    assert counts(stacked) == [5]
    found, wanted = (
        p.apply(p.init(KEY), ones, training=True, key=KEY)[0] for p in (stacked, plain)
    )
    np.testing.assert_array_equal(found, wanted)
    assert len(np.unique(found)) > 3


# --- what must not be stacked --------------------------------------------------------------------


def chain(*layers: Layer) -> Model:
    inputs = x = Input((WIDTH,))
    for layer in layers:
        x = layer(x)
    return Model(inputs, x)


def frozen(layer: Dense) -> Dense:
    layer.trainable = False
    return layer


def marked(layer: Noisy) -> Noisy:
    layer.mark = 1
    return layer


def stacked_counts(model: Model, **options) -> list[int]:
    return counts(kgraph.lower(model, **({"stack": True} | options)))


DIFFERENT: dict[str, Callable[[], Layer]] = {
    "option": lambda: Dense(WIDTH, "relu"),
    "no bias": lambda: Dense(WIDTH, use_bias=False),
    "frozen": lambda: frozen(Dense(WIDTH)),
    "dtype": lambda: Dense(WIDTH, dtype="bfloat16"),
    "regularizer": lambda: Dense(WIDTH, kernel_regularizer="l2"),
    "class": lambda: Noisy(),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_block_that_differs_ends_the_run(name):
    before, after = ([Dense(WIDTH) for _ in range(n)] for n in (3, 4))
    found = stacked_counts(chain(*before, DIFFERENT[name](), *after))
    assert found == ([3, 3] if name == "dtype" else [4, 3])  # the next block casts, and differs


def test_layers_that_draw_by_a_numbered_seed_are_not_stacked():
    assert stacked_counts(chain(*(Dropout(0.5, seed=1) for _ in range(4)))) == []


def test_attributes_that_no_option_tells_of_count_for_the_users_layers():
    assert stacked_counts(chain(*(Noisy() for _ in range(4)))) == [4]
    assert stacked_counts(chain(Noisy(), Noisy(), *(marked(Noisy()) for _ in range(3)))) == [3, 2]
    odd = [Noisy() for _ in range(4)]
    for layer in odd:
        layer.thing = object()
    assert stacked_counts(chain(*odd)) == []


def double(x):
    return x * 2


def halve(x):
    return x / 2


def test_functions_are_the_same_only_if_they_are_one():
    assert stacked_counts(chain(*(Lambda(double) for _ in range(3)))) == [3]
    assert stacked_counts(chain(Lambda(double), Lambda(halve), Lambda(double))) == []
    mixed = [Dense(WIDTH, activation) for activation in (double, double, halve, halve)]
    assert stacked_counts(chain(*mixed)) == [2, 2]


def test_a_layer_that_is_used_elsewhere_too_is_not_stacked():
    inputs = x = Input((WIDTH,))
    layers = [Dense(WIDTH) for _ in range(4)]
    for layer in layers:
        x = layer(x)
    assert stacked_counts(Model(inputs, [x, layers[2](inputs)])) == [2]


def test_layers_that_take_turns_make_one_block():
    one, other = Dense(WIDTH, "tanh"), Dense(WIDTH, "tanh")
    model = chain(*[one, other] * 3)
    assert stacked_counts(model) == [3]
    stacked, plain = kgraph.lower(model, stack=True), kgraph.lower(model, stack=False)
    variables, batch = plain.init(KEY), batch_for(model)
    assert_close(stacked.apply(variables, batch), plain.apply(variables, batch))


def test_shared_state_and_skips_over_two_blocks_are_left_alone():
    norm = BatchNormalization()
    assert stacked_counts(chain(*[norm] * 4)) == []
    inputs = before = x = Input((WIDTH,))
    for _ in range(4):
        before, x = x, Add()([Dense(WIDTH)(x), before])
    model = Model(inputs, x)
    stacked, plain = kgraph.lower(model, stack=True), kgraph.lower(model, stack=False)
    variables = plain.init(KEY)
    outputs = [p.apply(variables, batch_for(model))[0] for p in (stacked, plain)]
    np.testing.assert_allclose(*outputs, rtol=1e-5, atol=1e-6)


def test_blocks_that_feed_each_other_around_a_corner_are_not_one_run():
    inputs = x = Input((WIDTH,))
    odd = inputs
    for i in range(6):
        odd = Dense(WIDTH, ["relu", "tanh", "elu"][i % 3])(odd + x) if i else odd
        x = LayerNormalization()(x) + odd if i in (2, 4) else LayerNormalization()(x)
    model = Model(inputs, x)
    stacked, plain = kgraph.lower(model, stack=True), kgraph.lower(model, stack=False)
    variables, batch = plain.init(KEY), batch_for(model)
    np.testing.assert_allclose(
        stacked.apply(variables, batch)[0], plain.apply(variables, batch)[0], rtol=1e-5, atol=1e-6
    )


class HiddenConvolution(Layer):
    """A convolution that no class name tells of."""

    def call(self, inputs):
        kernel = jnp.ones((3, WIDTH, WIDTH))
        return jax.lax.conv_general_dilated(
            inputs, kernel, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")
        )


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="convolutions loop well elsewhere")
def test_convolutions_do_not_loop_on_a_cpu():
    for make in (lambda: Conv1D(WIDTH, 3, padding="same"), HiddenConvolution):
        inputs = x = Input((TIME, WIDTH))
        for _ in range(4):
            x = make()(x)
        assert stacked_counts(Model(inputs, x)) == []


def test_blocks_loop_elsewhere_only_where_it_is_asked_for():
    inputs = x = Input((TIME, WIDTH))
    for _ in range(8):
        h = Conv1D(WIDTH, 3, padding="same", activation="relu")(x)
        h = Conv1D(WIDTH, 3, padding="same")(h)
        for _ in range(3):
            h = Dense(WIDTH)(h)
        x = Add()([x, h])
    model = Model(inputs, x)
    with lowering_for("tpu"):
        assert stacked_counts(model, stack="auto") == []
        assert stacked_counts(model, stack=True) == [8]
        assert stacked_counts(model, stack="auto", remat="blocks") == [8]
        assert stacked_counts(encoder(6), stack="auto") == []


# --- policy, printing, passes --------------------------------------------------------------------


def test_auto_wants_four_blocks_that_save_something():
    deep = encoder(6)
    assert stacked_counts(deep, stack="auto") == [6]
    assert stacked_counts(encoder(3), stack="auto") == []
    assert stacked_counts(chain(*(Dense(WIDTH) for _ in range(6))), stack="auto") == []
    assert stacked_counts(deep, stack=None) == [6]
    assert stacked_counts(deep, stack=None, passes=()) == []
    assert stacked_counts(deep, stack=False) == []


def test_wrong_options_are_refused():
    with pytest.raises(ConfigError, match=r'True, False or "auto"[\s\S]*\'deep\''):
        kgraph.lower(encoder(1), stack="deep")
    with pytest.raises(ConfigError, match=r"dots_saveable[\s\S]*received *'block'"):
        kgraph.lower(encoder(1), remat="block")
    with pytest.raises(ConfigError, match="Only stacked blocks"):
        kgraph.lower(encoder(1), stack=False, remat="blocks")
    with pytest.raises(GraphError, match="no repeated blocks"):
        kgraph.lower(encoder(1), remat="blocks")


def test_a_printed_program_shows_the_body_once():
    text = str(kgraph.lower(encoder(4), stack=True)).partition("-- stack_blocks: ")[2]
    assert text.startswith("5 nodes")
    assert "\nlayer_normalization/x4: [batch, 3, 4] float32, [batch, 3] bool = 4 blocks(" in text
    assert text.count("MultiHeadAttention(") == 1
    assert "\n    /carried_0: [batch, 3, 4] float32" in text


@pytest.mark.parametrize("name", BUILDERS)
def test_the_pass_is_pure_and_a_second_run_changes_nothing(name):
    graph = inline_models(BUILDERS[name](3).graph)
    before = graph.content_hash
    pass_ = stack_blocks(dict.fromkeys(graph.layers, ""))
    once = pass_(graph)
    verify(once)
    assert once != graph
    assert pass_(once) == once == pass_(replace(graph))
    assert replace(graph).content_hash == before
    again = run_passes(BUILDERS[name](3).graph, (inline_models, pass_))[-1][1]
    assert again == once


def test_names_inside_wrappers_do_not_matter():
    inputs = x = Input((TIME, WIDTH))
    for _ in range(3):
        x = TimeDistributed(Dense(WIDTH))(x)
    assert stacked_counts(Model(inputs, x)) == [3]
    one = Dense(WIDTH)
    inputs = x = Input((TIME, WIDTH))
    for _ in range(3):
        x = TimeDistributed(one)(x)
    assert stacked_counts(Model(inputs, x)) == []


# --- what it is for ------------------------------------------------------------------------------


def gradient_of(program: Program, batch):
    variables = jax.eval_shape(lambda: program.pack(program.init(KEY)))

    def loss(variables):
        run = program.run(variables, batch, training=True, key=KEY)
        return sum(jnp.mean(output) for output in run.outputs)

    return jax.grad(loss, allow_int=True), variables


def test_the_number_of_equations_does_not_grow_with_the_depth():
    def size(count: int) -> int:
        model = BUILDERS["residual"](count)
        function, variables = gradient_of(kgraph.lower(model, stack=True), batch_for(model))
        return sum(1 for _ in equations(jax.make_jaxpr(function)(variables)))

    assert size(6) == size(24)


def test_rematerialisation_needs_less_memory_and_gives_the_same():
    inputs = x = Input((64,))
    for _ in range(8):
        x = x + Dense(64, "tanh")(Dense(256, "gelu")(x))
    model = Model(inputs, x)
    batch = [np.full((64, 64), 0.01, np.float32)]
    memory, grads = {}, {}
    for remat in (None, "dots_saveable", "blocks", "offload"):
        program = kgraph.lower(model, stack=True, remat=remat)
        function, variables = gradient_of(program, batch)
        compiled = jax.jit(function).lower(variables).compile()
        memory[remat] = compiled.memory_analysis().temp_size_in_bytes
        grads[remat] = compiled(program.pack(program.init(KEY)))
    assert memory["blocks"] < 0.5 * memory[None]
    assert memory["blocks"] < memory["dots_saveable"] < memory[None]
    assert_close(grads["blocks"], grads[None])
    assert_close(grads["dots_saveable"], grads[None])
    assert_close(grads["offload"], grads[None])


@pytest.mark.parametrize("remat", ["offload", {"dense_1": "offload"}])
def test_what_enters_a_block_waits_on_the_host(remat):
    x = Input((8,))
    model = Model(x, Dense(8)(Dense(8)(Dense(8)(Dense(8)(x)))))
    moves = []
    for policy in (remat, "blocks" if remat == "offload" else {"dense_1": "nothing_saveable"}):
        program = kgraph.lower(model, stack=True, remat=policy)
        function, variables = gradient_of(program, [np.ones((4, 8), np.float32)])
        text = str(jax.make_jaxpr(function)(variables))
        moves.append(len(re.findall("host", text, re.IGNORECASE)))
    assert moves[0] > moves[1] == 0
