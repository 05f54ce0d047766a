"""Random brightness, contrast, saturation and hue in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import jax

from kgraph.layers.base.options import LayerOptions
from kgraph.layers.image.brightness import RandomBrightness, RandomContrast
from kgraph.layers.image.color import RandomColorLayer
from kgraph.layers.image.factors import Factor
from kgraph.layers.image.hue import RandomHue, RandomSaturation
from kgraph.types import Array


class RandomColorJitter(RandomColorLayer):
    """Changes brightness, then contrast, saturation and hue of each image in training.

    Shapes: `[batch, height, width, channels]` or one image, in either layout; the same out.
    Dtype: the compute dtype; integers become floats.

    Args:
        value_range: the values of black and white.
        brightness_factor: see `RandomBrightness`; None leaves this step out.
        contrast_factor: see `RandomContrast`; likewise.
        saturation_factor: see `RandomSaturation`; likewise.
        hue_factor: see `RandomHue`; likewise.
        seed: a number decides the draws in the place of the layer's path.
        data_format: `"channels_last"` or `"channels_first"`; by default `image_data_format()`.

    Raises:
        ConfigError: a factor or `value_range` is out of range.
        GraphError: saturation or hue of images that do not have 3 channels.

    >>> import numpy as np
    >>> image = np.full((2, 2, 3), 100.0, "float32")
    >>> jitter = RandomColorJitter(brightness_factor=(0.2, 0.2), hue_factor=0.1)
    >>> np.asarray(jitter(image, training=True))[0, 0].round(3).tolist()
    [151.0, 151.0, 151.0]
    """

    _kgraph_unbound = RandomColorLayer._kgraph_unbound | {"steps"}

    def __init__(
        self,
        value_range: Sequence[float] = (0, 255),
        brightness_factor: Factor | None = None,
        contrast_factor: Factor | None = None,
        saturation_factor: Factor | None = None,
        hue_factor: Factor | None = None,
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed, data_format, **options)
        given = (
            (RandomBrightness, brightness_factor),
            (RandomContrast, contrast_factor),
            (RandomSaturation, saturation_factor),
            (RandomHue, hue_factor),
        )
        self.steps = [kind(factor, value_range) for kind, factor in given if factor is not None]
        self.channels = (3,) if any(step.channels for step in self.steps) else ()

    def draw(self, key: Array, size: tuple[int, ...]) -> Any:
        keys = jax.random.split(key, max(len(self.steps), 1))
        return [step.draw(keys[i], size) for i, step in enumerate(self.steps)]

    def recolor(self, image: Array, drawn: Any) -> Array:
        for step, numbers in zip(self.steps, drawn):
            image = step.recolor(image, numbers)
        return image
