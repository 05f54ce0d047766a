"""Layers that resize, cut and move images: Keras' numbers for equal draws, and what is drawn."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from checks import relaxed

from kgraph.errors import ConfigError, GraphError
from kgraph.layers import image as ours
from kgraph.layers.base import Context, Input, Layer
from kgraph.layers.base.binding import bind
from kgraph.layers.image.factors import factor_range
from kgraph.layers.image.random_perspective import homography

enable_x64 = (jax if hasattr(jax, "enable_x64") else jax.experimental).enable_x64  # jax 0.7
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(3, 6, 9, 2)).astype("float32")
MASKS = RNG.integers(0, 5, (3, 6, 9, 1)).astype("int32")
# Places are float32 numbers below 16, so they are off by 1e-6 times a few operations; neighbouring
# pixels differ by up to 5. The homography solves eight equations, with a condition of about 1e3.
TOLERANCE, TOLERANCE_OF_HOMOGRAPHY = 1e-4, 5e-3


def run(
    layer: Layer, inputs: Any, seed: int = 0, path: str = "layer", training: bool = True
) -> Any:
    return bind(layer, Context(training=training, key=jax.random.key(seed)), path)(inputs)


def draws(layer: Any, count: int = 3, size: tuple[int, int] = (6, 9)) -> Any:
    keys = jax.random.split(jax.random.key(5), count)
    return jax.jit(jax.vmap(lambda key: layer.draw(key, size)))(keys)


# --- numbers for given draws ---------------------------------------------------------------------


def rotation(theirs: Any, angle: Any) -> dict[str, Any]:
    none = jnp.zeros(3)
    matrix = theirs._compute_affine_matrix(
        0.5, 0.5, jnp.degrees(angle), none, none, none + 1, none, none, 6, 9
    )
    return {"rotation_matrix": matrix}


def perspective(theirs: Any, drawn: Any) -> dict[str, Any]:
    corners = jnp.asarray([[0.0, 0.0], [8.0, 0.0], [0.0, 5.0], [8.0, 5.0]])
    start = jnp.broadcast_to(corners, (3, 4, 2))
    return {"apply_perspective": drawn[0], "start_points": start, "end_points": drawn[1]}


TRANSFORMATIONS = {
    "RandomFlip": lambda theirs, d: {"flips": d[:, None, None, None]},
    "RandomTranslation": lambda theirs, d: {"translations": jnp.stack(d, 1)},
    "RandomRotation": rotation,
    "RandomZoom": lambda theirs, d: {"width_zoom": d[0][:, None], "height_zoom": d[1][:, None]},
    "RandomShear": lambda theirs, d: {"shear_factor": jnp.stack(d, 1)},
    "RandomPerspective": perspective,
}


def move(name: str, *marks: Any, **options: Any) -> Any:
    text = "-".join(str(value) for value in options.values())
    return pytest.param(name, options, id=f"{name}-{text}", marks=marks)


SLOW, FIRST = pytest.mark.slow, {"data_format": "channels_first"}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        move("RandomFlip"),
        move("RandomTranslation", height_factor=0.8, width_factor=(0.1, 0.9), fill_mode="wrap"),
        move("RandomRotation", factor=0.5, fill_mode="wrap"),
        move("RandomZoom", SLOW, height_factor=(0.2, 0.5), width_factor=0.3, fill_mode="wrap"),
        move("RandomShear", SLOW, x_factor=(0.2, 0.5), y_factor=0.1, fill_mode="wrap"),
        move("RandomPerspective", factor=(0.5, 0.5), scale=0.6, fill_value=1.5),
        move("RandomFlip", SLOW, mode="vertical", **FIRST),
        move("RandomTranslation", SLOW, height_factor=0.4, width_factor=0, **FIRST),
        move("RandomRotation", SLOW, factor=(0.1, 0.2), interpolation="nearest"),
        move("RandomZoom", SLOW, height_factor=0.5, fill_mode="nearest"),
        move("RandomShear", SLOW, x_factor=0.5, y_factor=0.4, fill_mode="constant", fill_value=2),
        move("RandomPerspective", SLOW, interpolation="nearest", **FIRST),
    ],
)
def test_images_and_masks_move_as_in_keras_for_equal_draws(name: str, options: dict[str, Any]):
    layer = getattr(ours, name)(**options)
    theirs = getattr(keras.layers, name)(**options)
    images, masks = IMAGES, MASKS
    if options.get("data_format") == "channels_first":
        images, masks = np.moveaxis(images, -1, 1), np.moveaxis(masks, -1, 1)
    drawn = draws(layer)
    change = jax.jit(lambda x, m, d: (layer.change_images(x, d), layer.change_masks(m, d)))
    moved, moved_masks = change(images, masks, drawn)
    with relaxed():
        given = TRANSFORMATIONS[name](theirs, drawn)
        expected = theirs.transform_images(images, given, training=True)
        expected_masks = theirs.transform_segmentation_masks(masks, given, training=True)
    far = TOLERANCE_OF_HOMOGRAPHY if name == "RandomPerspective" else TOLERANCE
    np.testing.assert_allclose(moved, expected, atol=far, rtol=0)
    assert moved_masks.dtype == "int32"
    np.testing.assert_array_equal(moved_masks, expected_masks)
    assert not np.allclose(moved, images, atol=0.1)


def test_a_homography_takes_each_point_to_its_target():
    points = jnp.asarray([[0.0, 0.0], [8.0, 1.0], [-1.0, 6.0], [9.0, 7.0]])
    targets = jnp.asarray([[1.0, 0.5], [7.0, 0.0], [0.0, 5.0], [8.0, 8.0]])
    a, b, c, d, e, f, g, h = homography(points, targets)
    x, y = points.T
    depth = g * x + h * y + 1
    found = jnp.stack([(a * x + b * y + c) / depth, (d * x + e * y + f) / depth], 1)
    np.testing.assert_allclose(found, targets, atol=1e-4)


@pytest.mark.slow
def test_elastic_moves_are_smoothed_noise():
    layer = ours.RandomElasticTransform(
        (1, 1), (0.7, 1), fill_mode="mirror", value_range=(-1.5, 1.5)
    )
    images = RNG.normal(size=(3, 20, 24, 1)).astype("float32")  # high enough for kernels of 5 and 7
    drawn = draws(layer, size=(20, 24))
    change = jax.jit(layer.change_images)
    moved = change(images, drawn)
    for image, strength, noise, result in zip(images, drawn.strength, drawn.noise, moved):
        sigma = float(20 * 0.05 * strength)
        with relaxed():
            blurred = keras.ops.image.gaussian_blur(
                jnp.moveaxis(noise * sigma, 0, -1),
                kernel_size=(int(6 * sigma) | 1,) * 2,
                sigma=(sigma, sigma),
                data_format="channels_last",
            )
            rows, columns = np.mgrid[:20, :24]
            amount = 24 * 0.1 * strength
            places = jnp.stack(
                [rows + amount * blurred[..., 1], columns + amount * blurred[..., 0]]
            )
            expected = keras.ops.image.map_coordinates(image[..., 0], places, 1, "mirror")
        expected = np.clip(expected, -1.5, 1.5)
        np.testing.assert_allclose(result[..., 0], expected, atol=TOLERANCE, rtol=0)
    none = drawn._replace(changed=jnp.zeros(3, bool)), drawn._replace(strength=jnp.zeros(3))
    for still in none:
        kept = change(images, still)
        np.testing.assert_allclose(kept, images.clip(-1.5, 1.5), atol=1e-6)


# --- cutting and resizing ------------------------------------------------------------------------


def test_random_crop_cuts_at_the_place_that_was_drawn_as_in_keras():
    layer, theirs = ours.RandomCrop(4, 5), keras.layers.RandomCrop(4, 5)
    with relaxed():
        expected = theirs.transform_images(IMAGES, (1, 3), training=True)
    np.testing.assert_array_equal(layer.change_images(jnp.asarray(IMAGES), (1, 3)), expected)
    drawn = jnp.asarray(1), jnp.asarray(3)
    cut = layer.change_masks(jnp.asarray(MASKS), drawn)
    np.testing.assert_array_equal(cut, MASKS[:, 1:5, 3:8])


@pytest.mark.parametrize(("size", "training"), [((4, 5), False), ((7, 5), True), ((4, 10), True)])
def test_random_crop_of_small_images_and_outside_of_training(size: tuple[int, int], training: bool):
    cut = run(ours.RandomCrop(*size), jnp.asarray(IMAGES), training=training)
    with relaxed():
        expected = keras.preprocessing.image.smart_resize(IMAGES, size)
    np.testing.assert_allclose(cut, expected, atol=1e-5)


SIZED = {
    "resizing": ours.Resizing(4, 5),
    "cropped": ours.Resizing(4, 5, crop_to_aspect_ratio=True),
    "padded": ours.Resizing(4, 5, pad_to_aspect_ratio=True, fill_value=0.5),
    "center_crop": ours.CenterCrop(4, 5),
    "random_crop": ours.RandomCrop(4, 5),
}


@pytest.mark.slow
def test_sizes_may_stay_unknown_up_to_the_export():
    def all_of_them(x: Any) -> list[Any]:
        return [run(layer, x) for layer in SIZED.values()]

    spec = jax.ShapeDtypeStruct(jax.export.symbolic_shape("b, h, w, 2"), jnp.float32)
    exported = jax.export.export(jax.jit(all_of_them))(spec)
    for height, width in ((7, 9), (4, 9), (3, 6), (9, 4)):
        x = RNG.normal(size=(2, height, width, 2)).astype("float32")
        for name, found, expected in zip(SIZED, exported.call(x), all_of_them(x)):
            np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=f"{name} {x.shape}")


@pytest.mark.slow
@pytest.mark.parametrize(
    "interpolation", ["bilinear", "nearest", "bicubic", "lanczos3", "lanczos5"]
)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_resizing_is_that_of_keras_with_all_options(interpolation: str, data_format: str):
    common = {"interpolation": interpolation, "data_format": data_format}
    for extra in (
        {},
        {"antialias": True},
        {"crop_to_aspect_ratio": True},
        {"pad_to_aspect_ratio": True, "fill_value": 3.3},
    ):
        for x in (IMAGES, IMAGES[0], MASKS.astype("uint8") * 50):
            x = x if data_format == "channels_last" else np.moveaxis(x, -1, -3)
            found = ours.Resizing(4, 5, **common, **extra)(x)
            with relaxed():
                expected = keras.layers.Resizing(4, 5, **common, **extra)(x)
            assert found.dtype == expected.dtype
            # Integers are rounded, and a sum in another order may round to the other side.
            atol = 1e-5 if x.dtype == np.float32 else 1
            np.testing.assert_allclose(
                np.asarray(found, "float32"), np.asarray(expected, "float32"), atol=atol
            )


# --- what is drawn -------------------------------------------------------------------------------

COUNT = 2000
# Massart's bound: the distribution of 2,000 right draws is farther away than this with a
# probability of 2 exp(-2 * 2000 * 0.06**2), which is 1e-6.
FAR = 0.06


def assert_uniform(numbers: Any, low: float, high: float) -> None:
    numbers = np.sort(np.asarray(numbers, np.float64))
    assert low <= numbers[0]
    assert numbers[-1] <= high
    below = np.arange(len(numbers)) / len(numbers)
    assert np.abs((numbers - low) / (high - low) - below).max() < FAR


def assert_independent(one: Any, two: Any) -> None:
    # The correlation of 2,000 independent pairs has a deviation of 0.022; 5 of them: 6e-7.
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.11


def test_draws_are_uniform_and_independent():
    right, down = draws(ours.RandomTranslation((-0.5, 0.25), 0.1), COUNT, (20, 10))
    assert_uniform(right, -1, 1)
    assert_uniform(down, -10, 5)
    assert_independent(right, down)
    assert_uniform(draws(ours.RandomRotation(0.25), COUNT), -np.pi / 2, np.pi / 2)
    wide, high = draws(ours.RandomZoom((-0.3, 0.5), 0.2), COUNT)
    assert_uniform(wide, 0.8, 1.2)
    assert_uniform(high, 0.7, 1.5)
    assert_independent(wide, high)
    one, other = draws(ours.RandomZoom(0.4), COUNT)
    np.testing.assert_array_equal(one, other)
    along_x, along_y = draws(ours.RandomShear(0.5, (0.2, 0.4)), COUNT)
    assert_uniform(along_x, -0.5, 0.5)
    assert_uniform(np.abs(along_y), 0.2, 0.4)
    assert abs(np.mean(along_y > 0) - 0.5) < FAR
    assert abs(np.mean(draws(ours.RandomFlip(), COUNT)) - 0.5) < FAR


def test_corners_strengths_and_probabilities_are_drawn_as_said():
    changed, corners = draws(ours.RandomPerspective(0.6, 0.4), COUNT, (11, 21))
    assert abs(np.mean(changed) - 0.3) < FAR  # a probability between 0 and 0.6
    assert_uniform(corners[:, 3, 0], 16, 24)
    assert_uniform(corners[:, 3, 1], 8, 12)
    assert_independent(corners[:, 3, 0], corners[:, 1, 0])
    assert not np.any(corners[:, 0])
    drawn = draws(ours.RandomElasticTransform((0.8, 0.8), 0.5), COUNT, (2, 3))
    assert abs(np.mean(drawn.changed) - 0.8) < FAR
    assert_uniform(drawn.strength, 0, 0.5)
    noise = np.asarray(drawn.noise, np.float64)  # 24,000 numbers: deviations of 0.0065 and 0.0046
    assert noise.mean() == pytest.approx(0, abs=0.033)
    assert noise.std() == pytest.approx(1, abs=0.023)
    assert_independent(noise[:, 0, 0, 0], noise[:, 1, 0, 0])


def test_crops_are_at_all_places_alike():
    layer = ours.RandomCrop(4, 7)
    x = jnp.zeros((1, 6, 9, 1))
    keys = jax.random.split(jax.random.key(2), COUNT)

    def start(key: Any) -> Any:
        return bind(layer, Context(training=True, key=key), "crop").draw_batch(x)

    rows, columns = jax.jit(jax.vmap(start))(keys)
    shares = np.histogram2d(rows, columns, bins=[np.arange(4), np.arange(4)])[0] / COUNT
    assert shares.sum() == 1
    # A share of 1/9 has a deviation of 0.007; 5 of them for each of 9 places: 5e-6.
    np.testing.assert_allclose(shares, 1 / 9, atol=0.035)


def test_draws_depend_on_the_key_the_layers_place_and_the_image():
    x = jnp.asarray(np.stack([IMAGES[0]] * 2))
    layer = ours.RandomTranslation(0.4, 0.4)
    one = np.asarray(run(layer, x, 1, "a"))
    np.testing.assert_array_equal(run(layer, x, 1, "a"), one)
    assert not np.array_equal(run(layer, x, 2, "a"), one)
    assert not np.array_equal(run(layer, x, 1, "b"), one)
    assert not np.array_equal(one[0], one[1])
    seeded = [ours.RandomTranslation(0.4, 0.4, seed=3) for _ in range(2)]
    np.testing.assert_array_equal(run(seeded[0], x, 1, "a"), run(seeded[1], x, 1, "b"))


# --- what goes in and out ------------------------------------------------------------------------


def test_masks_and_labels_go_along():
    data = {"images": IMAGES, "segmentation_masks": MASKS, "labels": jnp.arange(3)}
    data = {name: jnp.asarray(part) for name, part in data.items()}
    flipped = run(ours.RandomFlip(), data)
    flips = [not np.array_equal(a, b) for a, b in zip(flipped["images"], IMAGES)]
    assert any(flips)
    assert not all(flips)
    for flip, mask, given in zip(flips, flipped["segmentation_masks"], MASKS):
        np.testing.assert_array_equal(mask, given[::-1, ::-1] if flip else given)
    np.testing.assert_array_equal(flipped["labels"], [0, 1, 2])
    small = run(ours.Resizing(3, 3), data)
    with relaxed():
        expected = keras.layers.Resizing(3, 3)({**data, "labels": np.arange(3)})
    for name, part in small.items():
        np.testing.assert_allclose(part, expected[name], atol=1e-5, err_msg=name)
    inputs = {"images": Input((6, 9, 2)), "segmentation_masks": Input((6, 9, 1), dtype="uint8")}
    outputs = ours.CenterCrop(2, 3)(inputs)
    assert {name: (s.shape, s.dtype) for name, s in outputs.items()} == {
        "images": ((None, 2, 3, 2), "float32"),
        "segmentation_masks": ((None, 2, 3, 1), "uint8"),
    }


def test_outside_of_training_only_the_dtype_changes():
    x = jnp.asarray(MASKS.astype("uint8"))
    layers = [
        ours.RandomFlip(),
        ours.RandomZoom(0.1),
        ours.RandomElasticTransform(value_range=(0, 1)),
    ]
    for layer in layers:
        out = run(layer, x, training=False)
        assert out.dtype == jnp.float32
        np.testing.assert_array_equal(out, MASKS.astype("float32"))


def test_a_single_image_and_short_floats():
    layer = ours.RandomRotation((0.25, 0.25), dtype="bfloat16")
    single = run(layer, jnp.asarray(IMAGES[0, :, :6]))
    assert single.dtype == jnp.bfloat16
    # A quarter turn reads pixels where they are, up to the rounding of places.
    turned = np.rot90(IMAGES[0, :, :6])
    np.testing.assert_allclose(single.astype(jnp.float32), turned, atol=2e-2)


@pytest.mark.slow
def test_training_lowers_for_tpu():
    layers = [ours.RandomZoom(0.3), ours.RandomShear(0.3, 0.2), ours.RandomElasticTransform()]
    jitted = jax.jit(lambda x: [run(layer, x) for layer in layers])
    assert jax.export.export(jitted, platforms=("tpu",))(IMAGES).platforms == ("tpu",)


@pytest.mark.slow
def test_long_floats_stay_long():
    with enable_x64(True):
        x = jnp.asarray(IMAGES, jnp.float64) + 1e-12
        for layer in (
            ours.RandomTranslation((0, 0), (0, 0), dtype="float64"),
            ours.RandomPerspective(0.0, dtype="float64"),
            ours.RandomElasticTransform(0.0, value_range=(-9, 9), dtype="float64"),
            ours.Resizing(6, 9, dtype="float64"),
            ours.RandomCrop(6, 9, dtype="float64"),
        ):
            found = jax.jit(partial(run, layer))(x)
            assert found.dtype == jnp.float64
            np.testing.assert_allclose(found, x, rtol=0, atol=1e-14)


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ours.RandomRotation(1.5), "RandomRotation .* `factor`[\\s\\S]*from -1 to 1"),
        (lambda: ours.RandomShear((-0.1, 0.2)), "`x_factor`[\\s\\S]*from 0 to 1[\\s\\S]*-0.1"),
        (lambda: ours.RandomZoom((-1, 0)), "`height_factor`[\\s\\S]*above -1"),
        (lambda: ours.RandomZoom(0.1, fill_mode="mirror"), "`fill_mode`[\\s\\S]*'reflect'"),
        (lambda: ours.RandomZoom(0.1, interpolation="cubic"), "`interpolation`[\\s\\S]*'bilinear'"),
        (lambda: ours.RandomPerspective(scale=2), "`scale`"),
        (lambda: ours.RandomFlip("left"), "`mode`[\\s\\S]*'horizontal'"),
        (lambda: ours.Resizing(0, 3), "`height`"),
        (lambda: ours.Resizing(3, 3, fill_mode="wrap"), "`fill_mode`[\\s\\S]*'constant'"),
        (
            lambda: ours.Resizing(3, 3, crop_to_aspect_ratio=True, pad_to_aspect_ratio=True),
            "crop and pad",
        ),
        (lambda: ours.RandomFlip(bounding_box_format="xyxy"), "no option 'bounding_box_format'"),
    ],
    ids=range(11),
)
def test_options_that_cannot_be(make: Any, text: str):
    with pytest.raises(ConfigError, match=text):
        make()


def test_factors_are_a_number_or_two():
    assert factor_range("Layer", "factor", -0.3) == (-0.3, 0.3)
    assert factor_range("Layer", "factor", [0.5, -1]) == (-1.0, 0.5)
    assert factor_range("Layer", "factor", 0.5, lowest=0) == (0.0, 0.5)
    for wrong in ("0.1", None, True, (0.1,), (0.1, 0.2, 0.3), (0.1, "0.2"), float("nan")):
        with pytest.raises(ConfigError, match="a number, or a pair of numbers"):
            factor_range("Layer", "factor", wrong)


def test_what_is_not_images_is_refused():
    with pytest.raises(GraphError, match="bounding boxes are not moved here"):
        ours.RandomFlip()({"images": Input((4, 4, 3)), "bounding_boxes": Input((2, 4))})
    with pytest.raises(GraphError, match=r"a dict with 'images'[\s\S]*received *'labels'"):
        ours.Resizing(2, 2)({"labels": Input((2,))})
    with pytest.raises(GraphError, match=r"images with 3 axes \(one image\) or 4"):
        ours.CenterCrop(2, 2)(Input((4,)))
    masks = {"images": Input((4, 4, 3)), "segmentation_masks": Input((4, 4))}
    with pytest.raises(GraphError, match=r"as many for segmentation masks[\s\S]*\(None, 4, 4\)"):
        ours.RandomFlip()(masks)
