"""What the tests of inference share: weights as after training, and comparing two programs."""

from __future__ import annotations

import jax
import numpy as np

import kgraph
from kgraph import Model
from kgraph.compiler import Program

KEY = jax.random.key(5)


def trained_variables(model: Model) -> dict:
    """Returns variables in which no weight has a value that hides a mistake, such as 0 or 1."""
    random = np.random.default_rng(1)

    def value(array: jax.Array) -> np.ndarray:
        return random.uniform(0.2, 1.0, array.shape).astype(array.dtype)

    return jax.tree.map(value, kgraph.lower(model, ()).init(KEY))


def inputs_for(model: Model, rows: int = 3) -> list[np.ndarray]:
    """Returns arrays for a model, 5 in the place of unknown sizes."""
    random = np.random.default_rng(0)
    found = []
    for tensor in model.inputs:
        shape = (rows, *(5 if size is None else size for size in tensor.shape[1:]))
        if tensor.dtype.startswith("int"):
            found.append(random.integers(0, 4, shape).astype(tensor.dtype))
        else:
            found.append(random.normal(size=shape).astype(np.float32))
    return found


def assert_close(found, wanted, tolerance: float = 1e-5) -> None:
    """Fails unless two structures of arrays are equal, to a share of the largest number."""
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted)):
        assert one.dtype == other.dtype
        wide = np.asarray(other, np.float32)
        limit = tolerance * max(1.0, float(np.abs(wide).max(initial=0.0)))
        np.testing.assert_allclose(np.asarray(one, np.float32), wide, rtol=0, atol=limit)


def assert_infers_the_same(model: Model, tolerance: float = 1e-5) -> Program:
    """Fails unless the program for inference gives what the model's own graph gives.

    Once it is given the model's variables and once folded ones. Returns it.
    """
    plain, folding = kgraph.lower(model, ()), kgraph.lower(model, inference=True)
    variables, arrays = trained_variables(model), inputs_for(model)
    wanted, state = plain.apply(variables, arrays)
    found, kept = folding.apply(variables, arrays)
    assert_close(found, wanted, tolerance)
    assert_close(kept, state, tolerance)
    assert_close(folding.apply(folding.fold(variables), arrays)[0], wanted, tolerance)
    return folding


def classes(program: Program) -> list[str]:
    """Returns what is called at each call of a program."""
    return [program.graph.layers[node.layer].title for node in program.graph.calls]
