"""Checks of targets on the host, before anything is compiled: what would be lost silently later."""

from __future__ import annotations

import numpy as np

from kgraph.errors import DataError
from kgraph.types import Shape

Labels = np.ndarray


def check_numbers(owner: str, y_true: Labels) -> None:
    """Raises DataError if targets are not numbers, or if some of them are NaN."""
    y_true = np.asarray(y_true)
    if y_true.dtype.kind in "OSUMm":
        raise DataError(
            f"{owner} needs numbers as targets",
            received=f"y_true of dtype {y_true.dtype}",
            hint="map labels to whole numbers from 0 first",
        )
    if y_true.dtype.kind in "iub":
        return
    missing = np.isnan(y_true.astype(np.float32) if y_true.dtype.kind == "V" else y_true)
    if missing.any():
        raise DataError(
            f"{owner} cannot learn from targets that are NaN",
            received=f"NaN in {rows_where(missing)}",
            hint="drop these rows, or give them a number and sample_weight 0",
        )


def check_class_labels(
    owner: str, y_true: Labels, output_shape: Shape, axis: int, ignore_class: int | None
) -> None:
    """Raises DataError unless targets are whole numbers in [0, classes), or `ignore_class`.

    In a one-hot sum a label out of range has no loss and no gradient, so the rows that carry it
    would be left out of training without a word.
    """
    check_numbers(owner, y_true)
    y_true = np.asarray(y_true)
    if y_true.dtype.kind == "V":  # bfloat16 and other extension types
        y_true = y_true.astype(np.float32)
    classes = output_shape[axis]
    if (
        y_true.ndim == len(output_shape)
        and classes not in (1, None)
        and y_true.shape[axis] == classes
    ):
        raise DataError(
            f"{owner} needs one class number for each sample",
            expected=f"y_true without the axis of {classes} classes",
            received=f"y_true {y_true.shape}, which looks one-hot",
            hint="loss='categorical_crossentropy', or y_true.argmax(-1)",
        )
    if y_true.dtype.kind == "f" and (y_true != np.floor(y_true)).any():
        broken = y_true != np.floor(y_true)
        raise DataError(
            f"{owner} needs whole numbers as class labels",
            received=f"{y_true[broken].flat[0]} in {rows_where(broken)}",
        )
    if classes is None:
        return
    outside = (y_true < 0) | (y_true >= classes)
    if ignore_class is not None:
        outside &= y_true != ignore_class
    if outside.any():
        raise DataError(
            f"{owner} met class labels that the output does not have",
            expected=f"0 to {classes - 1}, as the output has {classes} classes",
            received=f"{y_true[outside].flat[0]} in {rows_where(outside)}",
            hint="give the last layer more units, map labels to 0, 1, …, or set ignore_class",
        )


def rows_where(found: np.ndarray) -> str:
    """Returns words for the rows of which some element is True: how many, and the first."""
    rows = found.reshape(found.shape[0], -1).any(axis=1) if found.ndim else found.reshape(1)
    return f"{int(rows.sum())} of {rows.size} rows, the first is row {int(rows.argmax())}"
