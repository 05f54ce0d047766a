"""CIFAR-100: colour photographs of a hundred kinds in twenty groups, 32 x 32 pixels."""

from __future__ import annotations

import numpy as np

from kgraph.datasets.cifar import read_batches
from kgraph.datasets.download import RemoteFile, fetch
from kgraph.errors import check_choice

FILE = RemoteFile(
    "cifar-100-python.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
)


def load_data(
    label_mode: str = "fine",
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Returns 50,000 training and 10,000 test photographs.

    Downloads 169 MB once. Shapes: images `[n, 32, 32, 3]` uint8 (`[n, 3, 32, 32]` if
    `config.image_data_format()` is `"channels_first"`); labels `[n, 1]` uint8.

    Args:
        label_mode: `"fine"` for the hundred kinds, `"coarse"` for the twenty groups.

    Returns:
        `(x_train, y_train), (x_test, y_test)`.

    Raises:
        ConfigError: for another `label_mode`.
        DataError: if the file cannot be had or is damaged.

    Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009,
    https://www.cs.toronto.edu/~kriz/cifar.html.
    """
    check_choice("cifar100.load_data", "label_mode", label_mode, ("fine", "coarse"))
    archive = fetch(FILE)
    key = f"{label_mode}_labels"
    train = read_batches(archive, ["cifar-100-python/train"], key)
    return train, read_batches(archive, ["cifar-100-python/test"], key)
