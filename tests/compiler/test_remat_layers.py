"""Layers named in `remat` give the same numbers, and keep less for the backward pass."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from stacked_models import KEY, Noisy, assert_close

import kgraph
from kgraph import Input, Model
from kgraph.compiler import Program
from kgraph.compiler.passes import inline_models, remat_layers
from kgraph.errors import ConfigError, GraphError, StateError
from kgraph.graph import verify
from kgraph.layers import BatchNormalization, Dense, Dropout, Embedding, LayerNormalization

WIDTH = 4


def nested() -> Model:
    """Everything that a run leaves in its context, inside a model that is called twice."""
    inputs = Input((WIDTH,))
    h = Noisy(0.1)(Dropout(0.5)(Dense(8, "tanh", activity_regularizer="l2")(inputs)))
    block = Model(inputs, Dense(WIDTH)(BatchNormalization()(h)), name="block")
    inputs = Input((WIDTH,))
    x = block(Dense(WIDTH, name="first")(inputs))
    x = Dropout(0.5, seed=3)(block(x) + x)
    return Model(inputs, Dropout(0.5, seed=3, name="seeded")(x))


def masked() -> Model:
    words = Input((3,), dtype="int32")
    x = Embedding(7, WIDTH, mask_zero=True, name="words")(words)
    x = LayerNormalization(name="norm")(x)
    return Model(words, kgraph.layers.LSTM(3, name="lstm")(x))


def everything(program: Program, batch: np.ndarray) -> object:
    """Returns outputs, new state, added losses and gradients."""
    variables = program.init(KEY)

    def loss(params):
        run = program.run({**variables, "params": params}, batch, training=True, key=KEY)
        return jnp.sum(run.outputs[0] ** 2) + sum(run.losses), (run.outputs, run.losses, run.state)

    return jax.jit(jax.value_and_grad(loss, has_aux=True))(variables["params"])


ONE_LAYER = pytest.param(["first"], marks=pytest.mark.slow)
POLICY = pytest.param({"block": "dots_saveable"}, marks=pytest.mark.slow)


@pytest.mark.parametrize("remat", [["block", "seeded"], ONE_LAYER, POLICY], ids=str)
def test_a_model_computes_the_same(remat):
    batch = np.random.default_rng(0).normal(size=(5, WIDTH)).astype(np.float32)
    program = kgraph.lower(nested(), remat=remat)
    assert len(program.stacks) == {"first": 1, "block": 2}[next(iter(remat))] + len(remat) - 1
    assert_close(everything(program, batch), everything(kgraph.lower(nested()), batch))


def test_masks_reach_a_recomputed_layer_and_leave_it():
    batch = np.array([[1, 2, 0], [3, 0, 0]], np.int32)
    program = kgraph.lower(masked(), remat=["words", "norm", "lstm"])
    assert_close(everything(program, batch), everything(kgraph.lower(masked()), batch))


def test_less_is_kept():
    inputs = x = Input((64,))
    for i in range(4):
        h = Dense(512, "gelu", name=f"wide_{i}")(x)
        x = x + Dense(64, name=f"narrow_{i}")(h)
    model = Model(inputs, x)

    def kept(**options: object) -> int:
        program = kgraph.lower(model, stack=False, **options)

        def loss(variables):
            outputs, _ = program.apply(variables, np.ones((64, 64), np.float32), training=True)
            return jnp.mean(outputs**2)

        compiled = jax.jit(jax.grad(loss)).lower(program.init(KEY)).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert kept(remat=[f"wide_{i}" for i in range(4)]) < 0.8 * kept()


def test_the_pass_is_pure_and_a_second_run_changes_nothing():
    graph = inline_models(nested().graph)
    before = graph.content_hash
    pass_ = remat_layers({"block": "nothing_saveable"})
    once = pass_(graph)
    verify(once)
    assert once != graph
    assert pass_(once) == once
    assert graph.content_hash == before
    assert "block/remat: [batch, 4] float32 = recomputed(first)" in str(once)


@pytest.mark.slow
def test_fit_takes_both_options():
    batch, targets = np.ones((4, WIDTH), np.float32), np.zeros((4, WIDTH), np.float32)
    found = []
    for options in ({}, {"remat": ["block"]}, {"passes": ()}, {"passes": (inline_models,)}):
        kgraph.utils.set_random_seed(0)
        model = nested()
        model.compile("sgd", "mse", **options)
        found.append(model.fit(batch, targets, epochs=2, verbose=0).history["loss"])
    for losses in found[1:]:
        np.testing.assert_allclose(losses, found[0], rtol=1e-5)


def test_without_passes_the_loss_reads_the_probabilities():
    inputs = Input((2,))
    model = Model(inputs, Dense(1, "sigmoid", kernel_initializer="ones")(inputs))
    losses = []
    for passes in (None, ()):
        model.compile("sgd", "binary_crossentropy", passes=passes)
        batch = np.full((1, 2), 30.0, np.float32)
        losses.append(model.evaluate(batch, np.zeros((1, 1)), verbose=0))
    assert losses[0] == pytest.approx(60.0)
    assert losses[1] < 20


def test_wrong_options_are_refused():
    model = nested()
    with pytest.raises(GraphError, match=r"no layer|'blok'[\s\S]*block"):
        kgraph.lower(model, remat=["blok"])
    with pytest.raises(ConfigError, match="dots_saveable"):
        kgraph.lower(model, remat={"block": "all"})
    shared = BatchNormalization(name="norm")
    inputs = Input((WIDTH,))
    inner = Model(inputs, shared(inputs), name="inner")
    program = kgraph.lower(Model(inputs, inner(shared(inputs))), remat=["inner"])
    with pytest.raises(StateError, match="both in 'inner/remat' and outside"):
        program.apply(program.init(KEY), np.ones((2, WIDTH), np.float32), training=True)
