"""Every layer case meets the same checks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.experimental
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
    ours,
    pair,
    program,
    real_sizes,
    run,
    symbols,
    theirs,
)

from kgraph import Model
from kgraph.compiler.changed import new_options
from kgraph.graph.structure import leaves
from kgraph.layers.base import Input, Layer
from kgraph.layers.base.tree import named_weights, parts_of
from kgraph.saving import load_model

enable_x64 = (jax if hasattr(jax, "enable_x64") else jax.experimental).enable_x64  # jax 0.7
CASES.update({case.id: case for case in all_cases()})


def every(
    condition: Callable[[Case], bool] = lambda case: True,
    quick: Callable[[Case], bool] = lambda case: True,
) -> Any:
    """Runs a check on each case for which `condition` holds: slowly, unless it is a `quick` one."""
    chosen = [
        pytest.param(case, id=case.id, marks=() if quick(case) else pytest.mark.slow)
        for case in CASES.values()
        if condition(case)
    ]
    return pytest.mark.parametrize("case", chosen)


@every()
def test_inferred_spec_is_the_real_shape_for_all_sizes(case: Case):
    both = pair(case.id)
    specs = [symbol.spec for symbol in leaves(both.symbolic)]
    for trial in range(3):
        inputs, masks = arrays(case, trial)
        if trial == 0 and case.keras:  # it is run anyway, to be compared
            real = ours(case.id)[0].outputs
        else:
            real = jax.eval_shape(
                lambda x, m: run(both.ours, case, both.weights, x, m).outputs, inputs, masks
            )
        sizes = real_sizes(case, trial)
        assert [evaluate_dims(spec.dims, sizes) for spec in specs] == [r.shape for r in real]
        assert [spec.dtype for spec in specs] == [str(r.dtype) for r in real]


@every(lambda case: case.keras)
def test_outputs_state_and_losses_are_those_of_keras(case: Case):
    layer, (one, _), (two, _) = pair(case.id).ours, ours(case.id), theirs(case.id)
    assert len(one.outputs) == len(two.outputs)
    for i, (a, b) in enumerate(zip(one.outputs, two.outputs)):
        assert_near(a, b, case.tolerance, f"output {i}")
    for (path, weight), a, b in zip(named_weights(layer), one.weights, two.weights, strict=True):
        if not weight.trainable:  # the others belong to the optimizer
            assert_near(a, b, case.tolerance, f"state {path} after the call")
    assert_near(one.loss, two.loss, case.tolerance, "losses")


@every(lambda case: case.keras)
def test_weights_have_the_names_shapes_and_roles_of_keras(case: Case):
    both = pair(case.id)
    trained = {id(w) for w in both.ours.trainable_weights}
    ours = [
        (path.split("/")[-1], w.shape, id(w) in trained) for path, w in named_weights(both.ours)
    ]
    trained = {id(w) for w in both.theirs.trainable_weights}
    theirs = [(w.name, tuple(w.shape), id(w) in trained) for w in both.theirs.weights]
    assert ours == theirs


@every(lambda case: case.keras and case.gradients, quick=lambda case: case.chosen)
def test_gradients_are_those_of_keras(case: Case):
    (_, one), (_, two) = ours(case.id, True), theirs(case.id, True)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        assert_near(a, b, case.gradient_tolerance, "gradient")


@every(lambda case: case.keras)
def test_mask_is_that_of_keras(case: Case):
    inputs, masks = arrays(case)
    made = ours(case.id)[0].masks
    wanted = keras_mask(pair(case.id).theirs, case, inputs, masks)
    wanted += [None] * (len(made) - len(wanted))
    for one, two in zip(made, wanted):
        assert (one is None) == (two is None), f"mask {one}, expected {two}"
        if two is not None:
            np.testing.assert_array_equal(one, two)


@every()
def test_config_makes_the_same_layer(case: Case):
    both = pair(case.id)
    config = both.ours.get_config()
    again = type(both.ours).from_config(json.loads(json.dumps(config)))
    assert again.get_config() == config
    assert not any(new_options(part) for part in parts_of(both.ours))  # `call` and `build` set none
    args, kwargs = case.arrange(symbols(case))
    again(*args, **kwargs)
    again.set_weights(both.weights)
    assert_same_program(case, both.ours, again)


@every(quick=lambda case: case.sampled)
def test_jitted_equals_plain(case: Case):
    both = pair(case.id)
    inputs, masks = arrays(case)
    plain = run(both.ours, case, both.weights, inputs, masks, case.trains)
    jitted = ours(case.id)[0]
    for name in ("outputs", "masks", "weights", "loss"):
        one, two = getattr(jitted, name), getattr(plain, name)
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
            assert_near(a, b, case.tolerance, name)


@every(lambda case: case.saved, quick=lambda case: case.sampled)
def test_saved_and_loaded_is_the_same_layer(case: Case, tmp_path: Path):
    both = pair(case.id)
    inputs = [Input(tensor.shape, dtype=tensor.dtype) for tensor in case.inputs]
    args, kwargs = case.arrange(inputs)
    Model(inputs, both.ours(*args, **kwargs)).save(tmp_path / "layer.kgraph")
    loaded = load_model(tmp_path / "layer.kgraph").layers[-1]
    for one, two in zip(loaded.weights, both.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), two)
    assert_same_program(case, both.ours, loaded)


def assert_same_program(case: Case, one: Layer, two: Layer) -> None:
    """Fails unless two layers compute the same, and from weights in the same order."""
    inputs, masks = arrays(case)
    weights = pair(case.id).weights
    text, constants = program(one, case, weights, inputs, masks)
    other_text, other_constants = program(two, case, weights, inputs, masks)
    assert other_text == text
    for a, b in zip(constants, other_constants, strict=True):
        np.testing.assert_array_equal(a, b)


@every(lambda case: case.vmap, quick=lambda case: case.sampled)
def test_mapped_over_the_batch_equals_the_batch(case: Case):
    both = pair(case.id)
    inputs, masks = arrays(case)

    def outputs(inputs: Any, masks: Any) -> Any:
        return run(both.ours, case, both.weights, inputs, masks, training=False).outputs

    def of_sample(inputs: Any, masks: Any) -> Any:
        one = [x[None] for x in inputs], [None if m is None else m[None] for m in masks]
        return [y[0] for y in outputs(*one)]

    mapped, whole = jax.jit(lambda x, m: (jax.vmap(of_sample)(x, m), outputs(x, m)))(inputs, masks)
    for one, two in zip(mapped, whole, strict=True):
        assert_near(one, two, case.tolerance)


@every(lambda case: case.float64, quick=lambda case: case.sampled)
def test_float64_is_float64_throughout(case: Case):
    both = pair(case.id)
    config = json.dumps(both.ours.get_config()).replace('"dtype": "float32"', '"dtype": "float64"')
    inputs, masks = arrays(case)
    with enable_x64(True):
        wide = type(both.ours).from_config(json.loads(config))  # and the layers inside as well
        wanted = [tensor.dtype.replace("float32", "float64") for tensor in case.inputs]
        made = [Input(tensor.shape, dtype=d) for tensor, d in zip(case.inputs, wanted)]
        args, kwargs = case.arrange(made)
        wide(*args, **kwargs)
        given = [np.asarray(x).astype(d) for x, d in zip(inputs, wanted)]
        weights = [np.asarray(w, one.dtype) for w, one in zip(both.weights, wide.weights)]
        text, _ = program(wide, case, weights, [jnp.asarray(x) for x in given], masks)
        result = run(wide, case, weights, [jnp.asarray(x) for x in given], masks, case.trains)
    assert "f32[" not in text
    for one, two in zip(result.outputs, ours(case.id)[0].outputs, strict=True):
        if jnp.issubdtype(two.dtype, jnp.floating):
            assert one.dtype == jnp.float64
        assert_near(one, two, case.tolerance)


@every(lambda case: case.bfloat16, quick=lambda case: case.sampled)
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


@every(lambda case: case.random, quick=lambda case: case.chosen)
def test_equal_keys_draw_equally_and_others_do_not(case: Case):
    both = pair(case.id)
    inputs, masks = arrays(case)

    @jax.jit
    def draw(key: Any) -> Any:
        return run(both.ours, case, both.weights, inputs, masks, True, key).outputs[0]

    first = np.asarray(draw(jax.random.key(0)))
    np.testing.assert_array_equal(first, draw(jax.random.key(0)))
    assert not np.array_equal(first, draw(jax.random.key(1)))
