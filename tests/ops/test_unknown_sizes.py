"""Functions on symbols with unknown sizes give what they give for arrays of these sizes."""

from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np
import pytest

import kgraph
from kgraph import ops
from kgraph.errors import ConfigError

IMAGES = np.random.default_rng(3).normal(size=(2, 7, 6, 2)).astype(np.float32)
ROWS = IMAGES[..., 0, 0]

CALLS: dict[str, tuple[Any, Callable[[Any, Any], Any]]] = {
    "crop by both": (IMAGES, lambda o, x: o.image.crop_images(x, 1, 2, 1, 0)),
    "crop from the start": (
        IMAGES,
        lambda o, x: o.image.crop_images(x, 1, 2, target_height=4, target_width=3),
    ),
    "crop from the end": (
        IMAGES,
        lambda o, x: o.image.crop_images(
            x, bottom_cropping=1, right_cropping=0, target_height=4, target_width=3
        ),
    ),
    "unstack": (ROWS, lambda o, x: o.unstack(x, num=7, axis=1)),
    "scan": (ROWS, lambda o, x: o.associative_scan(lambda a, b: a + b, x, axis=1)),
    "scan from the end": (
        ROWS,
        lambda o, x: o.associative_scan(lambda a, b: a + b, x, reverse=True, axis=1),
    ),
    "scan over rows": (ROWS, lambda o, x: o.associative_scan(lambda a, b: a * b, x, axis=0)),
    "segments": (
        ROWS,
        lambda o, x: o.segment_sum(x, o.cast(x[:, 0] > 0, "int32"), num_segments=3),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_unknown_sizes_change_no_result(name: str) -> None:
    array, call = CALLS[name]
    unknown = [None] * (array.ndim - 1) if array.ndim == 2 else [None, None, 2]
    inputs = kgraph.Input(tuple(unknown))
    model = kgraph.Model(inputs, call(ops, inputs))
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        expected = call(keras.ops, array)
    for one, other in zip(
        jax.tree.leaves(model.predict(array, verbose=0)), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    for one, other in zip(jax.tree.leaves(call(ops, array)), jax.tree.leaves(expected)):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_slices_of_which_nobody_knows_the_number_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"how many slices there are along axis 1[\s\S]*num=4"):
        ops.unstack(kgraph.Input((None,)), axis=1)


def test_a_crop_that_does_not_fit_is_refused_when_the_size_is_known() -> None:
    inputs = kgraph.Input((None, None, 2))
    outputs = ops.image.crop_images(inputs, 1, 2, target_height=9, target_width=3)
    with pytest.raises(ConfigError, match="size below 0"):
        kgraph.Model(inputs, outputs).predict(IMAGES, verbose=0)
