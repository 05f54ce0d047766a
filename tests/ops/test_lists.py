"""Lists of numbers in the place of arrays: JAX refuses them, Keras takes them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import kgraph

X = [[1.0, 2.0], [3.0, 4.0]]
CALLS: dict[str, tuple[Any, ...]] = {
    "exp": (X,), "sum": (X, 1), "max": (X,), "argmax": (X,), "transpose": (X,), "sigmoid": (X,),
    "relu": (X,), "reshape": (X, (4,)), "expand_dims": (X, 0), "repeat": (X, 2, 0),
    "add": ([1, 2], [3, 4]), "matmul": (X, X), "power": ([1.0, 2.0], 2), "clip": ([1, 5], 0, 2),
    "take": ([1, 2, 3], [0, 2]), "take_along_axis": ([[1, 2], [3, 4]], [[0], [1]], 1),
    "concatenate": ([[1, 2], [3]],), "stack": ([[1, 2], [3, 4]],), "split": ([1, 2, 3, 4], 2),
    "einsum": ("ij,jk->ik", X, X), "pad": ([1, 2], [[1, 1]]), "digitize": ([1.5], [1.0, 2.0]),
    "searchsorted": ([1, 2, 3], [2]), "broadcast_to": ([1, 2], (2, 2)), "isin": ([1, 2], [2]),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_they_are_arrays_as_in_keras(name: str) -> None:
    ours, theirs = (getattr(api.ops, name)(*CALLS[name]) for api in (kgraph, keras))
    assert np.asarray(ours).dtype == np.asarray(theirs).dtype
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_they_may_stand_beside_symbolic_tensors_and_arrays() -> None:
    inputs = kgraph.Input((3,))
    model = kgraph.Model(inputs, kgraph.ops.take(inputs, [2, 0], axis=1))
    np.testing.assert_array_equal(model(np.array([[5.0, 6.0, 7.0]])), [[7.0, 5.0]])
    both = kgraph.ops.concatenate([np.ones(2, "float32"), [3.0]])
    np.testing.assert_array_equal(both, [1.0, 1.0, 3.0])
