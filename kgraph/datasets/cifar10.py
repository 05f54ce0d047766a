"""CIFAR-10: colour photographs of ten kinds, 32 x 32 pixels."""

from __future__ import annotations

import numpy as np

from kgraph.datasets.cifar import read_batches
from kgraph.datasets.download import RemoteFile, fetch

FILE = RemoteFile(
    "cifar-10-python.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
)


def load_data() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Returns 50,000 training and 10,000 test photographs of ten kinds.

    Downloads 170 MB once. Shapes: images `[n, 32, 32, 3]` uint8 (`[n, 3, 32, 32]` if
    `config.image_data_format()` is `"channels_first"`); labels `[n, 1]` uint8: 0 airplane,
    1 automobile, 2 bird, 3 cat, 4 deer, 5 dog, 6 frog, 7 horse, 8 ship, 9 truck.

    Returns:
        `(x_train, y_train), (x_test, y_test)`.

    Raises:
        DataError: if the file cannot be had or is damaged.

    Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009,
    https://www.cs.toronto.edu/~kriz/cifar.html.
    """
    archive = fetch(FILE)
    train = [f"cifar-10-batches-py/data_batch_{i}" for i in range(1, 6)]
    test = ["cifar-10-batches-py/test_batch"]
    return read_batches(archive, train, "labels"), read_batches(archive, test, "labels")
