"""Image layers that change colours, or mix images: against Keras, and what they draw."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from checks import relaxed

from kgraph.errors import ConfigError, GraphError
from kgraph.layers import Input, Layer
from kgraph.layers import image as ours
from kgraph.layers.base import Context
from kgraph.layers.base.binding import bind

BATCH = 4
RNG = np.random.default_rng(0)
LIGHT = RNG.uniform(0, 1, (BATCH, 7, 6, 3)).astype("float32")
SHARE = jnp.asarray(RNG.uniform(0.1, 1, BATCH), jnp.float32)
YES = SHARE > 0.5


def images(value_range: tuple[int, int], data_format: str) -> np.ndarray:
    low, high = value_range
    found = LIGHT * (high - low) + low
    return found if data_format == "channels_last" else np.moveaxis(found, -1, 1).copy()


def run(layer: Layer, x: Any, training: bool = True, seed: int = 0) -> Any:
    context = Context(training=training, key=jax.random.key(seed))
    return bind(layer, context, "layer")(x)


def draws(layer: Layer, x: Any, seed: int = 0) -> Any:
    """Returns what `run` draws for these images."""
    context = Context(training=True, key=jax.random.key(seed))
    bound = bind(layer, context, "layer")
    with context.entering("layer", True):
        return bound.draw_batch(jnp.asarray(x))


def distance(one: Any, two: Any) -> float:
    """Returns the largest distance between two empirical distribution functions."""
    one, two = np.sort(np.ravel(one)), np.sort(np.ravel(two))
    at = np.concatenate([one, two])
    below = [np.searchsorted(sample, at, side="right") / sample.size for sample in (one, two)]
    return float(np.abs(below[0] - below[1]).max())


def pixels(numbers: Any) -> Any:
    """Returns one number for each image in the shape that Keras wants."""
    return jnp.reshape(numbers, (-1, 1, 1, 1))


GIVEN: dict[str, tuple[tuple[Any, ...], Any, Any]] = {
    # layer: arguments, what we drew, and the same as Keras puts it for a range of this width
    "RandomBrightness": ((0.5,), SHARE - 0.5, lambda w: {"rgb_delta": pixels(SHARE - 0.5) * w}),
    "RandomContrast": ((0.5,), SHARE + 0.5, lambda w: {"contrast_factor": pixels(SHARE + 0.5)}),
    "RandomHue": ((0.5,), SHARE - 0.5, lambda w: {"factor": SHARE - 0.5}),
    "RandomSaturation": ((0.5,), SHARE, lambda w: {"factor": SHARE}),
    "RandomColorDegeneration": ((0.5,), SHARE, lambda w: {"factor": pixels(SHARE)}),
    "RandomGrayscale": ((0.5,), YES, lambda w: pixels(YES)),
    "RandomInvert": ((0.5,), YES, lambda w: {"apply_inversion": YES}),
    "RandomPosterization": (
        (3,),
        jnp.array([1, 3, 5, 8]),
        lambda w: {"shift_factor": jnp.array([7, 5, 3, 0], "uint8")},
    ),
    "RandomSharpness": ((0.5,), SHARE, lambda w: {"factor": SHARE}),
    "RandomGaussianBlur": (
        (0.5, (5, 3)),
        (YES, jnp.full(BATCH, 0.7), jnp.full(BATCH, 0.4)),
        lambda w: {"should_apply_blur": YES, "blur_factor": jnp.array([0.7, 0.4])},
    ),
    "Solarization": (
        (0.5, 0.5),
        (SHARE / 3, 1 - SHARE),
        lambda w: {"additions": pixels(SHARE * 85), "thresholds": pixels(255 - SHARE * 255)},
    ),
}


@pytest.mark.parametrize("name", GIVEN)
def test_equal_draws_do_what_keras_does(name: str):
    arguments, drawn, transformation = GIVEN[name]
    for value_range, data_format in (((0, 255), "channels_last"), ((0, 1), "channels_first")):
        options: dict[str, Any] = {"data_format": data_format}
        if name != "RandomGrayscale":
            options["value_range"] = value_range
        x = jnp.asarray(images(value_range, data_format))
        result = getattr(ours, name)(*arguments, **options).change_images(x, drawn)
        with relaxed():
            theirs = getattr(keras.layers, name)(*arguments, **options)
            expected = theirs.transform_images(x, transformation(value_range[1]))
        # Colours go through a division and back in another order: a few roundings of 2**-24.
        np.testing.assert_allclose(result, expected, rtol=0, atol=3e-6 * value_range[1])


@pytest.mark.parametrize(
    "name", ["AutoContrast", pytest.param("Equalization", marks=pytest.mark.slow)]
)
def test_tones_are_those_of_keras_for_each_image(name: str):
    flat = images((0, 255), "channels_last")
    flat[1, :, :, 0] = 7.0
    for x, options in ((flat, {}), (images((0, 1), "channels_last"), {"value_range": (0, 1)})):
        if name == "Equalization":
            options = {**options, "bins": 16}  # Keras' graph grows with them
        with relaxed():
            theirs = getattr(keras.layers, name)(**options)
            expected = np.concatenate([theirs(x[i : i + 1]) for i in range(2)])
        np.testing.assert_allclose(
            run(getattr(ours, name)(**options), x[:2]), expected, rtol=0, atol=1e-6 * x.max()
        )
        first = getattr(ours, name)(data_format="channels_first", **options)
        moved = run(first, np.moveaxis(x[:2], -1, 1), training=False)
        np.testing.assert_allclose(np.moveaxis(moved, 1, -1), expected, rtol=0, atol=1e-6 * x.max())


@pytest.mark.slow
def test_adaptive_equalization_is_that_of_keras():
    x = np.random.default_rng(1).uniform(0, 255, (2, 19, 14, 2)).astype("float32")
    for options in ({"clip_limit": 0.0, "tile_grid_size": (3, 2)}, {"tile_grid_size": (21, 3)}):
        layer = ours.ContrastLimitedAdaptiveHistogramEqualization(**options)
        with relaxed():
            theirs = keras.layers.ContrastLimitedAdaptiveHistogramEqualization(**options)
            expected = theirs(x)
        np.testing.assert_allclose(jax.jit(layer.remap)(x), expected, rtol=0, atol=5e-4)


@pytest.mark.slow
def test_results_stay_in_range_where_those_of_keras_do_not():
    x = jnp.asarray(images((0, 255), "channels_last"))
    strong = ours.RandomSaturation((1.0, 1.0))
    assert run(strong, x).min() >= -1e-3
    with relaxed():
        assert keras.layers.RandomSaturation((1.0, 1.0))(x, training=True).min() < -1000
    signed = images((-1, 1), "channels_last")
    inverted = run(ours.RandomInvert((1.0, 1.0), value_range=(-1, 1)), signed)
    np.testing.assert_array_equal(inverted, -signed)


@pytest.mark.slow
def test_erasing_fills_rectangles_of_the_size_of_those_of_keras():
    x = jnp.asarray(images((0, 255), "channels_first"))
    filling = (1.0, 2.0, 3.0)
    layer = ours.RandomErasing((0.5, 0.5), (0.2, 0.6), filling, data_format="channels_first")
    result = np.asarray(run(layer, x))
    colors = np.array(filling, "float32").reshape(1, 3, 1, 1)
    erased = (result != x).all(1)
    np.testing.assert_array_equal(result, np.where(erased[:, None], colors, x))
    erased = np.asarray(erased)
    assert sorted(set(erased.any((1, 2)).tolist())) == [
        False,
        True,
    ]  # with this key
    for mask in erased:
        np.testing.assert_array_equal(mask, mask.any(1)[:, None] & mask.any(0)[None, :])
    many = jnp.ones((1000, 16, 16, 1))
    areas = np.asarray(run(ours.RandomErasing((1.0, 1.0), fill_value=0.0), many) == 0).sum((1, 2))
    with relaxed():
        theirs = keras.layers.RandomErasing((1.0, 1.0), seed=1).get_random_transformation(many)
    # Kolmogorov and Smirnov: two samples of 1000 are further apart than 0.12 once in 10**6.
    assert distance(areas, np.asarray(theirs["batch_masks"]).sum((1, 2))) < 0.12
    noise = np.asarray(run(ours.RandomErasing((1.0, 1.0)), np.full((1, 40, 40, 1), 300.0)))
    inside = noise[noise != 300]
    assert 0 < inside.size < 1600
    assert (inside.min(), inside.max()) == (0, 255)
    assert ((inside > 0) & (inside < 255)).mean() == pytest.approx(0.34, abs=0.15)


# --- mixing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["MixUp", "CutMix"])
def test_mixtures_of_images_and_labels_are_those_of_keras(name: str):
    data_format = "channels_first"
    x, labels = images((0, 255), data_format), np.eye(BATCH, 5, dtype="float32")
    layer = getattr(ours, name)(data_format=data_format)
    drawn = draws(layer, x, seed=2)
    batch = {"images": x, "labels": labels, "segmentation_masks": x[:, :1].astype("uint8")}
    mixed = run(layer, jax.tree.map(jnp.asarray, batch), seed=2)
    order = {"permutation_order": drawn["order"], "mix_weight": drawn["weight"]}
    if name == "CutMix":
        rows, columns = (
            (start[:, None] <= np.arange(size)) & (np.arange(size) < end[:, None])
            for (start, end), size in zip(jax.tree.map(np.asarray, drawn["spans"]), x.shape[2:])
        )
        order["batch_masks"] = (rows[:, None, :, None] & columns[:, None, None, :]).repeat(3, 1)
    with relaxed():
        theirs = getattr(keras.layers, name)(data_format=data_format)
        expected = theirs.transform_images(jnp.asarray(x), order)
        expected_labels = theirs.transform_labels(jnp.asarray(labels), order)
    assert not np.array_equal(mixed["images"], x)
    np.testing.assert_allclose(mixed["images"], expected, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(mixed["labels"], expected_labels, rtol=1e-6, atol=1e-7)
    if name == "CutMix":  # the mask is cut like the image
        cut = (np.asarray(mixed["images"]) != x).all(1, keepdims=True)
        masks = batch["segmentation_masks"]
        wanted = np.where(cut, masks[np.asarray(drawn["order"])], masks)
        np.testing.assert_array_equal(mixed["segmentation_masks"], wanted)
    np.testing.assert_array_equal(run(layer, x[0]), x[0])
    untouched = run(layer, jax.tree.map(jnp.asarray, batch), training=False)
    np.testing.assert_array_equal(untouched["labels"], labels)


# --- what is drawn -------------------------------------------------------------------------------

DRAWS = 4000


def numbers(layer: Any) -> Any:
    """Returns what a layer draws for many images."""
    return draws(layer, jnp.zeros((DRAWS, 2, 2, 3)), seed=1)


def kerases(name: str, *arguments: Any) -> Any:
    with relaxed():
        theirs = getattr(keras.layers, name)(*arguments, seed=1)
        return theirs.get_random_transformation(jnp.zeros((DRAWS, 2, 2, 3)), training=True)


@pytest.mark.slow
def test_draws_are_distributed_like_those_of_keras():
    """Kolmogorov and Smirnov: two samples of 4000 are further apart than 0.06 once in 10**6."""
    pairs = [
        (numbers(ours.RandomBrightness(0.4)) * 255, kerases("RandomBrightness", 0.4)["rgb_delta"]),
        (
            numbers(ours.RandomContrast((0.2, 0.6))),
            kerases("RandomContrast", (0.2, 0.6))["contrast_factor"],
        ),
        (numbers(ours.RandomHue(0.6)), kerases("RandomHue", 0.6)["factor"]),
        (
            numbers(ours.RandomSaturation((0.2, 0.7))),
            kerases("RandomSaturation", (0.2, 0.7))["factor"],
        ),
        (
            numbers(ours.RandomColorDegeneration((0.2, 0.7))),
            kerases("RandomColorDegeneration", (0.2, 0.7))["factor"],
        ),
        (numbers(ours.RandomSharpness(0.6)), kerases("RandomSharpness", 0.6)["factor"]),
        (
            8 - numbers(ours.RandomPosterization((2, 5))),
            kerases("RandomPosterization", (2, 6))["shift_factor"],  # its end is not drawn
        ),
        (numbers(ours.RandomGrayscale(0.3)), kerases("RandomGrayscale", 0.3)),
        (numbers(ours.RandomInvert(0.8)), kerases("RandomInvert", 0.8)["apply_inversion"]),
        (numbers(ours.MixUp(0.3))["weight"], kerases("MixUp", 0.3)["mix_weight"]),
    ]
    solar = kerases("Solarization", 0.4, 0.8)
    for one, name in zip(numbers(ours.Solarization(0.4, 0.8)), ("additions", "thresholds")):
        pairs.append((one * 255, solar[name]))
    assert [i for i, pair in enumerate(pairs) if distance(*pair) > 0.06] == []
    assert distance(pairs[0][0], pairs[0][0] + 25) > 0.06  # the measure tells things apart


@pytest.mark.slow
def test_draws_have_the_documented_range_where_those_of_keras_have_not():
    """4000 even draws leave more than 1 % of their range free at an end once in 10**17."""
    documented = [
        (ours.RandomContrast(0.5), 0.5, 1.5),
        (ours.RandomColorDegeneration(0.5), 0.0, 0.5),
        (ours.RandomPosterization(4), 4, 4),
    ]
    for layer, low, high in documented:
        drawn = np.asarray(numbers(layer))
        assert low <= drawn.min() <= low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) <= drawn.max() <= high
    np.testing.assert_allclose(numbers(ours.Solarization((0.5, 0.5)))[0], 0.5)
    factor = numbers(ours.RandomSaturation(0.5))
    assert factor.min() >= 0
    assert factor.max() <= 1


@pytest.mark.slow
def test_cut_mix_covers_and_labels_what_it_draws():
    x = jnp.zeros((DRAWS, 32, 32, 1))
    layer = ours.CutMix((1.0, 1.0))  # the share kept is then even between 0 and 1
    drawn = draws(layer, x, seed=3)
    even = (np.arange(DRAWS) + 0.5) / DRAWS
    assert distance(drawn["weight"], even) < 0.04  # one sample: 2.6 / sqrt(4000) once in 10**6
    np.testing.assert_array_equal(np.sort(drawn["order"]), np.arange(DRAWS))
    for start, end in drawn["spans"]:
        assert start.min() >= 0
        assert end.max() <= 32.0001


def test_layers_draw_apart_and_equal_seeds_alike():
    x = np.full((2, 3, 3, 3), 100.0, "float32")
    first, second = (ours.RandomBrightness(0.5) for _ in range(2))
    both = run(ours.Pipeline([first, second]), x) - run(first, x)
    assert np.abs(both).min() > 1e-3
    assert np.unique(np.asarray(run(first, x))).size == 2  # one number for each image
    seeded = ours.RandomBrightness(0.5, seed=5), ours.RandomBrightness(0.5, seed=5)
    inner = run(ours.Pipeline([seeded[0]]), x)
    np.testing.assert_array_equal(run(seeded[1], x), inner)


# --- dtypes, graphs and errors -------------------------------------------------------------------


def test_integers_become_floats_in_both_modes_and_short_floats_stay():
    x = images((0, 255), "channels_last").astype("uint8")
    for layer in (ours.RandomBrightness((0.1, 0.1)), ours.AutoContrast(), ours.MixUp()):
        assert run(layer, x).dtype == run(layer, x, training=False).dtype == jnp.float32
    bright = run(ours.RandomBrightness((-0.5, -0.5)), x)
    np.testing.assert_array_equal(bright, np.maximum(x.astype("float32") - 127.5, 0))
    short = run(ours.RandomBrightness((0.1, 0.1), dtype="bfloat16"), x)
    assert short.dtype == jnp.bfloat16


def test_a_graph_augments_batches_of_unknown_size_in_training_alone():
    batch = {"images": Input(("rows", 4, 3)), "labels": Input((2,))}
    layer = ours.CutMix()
    out = layer(batch)
    assert out["images"].spec.dims == ("batch", "rows", 4, 3)
    assert out["images"].call.effects == ("random",)
    x = images((0, 255), "channels_last")
    for name in ("RandomHue", "RandomErasing", "Solarization"):
        layer = getattr(ours, name)(*((0.5,) if name == "RandomHue" else ()))
        np.testing.assert_array_equal(run(layer, x, training=False), x)
        # Called alone a layer is in training, as in Keras. A draw may leave a small image as it is.
        assert any(not np.array_equal(layer(x), x) for _ in range(50))


def test_wrong_options_are_refused():
    wrong = [
        (lambda: ours.RandomBrightness(1.5), "RandomBrightness.*`factor`"),
        (lambda: ours.RandomContrast(0.5, value_range=(1, 1)), "`value_range`[\\s\\S]*black and"),
        (lambda: ours.RandomSaturation((-0.5, 0.5)), "from 0 to 1"),
        (lambda: ours.RandomPosterization(2.5), "whole bits"),
        (lambda: ours.RandomGrayscale(2), "RandomGrayscale[\\s\\S]*from 0 to 1"),
        (lambda: ours.RandomGaussianBlur(kernel_size=4), "odd number"),
        (lambda: ours.RandomErasing(fill_value=(1, 2)), "one for each of three channels"),
        (lambda: ours.MixUp(alpha=0), "`alpha`[\\s\\S]*a positive number"),
        (lambda: ours.RandAugment(num_ops=0), "`num_ops`[\\s\\S]*at least 1"),
        (lambda: ours.Pipeline([3]), "list of layers"),
    ]
    for make, text in wrong:
        with pytest.raises(ConfigError, match=text):
            make()


def test_wrong_inputs_are_refused_with_a_hint():
    batch = {"images": Input((4, 4, 3)), "labels": Input(())}
    masks = {"images": Input((4, 4, 3)), "segmentation_masks": Input((4, 4, 1))}
    wrong = [
        (lambda: ours.RandomHue(0.1)(Input((3, 8, 8))), "8 channels[\\s\\S]*channels_first"),
        (lambda: ours.RandAugment()(Input((8, 8, 4))), "4 channels[\\s\\S]*1 or 3"),
        (lambda: ours.MixUp()(batch), "cannot mix class numbers[\\s\\S]*one-hot"),
        (lambda: ours.AugMix()(masks), "no segmentation mask[\\s\\S]*RandAugment"),
        (lambda: ours.AutoContrast()(Input((8, 8))[:, :, 0]), "3 axes \\(one image\\)"),
    ]
    for call, text in wrong:
        with pytest.raises(GraphError, match=text):
            call()
