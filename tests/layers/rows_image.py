"""Cases of the image layers that resize, cut and move."""

from __future__ import annotations

from cases import Case, t

IMAGES = [t("height", "width", 2)]
DRAWN = {
    "training": True,
    "random": True,
    "keras": False,
    "reason": "compared with Keras' for equal draws in test_image_geometry.py",
}

ROWS = [
    Case("resizing", lambda L: L.Resizing(4, 9), IMAGES),
    Case(
        "resizing integers",
        lambda L: L.Resizing(9, 3, "bicubic", antialias=True, data_format="channels_first"),
        [t(2, "height", "width", kind="uint8 255")],
        float64=False,
        reason="between integers there are float32 numbers",
    ),
    Case(
        "resizing cropped",
        lambda L: L.Resizing(3, 4, "lanczos3", crop_to_aspect_ratio=True, antialias=True),
        IMAGES,
    ),
    Case(
        "resizing padded",
        lambda L: L.Resizing(8, 3, "nearest", pad_to_aspect_ratio=True, fill_value=0.6),
        [t("height", "width", 1, kind="int32 9")],
        float64=False,
        bfloat16=False,
        reason="integers stay integers, and are float32 numbers on the way",
    ),
    Case("center_crop", lambda L: L.CenterCrop(5, 6), IMAGES),
    Case(
        "random_crop",
        lambda L: L.RandomCrop(4, 6),
        IMAGES,
        **DRAWN,
    ),
    Case("random_flip", lambda L: L.RandomFlip(), IMAGES, **DRAWN),
    Case(
        "random_translation channels first",
        lambda L: L.RandomTranslation(0.3, (-0.2, 0.4), data_format="channels_first"),
        [t(2, "height", "width")],
        **DRAWN,
    ),
    Case(
        "random_rotation integers",
        lambda L: L.RandomRotation(0.2, fill_mode="nearest", seed=3),
        [t("height", "width", 1, kind="uint8 255")],
        **DRAWN,
    ),
    Case("random_zoom", lambda L: L.RandomZoom(0.3), IMAGES),
    Case(
        "random_shear",
        lambda L: L.RandomShear(0.3, (0.1, 0.2), "nearest", "wrap"),
        IMAGES,
    ),
    Case(
        "random_perspective",
        lambda L: L.RandomPerspective(scale=0.5),
        IMAGES,
        **DRAWN,
    ),
    Case(
        "random_elastic_transform",
        lambda L: L.RandomElasticTransform(value_range=(-3, 3)),
        IMAGES,
    ),
]
