"""Every layer case meets the same checks."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from cases import Case, all_cases
from checks import (
    CASES,
    KEY,
    arrays,
    assert_near,
    evaluate_dims,
    keras_mask,
    pair,
    real_sizes,
    run,
    run_keras,
    symbols,
)

from kgraph.graph.structure import leaves

CASES.update({case.id: case for case in all_cases()})


def every(condition: Callable[[Case], bool] = lambda case: True) -> Any:
    """Runs a check on each case for which the condition holds."""
    chosen = [case for case in CASES.values() if condition(case)]
    return pytest.mark.parametrize("case", chosen, ids=lambda case: case.id)


@every()
def test_inferred_spec_is_the_real_shape_for_all_sizes(case: Case):
    both = pair(case.id)
    specs = [symbol.spec for symbol in leaves(both.symbolic)]
    for trial in range(3):
        inputs, masks = arrays(case, trial)
        real = jax.eval_shape(
            lambda x, m: run(both.ours, case, both.weights, x, m).outputs, inputs, masks
        )
        sizes = real_sizes(case, trial)
        assert [evaluate_dims(spec.dims, sizes) for spec in specs] == [r.shape for r in real]
        assert [spec.dtype for spec in specs] == [str(r.dtype) for r in real]


@every(lambda case: case.keras)
def test_outputs_state_and_losses_are_those_of_keras(case: Case):
    both, training = pair(case.id), case.training and not case.random
    inputs, masks = arrays(case)
    ours = run(both.ours, case, both.weights, inputs, masks, training)
    theirs = run_keras(both.theirs, case, both.weights, inputs, masks, training)
    assert len(ours.outputs) == len(theirs.outputs)
    for i, (one, two) in enumerate(zip(ours.outputs, theirs.outputs)):
        assert_near(one, two, case.tolerance, f"output {i}")
    names = [path for path, _ in both.ours.named_weights()]
    for name, one, two in zip(names, ours.weights, theirs.weights, strict=True):
        assert_near(one, two, case.tolerance, f"weight {name} after the call")
    assert_near(ours.loss, theirs.loss, case.tolerance, "losses")


@every(lambda case: case.keras)
def test_weights_have_the_names_shapes_and_roles_of_keras(case: Case):
    both = pair(case.id)
    trained = {id(w) for w in both.ours.trainable_weights}
    ours = [
        (path.split("/")[-1], w.shape, id(w) in trained) for path, w in both.ours.named_weights()
    ]
    trained = {id(w) for w in both.theirs.trainable_weights}
    theirs = [(w.name, tuple(w.shape), id(w) in trained) for w in both.theirs.weights]
    assert ours == theirs


@every(lambda case: case.keras and case.gradients)
def test_gradients_are_those_of_keras(case: Case):
    both, training = pair(case.id), case.training and not case.random
    inputs, masks = arrays(case)
    trained = {id(w) for w in both.ours.trainable_weights}
    by_weight = [i for i, w in enumerate(both.ours.weights) if id(w) in trained]
    by_input = [i for i, tensor in enumerate(case.inputs) if tensor.differentiable]

    def scalar(runner: Any, layer: Any) -> Any:
        def function(chosen: Any) -> Any:
            weights, given = list(both.weights), list(inputs)
            for i, w in zip(by_weight, chosen[0]):
                weights[i] = w
            for i, x in zip(by_input, chosen[1]):
                given[i] = x
            result = runner(layer, case, weights, given, masks, training)
            return result.loss + sum(_weighted_sum(y) for y in result.outputs)

        return function

    point = [jnp.asarray(both.weights[i]) for i in by_weight], [inputs[i] for i in by_input]
    ours = jax.grad(scalar(run, both.ours))(point)
    theirs = jax.grad(scalar(run_keras, both.theirs))(point)
    for one, two in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert_near(one, two, case.gradient_tolerance, "gradient")


def _weighted_sum(output: Any) -> Any:
    """Returns a sum that no symmetry of the output leaves equal."""
    if not jnp.issubdtype(output.dtype, jnp.floating):
        return jnp.zeros(())
    weights = np.cos(np.arange(output.size, dtype=np.float32)).reshape(output.shape)
    return jnp.sum(output * jnp.asarray(weights))


@every(lambda case: case.keras)
def test_mask_is_that_of_keras(case: Case):
    both = pair(case.id)
    inputs, masks = arrays(case)
    ours = run(both.ours, case, both.weights, inputs, masks, False).masks
    theirs = keras_mask(both.theirs, case, inputs, masks)
    theirs += [None] * (len(ours) - len(theirs))
    for one, two in zip(ours, theirs):
        assert (one is None) == (two is None), f"mask {one}, expected {two}"
        if two is not None:
            np.testing.assert_array_equal(one, two)


@every()
def test_config_makes_the_same_layer(case: Case):
    both = pair(case.id)
    config = both.ours.get_config()
    again = type(both.ours).from_config(json.loads(json.dumps(config)))
    assert again.get_config() == config
    args, kwargs = case.arrange(symbols(case))
    again(*args, **kwargs)
    again.set_weights(both.weights)
    inputs, masks = arrays(case)
    one = run(both.ours, case, both.weights, inputs, masks)
    two = run(again, case, both.weights, inputs, masks)
    for a, b in zip(one.outputs, two.outputs, strict=True):
        np.testing.assert_array_equal(a, b)


@every()
def test_jitted_equals_plain(case: Case):
    both = pair(case.id)
    inputs, masks = arrays(case)

    def outputs(weights: Any, x: Any, m: Any, key: Any) -> Any:
        result = run(both.ours, case, weights, x, m, key=key)
        return result.outputs, result.weights

    plain = outputs(both.weights, inputs, masks, KEY)
    jitted = jax.jit(outputs)(both.weights, inputs, masks, KEY)
    for one, two in zip(jax.tree.leaves(jitted), jax.tree.leaves(plain), strict=True):
        assert_near(one, two, case.tolerance)


@pytest.mark.slow
@every(lambda case: case.bfloat16)
def test_bfloat16_is_near_float32(case: Case):
    both = pair(case.id)
    short = type(both.ours).from_config({**both.ours.get_config(), "dtype": "mixed_bfloat16"})
    args, kwargs = case.arrange(symbols(case))
    short(*args, **kwargs)
    inputs, masks = arrays(case)
    cast = [
        x.astype(jnp.bfloat16) if tensor.differentiable else x
        for x, tensor in zip(inputs, case.inputs)
    ]
    wide = run(both.ours, case, both.weights, [_as(c, x) for c, x in zip(cast, inputs)], masks)
    result = run(short, case, both.weights, cast, masks)
    for one, two in zip(result.outputs, wide.outputs, strict=True):
        if jnp.issubdtype(two.dtype, jnp.floating):
            assert one.dtype == jnp.bfloat16
            one = one.astype(jnp.float32)
        assert_near(one, two, case.bfloat16_tolerance)


def _as(short: Any, wide: Any) -> Any:
    """Returns the rounded values in the wide dtype: only the layer's own rounding is compared."""
    return short.astype(wide.dtype)


@every(lambda case: case.tpu)
def test_lowers_for_tpu(case: Case):
    both = pair(case.id)
    inputs, masks = arrays(case)

    @jax.jit
    def outputs(weights: Any, x: Any, m: Any, key: Any) -> Any:
        return run(both.ours, case, weights, x, m, key=key).outputs

    arguments = (both.weights, inputs, masks, KEY)
    exported = jax.export.export(outputs, platforms=("tpu",))(*arguments)
    assert exported.platforms == ("tpu",)


@every(lambda case: case.random)
def test_equal_keys_draw_equally_and_others_do_not(case: Case):
    both = pair(case.id)
    inputs, masks = arrays(case)

    def draw(seed: int) -> np.ndarray:
        key = jax.random.key(seed)
        return np.asarray(run(both.ours, case, both.weights, inputs, masks, True, key).outputs[0])

    np.testing.assert_array_equal(draw(0), draw(0))
    assert not np.array_equal(draw(0), draw(1))
