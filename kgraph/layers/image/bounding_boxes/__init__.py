"""Boxes around things in images: formats, changes, overlap, and deltas to anchors.

All functions are pure and take NumPy or JAX arrays of `[boxes, 4]` or `[batch, boxes, 4]`.
"""

from kgraph.layers.image.bounding_boxes.changes import (
    affine_transform,
    clip_to_image_size,
    crop,
    pad,
)
from kgraph.layers.image.bounding_boxes.deltas import decode_deltas_to_boxes, encode_box_to_deltas
from kgraph.layers.image.bounding_boxes.formats import convert_format
from kgraph.layers.image.bounding_boxes.overlap import compute_ciou, compute_iou

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
