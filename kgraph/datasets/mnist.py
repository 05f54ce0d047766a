"""MNIST: handwritten digits of 28 x 28 pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kgraph.datasets.download import RemoteFile, fetch
from kgraph.errors import DataError

FILE = RemoteFile(
    "mnist.npz",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
    "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
)


def load_data(
    path: str = "mnist.npz",
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Returns 60,000 training and 10,000 test images of handwritten digits.

    Downloads 11 MB once. Shapes: images `[n, 28, 28]` uint8, 0 to 255; labels `[n]` uint8, 0 to 9.

    Args:
        path: the name of the file in the cache folder (`~/.kgraph/datasets`), or a full path.

    Returns:
        `(x_train, y_train), (x_test, y_test)`.

    Raises:
        DataError: if the file cannot be had or is damaged.

    Source: Y. LeCun, C. Cortes and C. J. C. Burges, "The MNIST database of handwritten digits",
    http://yann.lecun.com/exdb/mnist/, CC BY-SA 3.0; the file that Keras uses.
    """
    file = fetch(replace(FILE, name=path))
    with np.load(file, allow_pickle=False) as arrays:
        wanted = ("x_train", "y_train", "x_test", "y_test")
        if missing := [name for name in wanted if name not in arrays]:
            raise DataError(
                "This is not the MNIST file", at=file, received=f"no {', '.join(missing)}"
            )
        x_train, y_train, x_test, y_test = (arrays[name] for name in wanted)
    return (x_train, y_train), (x_test, y_test)
