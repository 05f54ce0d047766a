"""Handwritten digits of 8 x 8 pixels, part of the package: nothing is downloaded."""

from __future__ import annotations

import numbers
from pathlib import Path

import numpy as np

from kgraph.errors import DataError

_FILE = Path(__file__).with_name("digits.npz")


def load_data(
    test_split: float = 0.2, seed: int = 113
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Returns 1,797 images of handwritten digits, split into training and test sets.

    Shapes: images `[n, 8, 8]` uint8 with values 0 to 16; labels `[n]` uint8, 0 to 9.

    Args:
        test_split: the fraction of each class that goes into the test set; above 0 and below 1.
        seed: of the split and of the order of the rows. The same seed gives the same sets.

    Returns:
        `(x_train, y_train), (x_test, y_test)`.

    Raises:
        DataError: if `test_split` is out of range or leaves a set empty.

    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine
    Learning Repository, 1998, https://doi.org/10.24432/C50P49 (its test set), CC BY 4.0.

    >>> (x_train, y_train), (x_test, y_test) = load_data()
    >>> x_train.shape, x_test.shape
    ((1438, 8, 8), (359, 8, 8))
    """
    with np.load(_FILE, allow_pickle=False) as file:
        images, labels = file["images"], file["labels"]
    random = np.random.Generator(np.random.Philox(key=seed))
    order = random.permutation(len(labels))
    in_test = _stratified(labels[order], _checked(test_split))
    train, test = order[~in_test], order[in_test]
    if len(train) == 0 or len(test) == 0:
        raise DataError(
            f"`test_split={test_split}` leaves one set empty",
            received=f"{len(train)} images to train on, {len(test)} to test on",
        )
    return (images[train], labels[train]), (images[test], labels[test])


def _stratified(labels: np.ndarray, fraction: float) -> np.ndarray:
    """Marks the first rows of each class, as many as its fraction."""
    marked = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        marked[rows[: round(len(rows) * fraction)]] = True
    return marked


def _checked(test_split: float) -> float:
    if not (isinstance(test_split, numbers.Real) and 0 < float(test_split) < 1):
        raise DataError(
            f"`test_split` cannot be {test_split!r}",
            expected="a number above 0 and below 1",
            received=f"{test_split!r} ({type(test_split).__name__})",
        )
    return float(test_split)
