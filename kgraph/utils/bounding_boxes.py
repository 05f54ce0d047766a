"""The public names that Keras keeps under `keras.utils.bounding_boxes`.

All functions are pure and take NumPy or JAX arrays of `[boxes, 4]` or `[batch, boxes, 4]`.
"""

from kgraph.layers.image.bounding_boxes import (
    affine_transform,
    clip_to_image_size,
    compute_ciou,
    compute_iou,
    convert_format,
    crop,
    decode_deltas_to_boxes,
    encode_box_to_deltas,
    pad,
)

__all__ = [
    "affine_transform",
    "clip_to_image_size",
    "compute_ciou",
    "compute_iou",
    "convert_format",
    "crop",
    "decode_deltas_to_boxes",
    "encode_box_to_deltas",
    "pad",
]
