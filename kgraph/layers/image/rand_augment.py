"""RandAugment: a few changes chosen at random for each image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import jax

from kgraph.checks import check_count
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.image.color import widened
from kgraph.layers.image.factors import Factor
from kgraph.layers.image.policy import PolicyLayer, on_image, on_mask
from kgraph.types import Array


class RandAugment(PolicyLayer):
    """Applies a number of changes to each image in training, each chosen among eleven.

    The changes are those of RandomShear, RandomTranslation, RandomRotation, RandomBrightness,
    RandomColorDegeneration, RandomContrast, RandomSharpness, RandomPosterization, Solarization,
    AutoContrast and Equalization. Segmentation masks move with their images.

    Shapes: `[batch, height, width, 3 or 1]` or one image, in either layout; the same out.
    Dtype: the compute dtype; integers become floats.

    Args:
        value_range: the values of black and white.
        num_ops: how many changes are applied, one after the other.
        factor: strength of all changes, 0 to 1: a number `f` draws from 0 to `f`, a pair from its
            range.
        interpolation: of the changes that move pixels, `"nearest"` or `"bilinear"`.
        seed: a number decides the draws in the place of the layer's path.
        data_format: `"channels_last"` or `"channels_first"`; by default `image_data_format()`.

    Raises:
        ConfigError: an option is out of range.
        GraphError: the images have neither 3 channels nor 1.

    Source: Cubuk et al., "RandAugment", arXiv:1909.13719; here each image draws its own changes.

    >>> from kgraph.layers import Input
    >>> RandAugment()(Input((32, 32, 3))).shape
    (None, 32, 32, 3)
    """

    def __init__(
        self,
        value_range: Sequence[float] = (0, 255),
        num_ops: int = 2,
        factor: Factor = 0.5,
        interpolation: str = "bilinear",
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(value_range, factor, interpolation, True, seed, data_format, **options)
        self.num_ops = check_count("RandAugment", "num_ops", num_ops)

    def draw(self, key: Array, size: tuple[int, ...]) -> Any:
        first, second = jax.random.split(key)
        chosen = jax.random.randint(first, (self.num_ops,), 0, len(self.changes))
        return chosen, jax.random.split(second, self.num_ops)

    def transform(self, image: Array, drawn: Any) -> Array:
        return self.chain(widened(image), drawn, [on_image(layer) for layer in self.changes])

    def transform_mask(self, mask: Array, drawn: Any) -> Array:
        return self.chain(mask, drawn, [on_mask(layer) for layer in self.changes])
