"""What layers over images share: layouts, single images and batches, masks, and draws per image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

import jax
import jax.numpy as jnp

from kgraph.errors import ConfigError, GraphError
from kgraph.graph.traits import Traits
from kgraph.layers.base import Layer
from kgraph.layers.base.core import label_of, next_key
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.reshaping.spatial import layout
from kgraph.types import Array, Function, Tree

_PARTS = ("images", "labels", "segmentation_masks")


class ImageOptions(LayerOptions, total=False):
    """The options that layers over images share."""

    data_format: str | None


class ImageLayer(Layer):
    """Base of layers over images.

    Shapes: `[batch, height, width, channels]` or one image `[height, width, channels]`
    (`channels_first`: channels before height). In the place of images a dict may be given, with
    `"images"` and, as wanted, `"labels"` and `"segmentation_masks"`; the same dict comes out.

    A subclass writes `change_images`, and where they change with the images `change_masks` and
    `change_labels`; a random one writes `draw_batch` too, or is a `RandomImageLayer`.

    Args:
        data_format: `"channels_last"` or `"channels_first"`; by default `image_data_format()`.
    """

    def __init__(self, data_format: str | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.data_format = layout(type(self).__name__, data_format)

    def call(self, inputs: Tree, training: bool = True) -> Any:
        parts: Mapping[str, Any] = inputs if isinstance(inputs, Mapping) else {"images": inputs}
        drawn = self.draw_batch(parts["images"]) if training else None
        change = {
            "images": self.change_images,
            "labels": self.change_labels,
            "segmentation_masks": self.change_masks,
        }
        changed = {name: change[name](part, drawn) for name, part in parts.items()}
        return changed if isinstance(inputs, Mapping) else changed["images"]

    def draw_batch(self, images: Array) -> Any:
        """Returns the draws for these images; called in training only."""
        return None

    def change_images(self, images: Array, drawn: Any) -> Array:
        """Returns the new images; `drawn` is None outside of training."""
        raise ConfigError(
            f"{type(self).__name__} does not say what it does to images",
            hint="define change_images(self, images, drawn)",
        )

    def change_masks(self, masks: Array, drawn: Any) -> Array:
        """Returns the new segmentation masks: those given, unless pixels move."""
        return masks

    def change_labels(self, labels: Array, drawn: Any) -> Array:
        """Returns the new labels: those given, unless images are mixed."""
        return labels

    @property
    def height_axis(self) -> int:
        """Axis of the height, from the end; that of the width follows."""
        return -2 if self.data_format == "channels_first" else -3

    def size_of(self, images: Array) -> tuple[Any, Any]:
        """Returns height and width of images in the layer's layout."""
        return images.shape[self.height_axis], images.shape[self.height_axis + 1]

    def channels_last(self, images: Array) -> Array:
        """Returns images of the layer's layout with channels last."""
        return jnp.moveaxis(images, -3, -1) if self.data_format == "channels_first" else images

    def as_given(self, images: Array) -> Array:
        """Returns images with channels last in the layer's layout."""
        return jnp.moveaxis(images, -1, -3) if self.data_format == "channels_first" else images

    def _kgraph_check_call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        given = args[0] if args else kwargs.get("inputs")
        parts = given if isinstance(given, Mapping) else {"images": given}
        if "images" not in parts or set(parts) - set(_PARTS):
            boxes = "bounding_boxes" in parts
            raise GraphError(
                f"{label_of(self)} takes images, or a dict with 'images'",
                expected="keys among " + ", ".join(map(repr, _PARTS)),
                received=", ".join(map(repr, parts)),
                hint="bounding boxes are not moved here: leave them out" if boxes else None,
            )
        pictures: dict[str, Any] = {name: parts.get(name) for name in _PARTS if name != "labels"}
        shapes = {name: tuple(p.shape) for name, p in pictures.items() if hasattr(p, "shape")}
        ranks = {len(shape) for shape in shapes.values()}
        if not ranks <= {3, 4} or len(ranks) > 1:
            raise GraphError(
                f"{label_of(self)} takes images with 3 axes (one image) or 4 (a batch)",
                expected="as many for segmentation masks" if len(shapes) > 1 else None,
                received=", ".join(f"{name} of shape {shape}" for name, shape in shapes.items()),
            )


class RandomImageLayer(ImageLayer, traits=Traits(idle_at_inference=True)):
    """Base of layers that change each image by draws of its own, in training only.

    A subclass writes `draw`, one image's random numbers, and `transform`, what they do to it, and
    `transform_mask` if pixels move. Those see one image with channels last, in the compute
    dtype (integers become floats), whatever the layout; the base runs them over the batch.

    Args:
        seed: a number decides the draws in the place of the layer's path.
        data_format: see `ImageLayer`.
    """

    def __init__(
        self,
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(data_format, **options)
        self.seed = seed

    def draw(self, key: Array, size: tuple[int, ...]) -> Any:
        """Returns the random numbers for one image of this height and width (never None)."""
        raise ConfigError(
            f"{type(self).__name__} does not say what it draws", hint="define draw(self, key, size)"
        )

    def transform(self, image: Array, drawn: Any) -> Array:
        """Returns one image, `[height, width, channels]`, changed by what `draw` returned."""
        raise ConfigError(
            f"{type(self).__name__} does not say what it does to an image",
            hint="define transform(self, image, drawn)",
        )

    def transform_mask(self, mask: Array, drawn: Any) -> Array:
        """Returns one segmentation mask: the one given, unless pixels move."""
        return mask

    def draw_batch(self, images: Array) -> Any:
        size = self.size_of(images)
        if images.ndim == 3:
            return self.draw(next_key(self), size)
        keys = jax.random.split(next_key(self), images.shape[0])
        return jax.vmap(lambda key: self.draw(key, size))(keys)

    def change_images(self, images: Array, drawn: Any) -> Array:
        images = images.astype(self.compute_dtype)
        return images if drawn is None else self._each(self.transform, images, drawn)

    def change_masks(self, masks: Array, drawn: Any) -> Array:
        return masks if drawn is None else self._each(self.transform_mask, masks, drawn)

    def _each(self, change: Function, images: Array, drawn: Any) -> Array:
        one_or_all = jax.vmap(change) if images.ndim == 4 else change
        changed = one_or_all(self.channels_last(images), drawn)
        return self.as_given(changed.astype(images.dtype))
