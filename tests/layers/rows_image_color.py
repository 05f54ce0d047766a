"""Cases of the image layers that change colours, mix images, or choose among changes."""

from __future__ import annotations

from typing import Any

from cases import Case, t

UNIT: dict[str, Any] = {"value_range": (0, 1)}
FIRST: dict[str, Any] = {**UNIT, "data_format": "channels_first"}
IMAGES = [t("rows", 4, 3, kind="positive")]
PLANES = [t(3, "rows", 4, kind="positive")]


def drawing(id: str, make: Any, inputs: Any = IMAGES, **options: Any) -> Case:
    """Returns a case of a random layer; `test_image_color.py` has Keras do what it drew."""
    return Case(id, make, inputs, training=True, random=True, keras=False, **options)


ROWS = [
    drawing("random_brightness", lambda L: L.RandomBrightness(0.4, **UNIT)),
    drawing("random_contrast", lambda L: L.RandomContrast(0.8, **FIRST), PLANES),
    drawing("random_hue", lambda L: L.RandomHue(0.5, **UNIT)),
    drawing("random_saturation", lambda L: L.RandomSaturation(0.8, **FIRST), PLANES),
    drawing("random_color_jitter", lambda L: L.RandomColorJitter(brightness_factor=0.2,
            contrast_factor=0.2, saturation_factor=(0.4, 0.6), hue_factor=0.2, **UNIT)),
    drawing("random_color_degeneration", lambda L: L.RandomColorDegeneration(0.8, **UNIT)),
    drawing("random_grayscale", lambda L: L.RandomGrayscale(0.3)),
    drawing("random_invert", lambda L: L.RandomInvert(1.0, **FIRST), PLANES),
    drawing("random_posterization", lambda L: L.RandomPosterization((2, 6), **UNIT)),
    drawing("random_sharpness", lambda L: L.RandomSharpness(1.0, **UNIT)),
    drawing("random_gaussian_blur", lambda L: L.RandomGaussianBlur(1.0, (3, 5), **UNIT)),
    drawing("random_erasing", lambda L: L.RandomErasing((1.0, 1.0), (0.2, 0.5), **UNIT)),
    drawing("random_erasing fill_value", lambda L: L.RandomErasing((1.0, 1.0), (0.2, 0.5),
            fill_value=(0.1, 0.2, 0.3), **UNIT)),
    drawing("solarization", lambda L: L.Solarization(0.5, 0.5, **UNIT)),
    drawing("mix_up", lambda L: L.MixUp(0.5)),
    drawing("cut_mix", lambda L: L.CutMix()),
    drawing("rand_augment", lambda L: L.RandAugment(**UNIT)),
    drawing("aug_mix", lambda L: L.AugMix(num_chains=2, chain_depth=2,
            all_ops=False, **FIRST), PLANES),
    Case("auto_contrast", lambda L: L.AutoContrast(**UNIT), IMAGES),
    Case("equalization", lambda L: L.Equalization(bins=16, **FIRST), PLANES, keras=False,
         bfloat16=False, reason="Keras has one histogram for the batch; bfloat16 moves bins"),
    Case("contrast_limited_adaptive_histogram_equalization",
         lambda L: L.ContrastLimitedAdaptiveHistogramEqualization(tile_grid_size=(2, 3), **UNIT),
         IMAGES, bfloat16=False, gradients=False,
         reason="bfloat16 moves levels, whose steps have no slope"),
    Case("pipeline", lambda L: L.Pipeline([L.AutoContrast(**UNIT), L.Activation("relu")]), IMAGES,
         bfloat16=False, float64=False, reason="the layers inside have their own dtype"),
]  # fmt: skip
