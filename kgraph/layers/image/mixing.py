"""MixUp and CutMix: images of a batch mixed with each other, and their labels with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

import jax
import jax.numpy as jnp

from kgraph.checks import check_positive
from kgraph.errors import GraphError
from kgraph.graph.traits import Traits
from kgraph.layers.base.core import label_of, next_key
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.image.base import ImageLayer
from kgraph.layers.image.boxes import as_float, inside, random_span
from kgraph.layers.image.color import widened
from kgraph.layers.image.factors import Factor, factor_range, uniform
from kgraph.types import Array


class MixingLayer(
    ImageLayer, traits=Traits(idle_at_inference=True, rows_independent="at inference")
):
    """Base of layers that mix each image with another one of its batch, in training only.

    What `draw_batch` returns has the partners, `"order"`, and the share that an image keeps of
    itself, `"weight"`, each of shape `[batch]`.

    Args:
        seed: a number decides the draws in the place of the layer's path.
        data_format: see `ImageLayer`.
    """

    def __init__(
        self, seed: int | None, data_format: str | None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(data_format, **options)
        self.seed = seed

    def mix(self, values: Array, drawn: Any) -> Array:
        """Returns each row of `values` mixed with that of its partner, in the compute dtype."""
        values = values.astype(self.compute_dtype)
        if drawn is None:
            return values
        wide = widened(values)
        weight = drawn["weight"].astype(wide.dtype)
        weight = weight.reshape(weight.shape + (1,) * (wide.ndim - 1))
        return (weight * wide + (1 - weight) * wide[drawn["order"]]).astype(values.dtype)

    def change_labels(self, labels: Array, drawn: Any) -> Array:
        return self.mix(labels, drawn)

    def _kgraph_check_call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        super()._kgraph_check_call(args, kwargs)
        given = args[0] if args else kwargs.get("inputs")
        if not isinstance(given, Mapping) or given.get("labels") is None:
            return
        labels = given["labels"]
        if len(labels.shape) < 2 and len(given["images"].shape) == 4:
            raise GraphError(
                f"{label_of(self)} cannot mix class numbers",
                expected="labels of shape [batch, classes]",
                received=f"shape {tuple(labels.shape)}",
                hint="make them one-hot first (CategoryEncoding, utils.to_categorical)",
            )


class MixUp(MixingLayer):
    """Adds to each image another one of the batch in training; the labels are mixed likewise.

    Shapes: `[batch, height, width, channels]` in either layout, or a dict with them as `"images"`
    and `"labels"` of shape `[batch, classes]`; the same out. A single image stays as it is.
    Dtype: the compute dtype, of labels and masks too; integers become floats.

    Args:
        alpha: positive; the share that an image keeps is drawn from Beta(alpha, alpha).
        data_format: `"channels_last"` or `"channels_first"`; by default `image_data_format()`.
        seed: a number decides the draws in the place of the layer's path.

    Raises:
        ConfigError: `alpha` is not positive.
        GraphError: labels are class numbers.

    Source: Zhang et al., "mixup", arXiv:1710.09412.

    >>> import numpy as np
    >>> batch = {"images": np.ones((2, 4, 4, 3), "float32"), "labels": np.eye(2, dtype="float32")}
    >>> MixUp()(batch, training=True)["labels"].sum(axis=1)
    Array([1., 1.], dtype=float32)
    """

    def __init__(
        self,
        alpha: float = 0.2,
        data_format: str | None = None,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed, data_format, **options)
        self.alpha = check_positive("MixUp", "alpha", alpha)

    def draw_batch(self, images: Array) -> Any:
        if images.ndim == 3:
            return None
        first, second = jax.random.split(next_key(self))
        weight = jax.random.beta(first, self.alpha, self.alpha, images.shape[:1], jnp.float32)
        return {"order": shuffled(second, images.shape[0]), "weight": weight}

    def change_images(self, images: Array, drawn: Any) -> Array:
        return self.mix(images, drawn)

    def change_masks(self, masks: Array, drawn: Any) -> Array:
        return self.mix(masks, drawn)


class CutMix(MixingLayer):
    """Replaces a rectangle of each image by that of another one of the batch in training.

    The labels are mixed by the area of the rectangle.

    Shapes: `[batch, height, width, channels]` in either layout, or a dict with them as `"images"`
    and `"labels"` of shape `[batch, classes]`; the same out. A single image stays as it is.
    Dtype: the compute dtype, of labels and masks too; integers become floats.

    Args:
        factor: the share that an image keeps is drawn from Beta(alpha, alpha), with an alpha drawn
            for each batch: from 0 to a number, or from a pair's range; 0 to 1.
        seed: a number decides the draws in the place of the layer's path.
        data_format: `"channels_last"` or `"channels_first"`; by default `image_data_format()`.

    Raises:
        ConfigError: `factor` is out of range.
        GraphError: labels are class numbers.

    Source: Yun et al., "CutMix", arXiv:1905.04899.

    >>> import numpy as np
    >>> batch = {"images": np.ones((2, 4, 4, 3), "float32"), "labels": np.eye(2, dtype="float32")}
    >>> CutMix(0.0)(batch, training=True)["labels"].sum(axis=1)
    Array([1., 1.], dtype=float32)
    """

    def __init__(
        self,
        factor: Factor = 1.0,
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed, data_format, **options)
        self.factor = factor_range("CutMix", "factor", factor, 0.0)

    def draw_batch(self, images: Array) -> Any:
        if images.ndim == 3:
            return None
        batch, size = images.shape[0], self.size_of(images)
        keys = jax.random.split(next_key(self), 5)
        alpha = uniform(keys[0], self.factor) + 1e-6
        kept = jax.random.beta(keys[1], alpha, alpha, (batch,), jnp.float32)
        side = jnp.sqrt(1 - kept)
        spans = tuple(random_span(keys[i + 2], size[i], side) for i in range(2))
        (top, bottom), (left, right) = spans
        area = (bottom - top) * (right - left) / (as_float(size[0]) * as_float(size[1]))
        return {"order": shuffled(keys[4], batch), "weight": 1 - area, "spans": spans}

    def change_images(self, images: Array, drawn: Any) -> Array:
        images = images.astype(self.compute_dtype)
        if drawn is None:
            return images
        size = self.size_of(images)
        replaced = jax.vmap(lambda spans: inside(spans, size))(drawn["spans"])
        channels = -3 if self.data_format == "channels_first" else -1
        return jnp.where(jnp.expand_dims(replaced, channels), images[drawn["order"]], images)

    def change_masks(self, masks: Array, drawn: Any) -> Array:
        return self.change_images(masks, drawn)


def shuffled(key: Array, count: Any) -> Array:
    """Returns the numbers below a count, which may be unknown, in random order."""
    return jnp.argsort(jax.random.uniform(key, (count,), jnp.float32))
