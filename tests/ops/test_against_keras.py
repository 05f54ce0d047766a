"""Every call of the table in `keras_calls.py`: as in Keras, on arrays and on symbols."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from keras_calls import CONSTANTS, FAMILIES, POOL

from kgraph import Input, Model, lower, ops
from kgraph.models import model_from_json

QUICK = ("elementwise", "reductions", "searching", "products")
BY_FAMILY = [
    pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in FAMILIES
]


def evaluate(line: str, module: Any, values: dict[str, Any]) -> Any:
    return eval(line.lstrip("!-~"), {"o": module, **CONSTANTS, **values})


def keras_evaluates(line: str, values: dict[str, Any]) -> Any:
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return evaluate(line, keras.ops, values)


def assert_equal(line: str, got: Any, wanted: Any) -> None:
    got, wanted = jax.tree.leaves(got), jax.tree.leaves(wanted)
    assert len(got) == len(wanted), line
    for ours, theirs in zip(got, wanted):
        if isinstance(theirs, (str, bool)):
            assert ours == theirs, line
            continue
        assert np.shape(ours) == np.shape(theirs), line
        if hasattr(theirs, "dtype"):
            assert str(ours.dtype) == str(theirs.dtype), line
        # Sums are taken in another order.
        np.testing.assert_allclose(ours, theirs, rtol=3e-5, atol=3e-6, err_msg=line)


def models_of(family: str) -> list[tuple[list[str], Model]]:
    """Returns models of the calls that may be nodes, with the arrays that each of them needs."""
    exact = {n: Input(batch_shape=v.shape, dtype=str(v.dtype)) for n, v in POOL.items()}
    any_batch = {
        n: Input(v.shape[1:], dtype=str(v.dtype)) if v.shape[0] == 2 else exact[n]
        for n, v in POOL.items()
    }
    made = []
    for symbols in (exact, any_batch):
        lines = [x for x in FAMILIES[family] if x[0] in ("!" if symbols is exact else "o~")]
        used = [n for n in POOL if any(re.search(rf"\b{n}\b", line) for line in lines)]
        if lines:
            outputs = {line: evaluate(line, ops, symbols) for line in lines}
            made.append((used, Model({name: symbols[name] for name in used}, outputs)))
    return made


# Keras on jax 0.7 warns.
@pytest.mark.filterwarnings("ignore:The (tol|rcond) argument:DeprecationWarning")
@pytest.mark.parametrize("family", BY_FAMILY)
def test_arrays_and_symbols_give_what_keras_gives(family: str):
    programs = [(used, lower(model)) for used, model in models_of(family)]

    @jax.jit  # one compilation for all of them: eager calls take ten times as long
    def everything(arrays: dict[str, Any]) -> Any:
        wanted, ours, nodes = {}, {}, {}
        for line in FAMILIES[family]:
            if line[0] not in "-~":
                wanted[line] = keras_evaluates(line, arrays)
            if line[0] != "-":
                ours[line] = evaluate(line, ops, arrays)
        for used, program in programs:
            variables = program.init(jax.random.key(0))
            nodes |= program.apply(variables, {name: arrays[name] for name in used})[0]
        return wanted, ours, nodes

    wanted, ours, nodes = everything({name: jnp.asarray(value) for name, value in POOL.items()})
    wanted |= {line: keras_evaluates(line, POOL) for line in FAMILIES[family] if line[0] == "~"}
    assert wanted.keys() == ours.keys() == nodes.keys()
    for line, value in wanted.items():
        assert_equal(line, ours[line], value)
        assert_equal(line, nodes[line], value)


@pytest.mark.slow
@pytest.mark.parametrize("family", [n for n in FAMILIES if any(x[0] == "-" for x in FAMILIES[n])])
def test_what_is_no_node_gives_what_keras_gives(family: str):
    for line in FAMILIES[family]:
        if line[0] == "-":
            arrays = {name: jnp.asarray(value) for name, value in POOL.items()}
            assert_equal(line, evaluate(line, ops, arrays), keras_evaluates(line, POOL))


@pytest.mark.parametrize("family", BY_FAMILY)
def test_models_of_them_are_saved(family: str):
    for _, model in models_of(family):
        assert model_from_json(model.to_json()).graph == model.graph
