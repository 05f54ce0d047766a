"""Boxes and masks on images, and galleries of them."""

from __future__ import annotations

import inspect

import keras
import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from kgraph import visualization
from kgraph.errors import ConfigError, DataError

NAMES = [name for name in dir(keras.visualization) if not name.startswith("_")]
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (4, 24, 30, 3), dtype=np.uint8)
MASKS = RNG.integers(-1, 4, (4, 24, 30, 1))


@pytest.fixture(autouse=True)
def _without_a_window():
    with mpl.rc_context():
        mpl.use("agg")
        yield


def test_arguments_are_those_of_keras():
    assert len(NAMES) == 5
    for name in NAMES:
        wanted = inspect.signature(getattr(keras.visualization, name)).parameters
        given = inspect.signature(getattr(visualization, name)).parameters
        assert [(n, p.default) for n, p in given.items()] == [
            (n, p.default) for n, p in wanted.items()
        ]


@pytest.mark.parametrize(
    "options",
    [{}, {"num_classes": 3, "alpha": 0.3}, {"ignore_index": 2, "num_classes": 4}],
    ids=str,
)
def test_masks_are_those_of_keras(options, relaxed):
    made = visualization.draw_segmentation_masks(IMAGES, MASKS, **options)
    wanted = np.asarray(keras.visualization.draw_segmentation_masks(IMAGES, MASKS, **options))
    assert made.dtype == np.uint8
    assert np.abs(made.astype(int) - wanted).max() <= 1  # a float32 product just below a number
    first = visualization.draw_segmentation_masks(
        IMAGES.transpose(0, 3, 1, 2), MASKS.transpose(0, 3, 1, 2), data_format="channels_first",
        **options,
    )  # fmt: skip
    np.testing.assert_array_equal(first.transpose(0, 2, 3, 1), made)


def test_masks_that_cover_wholly_in_colours_of_ones_own():
    mask = np.zeros((4, 24, 30), int)
    mask[:, :5] = 1
    colors = {0: (1, 2, 3), 1: (250, 0, 9)}
    made = visualization.draw_segmentation_masks(IMAGES, mask, 2, colors, blend=False)
    assert (made[:, :5] == colors[1]).all()
    assert (made[:, 5:] == colors[0]).all()
    with pytest.raises(ConfigError, match=r"lacks a class[\s\S]*expected  1"):
        visualization.draw_segmentation_masks(IMAGES, mask, 2, {0: (1, 2, 3)})


BOXES = {"boxes": np.array([[[5, 6, 20, 15], [1, 1, 9, 9]]] * 4), "labels": np.array([[1, -1]] * 4)}


@pytest.mark.parametrize("channels", [1, 3])
def test_boxes_are_lines_on_their_borders(channels):
    blank = np.zeros((4, 24, 30, channels))
    color = (200, 100, 0)
    made = visualization.draw_bounding_boxes(blank, BOXES, "xyxy", color=color, line_thickness=1)
    wanted = np.zeros((24, 30), bool)
    wanted[6:16, 5:21] = True
    wanted[7:15, 6:20] = False  # the second box is labelled -1: not drawn
    ink = color if channels == 3 else (100,)
    assert (made[0][wanted] == ink).all()
    assert (made[0][~wanted] == 0).all()
    relative = {**BOXES, "boxes": BOXES["boxes"] / [30, 24, 30, 24]}
    again = visualization.draw_bounding_boxes(
        blank, relative, "rel_xyxy", color=color, line_thickness=1
    )
    np.testing.assert_array_equal(made, again)


def test_names_and_confidences_are_written():
    plain = visualization.draw_bounding_boxes(IMAGES, BOXES, "xyxy")
    named = visualization.draw_bounding_boxes(IMAGES, BOXES, "xyxy", {1: "cat"})
    sure = {**BOXES, "confidences": np.full((4, 2), 0.5)}
    marked = visualization.draw_bounding_boxes(IMAGES, sure, "xyxy", {1: "cat"}, font_scale=0.5)
    other = visualization.draw_bounding_boxes(IMAGES, BOXES, "xyxy", {2: "dog"})
    np.testing.assert_array_equal(plain, other)
    assert (plain != named).any()
    assert (named != marked).any()
    ones = visualization.draw_bounding_boxes(IMAGES / 255.0, BOXES, "xyxy")
    assert np.abs(ones.astype(int) - plain).max() <= 1


def size_of(path):
    with Image.open(path) as image:
        return image.size


def test_galleries_have_the_pictures_of_keras(tmp_path, relaxed):
    labels = {"y_true": np.arange(4), "y_pred": np.zeros(4), "label_map": {0: "a", 1: "b"}}
    for name, options in (("plain", {}), ("labels", {**labels, "rows": 1, "cols": 4})):
        for home in (keras, None):
            module = visualization if home is None else keras.visualization
            path = tmp_path / f"{name}{home is None}.png"
            module.plot_image_gallery(IMAGES, path=path, dpi=40, **options)
        assert size_of(tmp_path / f"{name}True.png") == size_of(tmp_path / f"{name}False.png")
    pictures = [np.asarray(Image.open(tmp_path / f"plain{x}.png")) for x in (True, False)]
    np.testing.assert_allclose(*[p.astype(int) for p in pictures], atol=1)


def test_galleries_of_boxes_and_masks(tmp_path):
    visualization.plot_bounding_box_gallery(
        IMAGES / 255.0, "xyxy", BOXES, BOXES, (0, 1), legend=True, path=tmp_path / "boxes.png"
    )
    visualization.plot_segmentation_mask_gallery(
        IMAGES, 4, y_true=MASKS, y_pred=MASKS[..., 0], path=tmp_path / "masks.png", scale=1
    )
    wide, high = size_of(tmp_path / "masks.png")
    assert wide < high  # 3 columns, 4 rows
    assert size_of(tmp_path / "boxes.png")[0] > 100


def test_what_they_refuse(tmp_path):
    with pytest.raises(DataError, match=r"in a batch[\s\S]*\(24, 30, 3\)"):
        visualization.plot_image_gallery(IMAGES[0])
    with pytest.raises(ConfigError, match="`path` or shown"):
        visualization.plot_image_gallery(IMAGES, path=tmp_path, show=True)
    with pytest.raises(ConfigError, match="expected  label_map"):
        visualization.plot_image_gallery(IMAGES, [1, 2, 3, 4])
    with pytest.raises(ConfigError, match="`legend` or `legend_handles`"):
        visualization.plot_bounding_box_gallery(IMAGES, "xyxy", legend=True, legend_handles=[1])
    with pytest.raises(DataError, match="'boxes' and 'labels'"):
        visualization.draw_bounding_boxes(IMAGES, {"boxes": []}, "xyxy")
    with pytest.raises(DataError, match=r"whole numbers[\s\S]*float64"):
        visualization.draw_segmentation_masks(IMAGES, MASKS * 1.0)
    with pytest.raises(DataError, match="size of the images"):
        visualization.draw_segmentation_masks(IMAGES, MASKS[:, :3])
