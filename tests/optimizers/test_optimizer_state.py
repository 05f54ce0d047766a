"""The state of an optimizer is plain: flattened, mapped, scanned, written and read back."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optimizer_oracle import RULE_NAMES, gradients, random_tree, run_kgraph

from kgraph import optimizers

EVERYTHING = {
    "weight_decay": 0.01,
    "use_ema": True,
    "gradient_accumulation_steps": 2,
    "clipnorm": 1.0,
}


QUICK = ("Adam", "Muon", "ScheduleFreeAdamW")
OTHERS = [pytest.param(n, marks=pytest.mark.slow) for n in RULE_NAMES if n not in QUICK]


@pytest.mark.parametrize("name", [*QUICK, *OTHERS])
def test_training_continues_bit_for_bit_from_flat_arrays(name):
    optimizer = getattr(optimizers, name)(0.01, **EVERYTHING)
    grads = gradients(1.0, 5)
    params, state = run_kgraph(optimizer, grads[:3])
    arrays, structure = jax.tree.flatten(state)
    assert all(isinstance(array, jax.Array) for array in arrays)
    read = structure.unflatten([jnp.asarray(np.array(array)) for array in arrays])
    for gradient in grads[3:]:
        updates, state = optimizer.update(gradient, state, params)
        same, read = optimizer.update(gradient, read, params)
        assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), updates, same))
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), state, read))


@pytest.mark.parametrize("name", RULE_NAMES)
def test_update_is_a_scan_body(name):
    optimizer = getattr(optimizers, name)(0.01, **EVERYTHING)
    grads = gradients(1.0, 4)

    def body(carry, gradient):
        params, state = carry
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    params = random_tree(np.random.default_rng(0))
    stacked = jax.tree.map(lambda *g: jnp.stack(g), *grads)
    (scanned, _), _ = jax.lax.scan(body, (params, optimizer.init(params)), stacked)
    stepped, _ = run_kgraph(optimizer, grads)
    # XLA fuses the two differently: float32 rounding of weights of size 1.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6), scanned, stepped)


def test_orbax_writes_and_reads_the_state(tmp_path):
    import orbax.checkpoint as ocp

    optimizer = optimizers.Adafactor(0.01, **EVERYTHING)
    _, state = run_kgraph(optimizer, gradients(1.0, 3))
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.wait_until_finished()
        read = checkpointer.restore(tmp_path / "state", jax.tree.map(jnp.zeros_like, state))
    assert jax.tree.structure(read) == jax.tree.structure(state)
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), state, read))


def test_only_what_is_used_has_leaves():
    state = optimizers.SGD(0.1).init(random_tree(np.random.default_rng(0)))
    assert [leaf.shape for leaf in jax.tree.leaves(state)] == [(), ()]
    assert state.step.dtype == jnp.int32
    assert state.learning_rate.dtype == jnp.float32


def test_init_can_be_abstract_and_jitted():
    params = random_tree(np.random.default_rng(0))
    optimizer = optimizers.Nadam(0.01, **EVERYTHING)
    spec = jax.eval_shape(optimizer.init, params)
    state = jax.jit(optimizer.init)(params)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), spec) == jax.tree.map(
        lambda x: (x.shape, x.dtype), state
    )


def test_an_optimizer_is_an_optax_transformation():
    optimizer = optimizers.Adam(0.1)
    chained = optax.chain(optax.GradientTransformation(optimizer.init, optimizer.update))
    params = random_tree(np.random.default_rng(0))
    ours, _ = optimizer.update(params, optimizer.init(params), params)
    theirs, _ = chained.update(params, chained.init(params), params)
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), ours, theirs))


def test_no_parameters_are_no_problem():
    optimizer = optimizers.Adam(0.1, **EVERYTHING)
    updates, state = optimizer.update({}, optimizer.init({}), {})
    assert updates == {}
    assert int(state.micro_step) == 1
