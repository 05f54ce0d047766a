"""RandAugment and AugMix: what they choose, and that they apply it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from checks import relaxed
from test_image_color import DRAWS, distance, images, numbers

from kgraph.layers import image as ours
from kgraph.layers.image.policy import on_image, on_mask


@pytest.mark.slow
def test_policies_choose_evenly_and_for_each_image():
    layer = ours.RandAugment(num_ops=3)
    chosen, _ = numbers(layer)
    counts = np.bincount(np.ravel(chosen), minlength=11)
    expected = DRAWS * 3 / 11
    # Chi square with 10 degrees of freedom is above 48 once in 10**6.
    assert ((counts - expected) ** 2 / expected).sum() < 48
    drawn = numbers(ours.AugMix(all_ops=False))
    assert np.unique(drawn["steps"][0]).tolist() == list(range(8))  # seven changes, and none
    np.testing.assert_allclose(drawn["weights"].sum(-1), 1, rtol=1e-5)
    assert distance(drawn["kept"], (np.arange(DRAWS) + 0.5) / DRAWS) < 0.04
    names = {type(change).__name__: change for change in layer.changes}
    assert len(names) == 11
    with relaxed():  # the strengths are those that Keras gives the same changes
        theirs = keras.layers.RandAugment()
    for name, change in names.items():
        twin = getattr(theirs, keras.src.utils.naming.to_snake_case(name))
        for option in ("factor", "x_factor", "height_factor"):
            if hasattr(change, option) and name not in ("RandomPosterization", "RandomContrast"):
                assert tuple(getattr(change, option)) == tuple(getattr(twin, option)), name


@pytest.mark.slow
def test_policies_apply_what_they_chose():
    x = jnp.asarray(images((0, 255), "channels_last")[0])
    mask = x[:, :, :1].astype(jnp.uint8)
    layer = ours.RandAugment(interpolation="nearest")
    transform, transform_mask = jax.jit(layer.transform), jax.jit(layer.transform_mask)
    keys = jax.random.split(jax.random.key(4), 2)
    for chosen in ((0, 8), (6, 1), (10, 4)):
        drawn = (jnp.array(chosen), keys)
        by_hand, moved = x, mask
        for i, key in zip(chosen, keys):
            by_hand = on_image(layer.changes[i])(by_hand, key)
            moved = on_mask(layer.changes[i])(moved, key)
        np.testing.assert_allclose(transform(x, drawn), by_hand, rtol=0, atol=1e-3)
        np.testing.assert_array_equal(transform_mask(mask, drawn), moved)
        assert np.array_equal(moved, mask) == (chosen == (10, 4))  # the last two move nothing


@pytest.mark.slow
def test_aug_mix_is_the_weighted_sum_of_its_chains():
    x = jnp.asarray(images((0, 1), "channels_last")[0])
    layer = ours.AugMix(value_range=(0, 1), num_chains=2, chain_depth=1, all_ops=False)
    transform = jax.jit(layer.transform)
    for seed in range(2):
        drawn = layer.draw(jax.random.key(seed), x.shape[:2])
        by_hand = drawn["kept"] * x
        for weight, (index,), (key,) in zip(drawn["weights"], *drawn["steps"]):
            changed = x if index == 7 else on_image(layer.changes[int(index)])(x, key)
            by_hand += (1 - drawn["kept"]) * weight * changed
        np.testing.assert_allclose(transform(x, drawn), np.clip(by_hand, 0, 1), atol=1e-5)
