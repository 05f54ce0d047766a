"""`Variable`: read, set, computed with; compared with Keras' own."""

from __future__ import annotations

import copy
import operator
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import kgraph
from kgraph import ops
from kgraph.errors import ConfigError, GraphError, StateError

VALUES = np.array([1.5, -2.0, 3.0], np.float32)
BINARY = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"]
COMPARED = ["lt", "le", "gt", "ge", "eq", "ne"]
LOGICAL = ["and_", "or_", "xor"]


def both(value: Any = VALUES, **options: Any) -> tuple[kgraph.Variable, Any]:
    return kgraph.Variable(value, **options), keras.Variable(value, **options)


def same(ours, theirs):
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


@pytest.mark.parametrize("name", [*BINARY, *COMPARED])
def test_arithmetic_from_both_sides(name):
    function, other = getattr(operator, name), np.array([2.0, 3.0, 1.0], np.float32)
    ours, theirs = both()
    same(function(ours, other), function(theirs, other))
    same(function(jnp.asarray(other), ours), function(jnp.asarray(other), theirs))
    same(function(ours, ours), function(theirs, theirs))
    assert isinstance(function(other, ours), jax.Array)  # NumPy leaves it to the variable


@pytest.mark.parametrize("name", LOGICAL)
def test_logic(name):
    ours, theirs = both(np.array([True, False, True]))
    function, other = getattr(operator, name), np.array([False, False, True])
    same(function(ours, other), function(theirs, other))
    same(function(jnp.asarray(other), ours), function(other, theirs.value))


def test_one_operand_indexing_and_conversions():
    ours, theirs = both()
    for function in (operator.neg, operator.pos, abs, np.asarray, lambda v: v[1:], lambda v: v[0]):
        same(function(ours), function(theirs))
    same(ours.numpy(), theirs.numpy())
    assert (ours.shape, ours.ndim, ours.dtype) == (theirs.shape, theirs.ndim, theirs.dtype)
    assert float(kgraph.Variable(2.5)) == 2.5
    assert list(range(5))[kgraph.Variable(3)] == 3
    assert int(kgraph.Variable(3)) == 3
    assert [float(x) for x in ours] == VALUES.tolist()
    with pytest.raises(TypeError, match="neither true nor false"):
        bool(ours)
    assert ours in {ours}


def test_assignments_return_the_new_value():
    ours, theirs = both()
    same(ours.assign_add([1.0, 2.0, 3.0]), theirs.assign_add([1.0, 2.0, 3.0]))
    same(ours.assign_sub(0.5), theirs.assign_sub(0.5))
    same(ours.assign(ours * 2), theirs.assign(theirs * 2))
    same(ours, theirs)
    with pytest.raises(StateError, match=r"'variable' cannot take[\s\S]*expected  \(3,\)"):
        ours.assign([1.0])


@pytest.mark.parametrize("value", [1.0, 2, True, [1, 2], np.arange(3), np.float64(2), "ones"])
def test_first_values_and_their_dtypes(value):
    options = {"shape": (2,)} if isinstance(value, str) else {}
    ours, theirs = both(value, **options)
    same(ours, theirs)
    assert ours.dtype == theirs.dtype


def test_what_makes_no_variable():
    with pytest.raises(ConfigError, match="needs a shape"):
        kgraph.Variable("ones")
    with pytest.raises(ConfigError, match="without '/'"):
        kgraph.Variable(1.0, name="a/b")


def test_a_copy_has_an_array_of_its_own():
    variable = kgraph.Variable(1.0, name="n")
    twin = copy.deepcopy(variable)
    twin.assign(2.0)
    assert (float(variable), float(twin), twin.path) == (1.0, 2.0, "n")


def test_ops_take_variables():
    variable = kgraph.Variable(VALUES)
    same(ops.sum(variable), VALUES.sum())
    same(ops.concatenate([variable, variable]), np.concatenate([VALUES, VALUES]))
    same(ops.where(variable > 0, variable, 0.0), np.maximum(VALUES, 0))
    same(ops.convert_to_numpy(variable), VALUES)
    assert ops.shape(variable) == (3,)


def test_a_variable_does_not_hide_in_a_graph():
    variable = kgraph.Variable(VALUES)
    with pytest.raises(GraphError, match="hold the variable in a layer"):
        _ = kgraph.Input((3,)) + variable


def test_a_trace_does_not_reach_a_variable():
    variable = kgraph.Variable(1.0)
    with pytest.raises(StateError, match="inside a function that JAX is tracing"):
        jax.jit(variable.assign)(2.0)
    with pytest.raises(StateError, match="made of a value that JAX is tracing"):
        jax.jit(lambda x: kgraph.Variable(x).value)(2.0)
    assert float(variable) == 1.0


def test_a_stateless_scope_has_other_values_and_keeps_what_is_assigned():
    def run(library, variable):
        @jax.jit
        def step(value):
            with library.StatelessScope([(variable, value)]) as scope:
                variable.assign_add(1.0)
                variable.assign(variable * 2)
                return scope.get_current_value(variable)

        return float(step(3.0)), float(variable)

    ours, theirs = both(1.0)
    assert run(kgraph, ours) == run(keras, theirs) == (8.0, 1.0)
    scope = kgraph.StatelessScope()
    assert scope.get_current_value(ours) is None
    with pytest.raises(ConfigError, match="pairs of a variable and its value"):
        kgraph.StatelessScope([(1.0, 2.0)])  # pyright: ignore[reportArgumentType]
    with pytest.raises(StateError, match="another shape"):
        kgraph.StatelessScope([(ours, [1.0, 2.0])])
