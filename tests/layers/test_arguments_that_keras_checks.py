"""Arguments that Keras takes or refuses: here the same, and each refusal says what was wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import kgraph
from kgraph.errors import ConfigError, GraphError

L, X, MASK = kgraph.layers, np.ones((2, 3, 4), "float32"), np.ones((2, 3), bool)


@pytest.mark.parametrize(
    ("make", "inputs", "mask"),
    [
        (lambda k: k.layers.Attention(), X, None),
        (lambda k: k.layers.Attention(), [X], None),
        (lambda k: k.layers.Attention(), [X, X], MASK),
        (lambda k: k.layers.AdditiveAttention(), [X, X], [None]),
        (lambda k: k.layers.Add(), X, [None]),
        (lambda k: k.layers.Add(), [X, X], [None]),
        (lambda k: k.layers.Maximum(), [X, X], MASK),
        (lambda k: k.layers.Concatenate(), [X], [None, None]),
        (lambda k: k.layers.Concatenate(), [X, X], MASK),
    ],
)
def test_masks_that_do_not_belong_to_the_inputs(make: Callable[[Any], Any], inputs: Any, mask: Any):
    with pytest.raises(ValueError, match=r"should|must|accepts"):
        make(keras).compute_mask(inputs, mask)
    with pytest.raises(GraphError, match=r"computes no mask of these `(inputs|mask)`"):
        make(kgraph).compute_mask(inputs, mask)


def test_masks_that_do():
    for make in (lambda k: k.layers.Attention(), lambda k: k.layers.Add()):
        for mask in (None, [MASK, None], [MASK, MASK]):
            found, expected = (make(k).compute_mask([X, X], mask) for k in (kgraph, keras))
            assert (found is None) == (expected is None)
            if found is not None:
                np.testing.assert_array_equal(found, expected)


ops = kgraph.ops
REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: ops.glu(jnp.ones((3, 5))), "even number of values along axis -1"),
    (lambda: ops.glu(jnp.ones((3, 4)), axis=2), "glu cannot cut"),
    (lambda: ops.depth_to_space(jnp.ones((1, 2, 2, 5)), 2), "a multiple of 4 channels on axis -1"),
    (lambda: ops.depth_to_space(jnp.ones((2, 2, 4)), 2), r"received  shape \[2, 2, 4\]"),
    (lambda: ops.space_to_depth(jnp.ones((1, 3, 4, 4)), 2), "height and width multiples of 2"),
    (lambda: ops.cdist(jnp.ones((3, 2)), jnp.ones((3, 4))), "rows of equally many features"),
    (lambda: ops.cdist(jnp.ones(4), jnp.ones((3, 4))), r"received  \[4\] and \[3, 4\]"),
    (lambda: ops.istft((jnp.ones((3, 3)),), 4, 2, 4), "A spectrum is a pair"),
    (lambda: L.Dense(1, trainable="x"), "Dense needs True or False for trainable"),  # type: ignore[arg-type]
    (lambda: L.InputLayer(input_tensor=kgraph.Input((3,)), batch_shape=(None, 4)), "another shape"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_what_cannot_be_computed_says_what_can(call: Callable[[], object], message: str):
    with pytest.raises(ConfigError, match=message):
        call()


def test_older_names_are_taken():
    layer = L.InputLayer(input_shape=(3,))
    assert layer.batch_shape == (None, 3)
    assert layer.sparse is False
    mesh = kgraph.distribution.DeviceMesh((1,), ("batch",), jax.devices()[:1])
    rules = kgraph.distribution.LayoutMap(mesh)
    spread = kgraph.distribution.ModelParallel(device_mesh=mesh, layout_map=rules)
    assert spread.device_mesh == mesh
    assert (spread.data_shard_id, spread.num_processes) == (0, 1)
    other = kgraph.distribution.DeviceMesh((2,), ("batch",), jax.devices()[:2])
    with pytest.raises(ConfigError, match="mesh of its LayoutMap"):
        kgraph.distribution.ModelParallel(device_mesh=other, layout_map=rules)


def test_a_list_that_holds_itself_is_named():
    class Odd(kgraph.Layer):
        def __init__(self):
            super().__init__()
            self.parts: list[Any] = [L.Dense(2)]
            self.parts.append(self.parts)

        def call(self, inputs):
            return self.parts[0](inputs)

    with pytest.raises(ConfigError, match="attribute 'parts' is nested too deeply"):
        Odd()(X)
