"""Bounding boxes, compared with Keras on the same boxes."""

from __future__ import annotations

import itertools

import jax
import keras
import numpy as np
import pytest

from kgraph.errors import ConfigError, DataError
from kgraph.layers.image.bounding_boxes.formats import FORMATS
from kgraph.utils import bounding_boxes as ours

slow = pytest.mark.slow  # each function of Keras compiles its pieces one by one
RNG = np.random.default_rng(0)
SIZE = {"height": 40, "width": 60}
IMAGE = (40, 60, 3)


class Theirs:
    """Keras' functions, with the promotion of ranks that they lean on."""

    def __getattr__(self, name):
        def call(*args, **kwargs):
            with jax.numpy_rank_promotion("allow"):
                return getattr(keras.utils.bounding_boxes, name)(*args, **kwargs)

        return call


theirs = Theirs()


def boxes(*shape, seed=0):
    """Boxes in xyxy, some of them beyond the borders of the image."""
    rng = np.random.default_rng(seed)
    corner = rng.uniform(-10, 40, (*shape, 2))
    return np.concatenate([corner, corner + rng.uniform(1, 30, (*shape, 2))], -1).astype("float32")


def close(made, wanted, **options):
    np.testing.assert_allclose(np.asarray(made), np.asarray(wanted), **{"rtol": 1e-5, **options})


@slow
@pytest.mark.parametrize("source", FORMATS)
def test_formats_are_those_of_keras(source):
    given = np.asarray(theirs.convert_format(boxes(2, 3), "xyxy", source, **SIZE))
    for target in FORMATS:
        made = ours.convert_format(given, source.upper(), target, **SIZE)
        close(made, theirs.convert_format(given, source, target, **SIZE), atol=1e-5)
        close(ours.convert_format(made, target, source, **SIZE), given, atol=1e-4)


def test_dicts_of_boxes_keep_their_other_entries():
    given = {"boxes": boxes(3), "labels": np.arange(3), "scores": [1]}
    made = ours.convert_format(given, "xyxy", "xywh")
    close(made["boxes"], theirs.convert_format(boxes(3), "xyxy", "xywh"))
    assert (made["labels"] is given["labels"], made["scores"]) == (True, [1])
    assert given["boxes"].tolist() == boxes(3).tolist()  # Keras changes the dict it is given


@slow
@pytest.mark.parametrize("shape", [(4,), (2, 3)])
def test_changes_are_those_of_keras(shape):
    given = boxes(*shape)
    close(ours.crop(given, 3, 5, 20, 25), theirs.crop(given, 3, 5, 20, 25))
    close(ours.pad(given, 3, 5), theirs.pad(given, 3, 5))
    for form, scale in (("xyxy", 1), ("rel_xyxy", 40)):
        bounded = {"boxes": given / scale, "labels": np.ones(shape, "int32")}
        bounded["boxes"][..., -1, :] = [-9, -9, -5, -5]  # nothing of it is in the image
        options = {**SIZE, "bounding_box_format": form}
        made = ours.clip_to_image_size(bounded, **options)
        wanted = theirs.clip_to_image_size(bounded, **options)
        close(made["boxes"], wanted["boxes"])
        np.testing.assert_array_equal(made["labels"], np.asarray(wanted["labels"]))
        assert (np.asarray(made["labels"]) == -1).any()


@slow
def test_affine_transforms_are_those_of_keras():
    given = boxes(2, 3)
    names = ("angle", "translate_x", "translate_y", "scale", "shear_x", "shear_y")
    values = np.array([[30, -70], [0.1, -0.3], [0.2, 0], [1.5, 0.7], [10, 0], [0, -20]], "float32")
    options = dict(zip(names, values)) | SIZE
    for middle in ({}, {"center_x": 0.2, "center_y": 0.9}):
        made = ours.affine_transform(given, **options, **middle)
        close(made, theirs.affine_transform(given, **options, **middle), atol=1e-3)
    alone = {name: value[0] for name, value in zip(names, values)} | SIZE
    close(
        ours.affine_transform(given, **alone)[0], ours.affine_transform(given, **options)[0],
        atol=1e-4,
    )  # fmt: skip


@slow
@pytest.mark.parametrize("form", ["center_yxhw", "rel_xywh"])
def test_overlaps_are_those_of_keras(form):
    shapes = [(3,), (2, 3)]
    for one, other in itertools.product(shapes, shapes):
        given = [ours.convert_format(boxes(*s, seed=i), "xyxy", form, **SIZE)
                 for i, s in enumerate((one, other))]  # fmt: skip
        made = ours.compute_iou(*given, form, image_shape=IMAGE)
        close(made, theirs.compute_iou(*given, form, image_shape=IMAGE), atol=1e-6)
    if form != "rel_xywh":  # which Keras refuses there even with the size of the image
        made = ours.compute_ciou(given[0], given[1], form, IMAGE)
        close(made, theirs.compute_ciou(given[0], given[1], form, IMAGE), atol=1e-6)


@slow
def test_boxes_that_only_fill_up_are_masked():
    given, other = boxes(2, 3), boxes(2, 4, seed=1)
    given[:, 1] = other[:, 2] = -1
    options = {"use_masking": True, "mask_val": -7}
    made = ours.compute_iou(given, other, "xyxy", **options)
    close(made, theirs.compute_iou(given, other, "xyxy", **options), atol=1e-6)
    assert (np.asarray(made) == -7).any()


@slow
@pytest.mark.parametrize("encoding", ["center_yxhw", "center_xywh"])
def test_deltas_are_those_of_keras_and_lead_back(encoding):
    anchors, given = boxes(3), boxes(2, 3, seed=1)
    variance = [0.1, 0.2, 0.3, 0.4]
    for scale in (None, variance):
        made = ours.encode_box_to_deltas(anchors, given, "xyxy", "xyxy", encoding, scale)
        wanted = theirs.encode_box_to_deltas(anchors, given, "xyxy", "xyxy", encoding, scale)
        close(made, wanted, atol=1e-5)
        back = ours.decode_deltas_to_boxes(anchors, made, "xyxy", "xywh", encoding, scale)
        close(back, theirs.convert_format(given, "xyxy", "xywh"), atol=1e-3)
    levels = {"a": anchors}, {"a": made}
    by_level = ours.decode_deltas_to_boxes(*levels, "xyxy", "xywh", encoding, scale)
    close(by_level["a"], back)


def test_they_are_traced_and_lead_back():
    @jax.jit
    def there_and_back(given):
        found = [given]
        for form in FORMATS:
            other = ours.convert_format(given, "xyxy", form, **SIZE)
            found.append(ours.convert_format(other, form, "xyxy", **SIZE))
        still = ours.affine_transform(given, 0, 0, 0, 1, 0, 0, **SIZE)
        return [*found, still], ours.compute_iou(given, given, "xyxy")

    given = boxes(2, 3)
    found, overlaps = there_and_back(given)
    for made in found:
        close(made, given, atol=1e-4)
    close(np.diagonal(overlaps, axis1=1, axis2=2), np.ones((2, 3)))


def test_what_they_refuse():
    with pytest.raises(ConfigError, match=r"`source`[\s\S]*'xxyy'"):
        ours.convert_format(boxes(1), "xxyy", "xyxy")
    with pytest.raises(ConfigError, match=r"size of the image[\s\S]*height=None"):
        ours.convert_format(boxes(1), "xyxy", "rel_xyxy")
    with pytest.raises(DataError, match=r"4 numbers each[\s\S]*\(2, 3\)"):
        ours.convert_format(np.zeros((2, 3)), "xyxy", "xywh")
    with pytest.raises(ConfigError, match="expected  image_shape"):
        ours.compute_iou(boxes(1), boxes(1), "rel_xyxy")
    with pytest.raises(DataError, match=r"\(boxes, 4\) or \(batch"):
        ours.compute_iou(boxes(1)[0], boxes(1), "xyxy")
    with pytest.raises(ConfigError, match="needs height and width"):
        ours.clip_to_image_size({"boxes": boxes(1)})
    with pytest.raises(ConfigError, match="`variance` has 4 numbers"):
        ours.encode_box_to_deltas(boxes(1), boxes(1), "xyxy", "xyxy", variance=[1, 2])
    with pytest.raises(ConfigError, match="`bounding_box_format`"):
        ours.pad(boxes(1), 1, 1, bounding_box_format="xywh")
