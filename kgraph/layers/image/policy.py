"""What RandAugment and AugMix share: the changes they choose from, and chains of chosen ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import jax

from kgraph.layers.base.options import LayerOptions
from kgraph.layers.image.base import ImageLayer, RandomImageLayer
from kgraph.layers.image.blur import RandomSharpness
from kgraph.layers.image.brightness import RandomBrightness, RandomContrast
from kgraph.layers.image.color import check_channels, value_limits
from kgraph.layers.image.factors import Factor, factor_range
from kgraph.layers.image.grayscale import RandomColorDegeneration
from kgraph.layers.image.histogram import AutoContrast, Equalization, ToneLayer
from kgraph.layers.image.random_rotation import RandomRotation
from kgraph.layers.image.random_shear import RandomShear
from kgraph.layers.image.random_translation import RandomTranslation
from kgraph.layers.image.tones import RandomPosterization, Solarization
from kgraph.types import Array, Function, Tree


class PolicyLayer(RandomImageLayer):
    """Base of layers that choose changes at random for each image.

    Which change is chosen is known only when the numbers are drawn, so under `jit` each step
    computes all changes for all images and keeps one: about eleven times the work of a step.

    Args:
        value_range: the values of black and white.
        factor: strength of all changes, 0 to 1: a number `f` draws from 0 to `f`, a pair from its
            range.
        interpolation: of the changes that move pixels, `"nearest"` or `"bilinear"`.
        colors: whether brightness, colour, contrast and sharpness are among the changes.
        seed, data_format: see `RandomImageLayer`.
    """

    changes: list[ImageLayer]
    _kgraph_unbound = RandomImageLayer._kgraph_unbound | {"changes"}

    def __init__(
        self,
        value_range: Sequence[float],
        factor: Factor,
        interpolation: str,
        colors: bool,
        seed: int | None,
        data_format: str | None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed, data_format, **options)
        owner = type(self).__name__
        self.value_range = value_limits(owner, value_range)
        self.factor = factor_range(owner, "factor", factor, 0.0)
        strength = self.factor
        last: dict[str, Any] = {"data_format": "channels_last"}
        bits = max(1, int(8 * strength[1]) - 1)
        self.changes = [
            RandomShear(strength, strength, interpolation, **last),
            RandomTranslation(strength, strength, interpolation=interpolation, **last),
            RandomRotation(strength, interpolation=interpolation, **last),
            RandomPosterization((1, bits), self.value_range, **last),
            Solarization(strength, strength, self.value_range, **last),
            AutoContrast(self.value_range, **last),
            Equalization(self.value_range, **last),
        ]
        if colors:
            self.changes += [
                RandomBrightness(strength, self.value_range, **last),
                RandomColorDegeneration(strength, self.value_range, **last),
                RandomContrast(strength, self.value_range, **last),
                RandomSharpness(strength, self.value_range, **last),
            ]
        self.channels = RandomColorDegeneration.channels if colors else ()

    def chain(self, image: Array, steps: Tree, functions: Sequence[Function]) -> Array:
        """Returns an image after several changes.

        Args:
            image: `[height, width, channels]`.
            steps: for each step the index of a function and a random key, two arrays `[steps]`.
            functions: from an image and a key to an image.
        """

        def step(image: Array, now: Any) -> tuple[Array, None]:
            return jax.lax.switch(now[0], functions, image, now[1]), None

        return jax.lax.scan(step, image, steps)[0]

    def _kgraph_check_call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        super()._kgraph_check_call(args, kwargs)
        given = args[0] if args else kwargs.get("inputs")
        images = given["images"] if isinstance(given, Mapping) else given
        check_channels(self, images, self.channels)


def on_image(layer: ImageLayer) -> Function:
    """Returns what a layer does to one image, as a function of the image and a key."""

    def change(image: Array, key: Array) -> Array:
        if isinstance(layer, RandomImageLayer):
            return layer.transform(image, layer.draw(key, image.shape[:2])).astype(image.dtype)
        assert isinstance(layer, ToneLayer)
        return layer.remap(image)

    return change


def on_mask(layer: ImageLayer) -> Function:
    """Returns what a layer does to a mask; with the key of the image it is the same movement."""

    def change(mask: Array, key: Array) -> Array:
        if isinstance(layer, RandomImageLayer):
            return layer.transform_mask(mask, layer.draw(key, mask.shape[:2])).astype(mask.dtype)
        return mask

    return change


def unchanged(image: Array, key: Array) -> Array:
    """Returns the image: the choice of no change."""
    return image
