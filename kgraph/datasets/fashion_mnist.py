"""Fashion-MNIST: photographs of clothes, 28 x 28 pixels."""

from __future__ import annotations

import numpy as np

from kgraph.datasets.download import RemoteFile, fetch
from kgraph.datasets.idx import read_idx_gz

_BASE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"


def _file(name: str, sha256: str) -> RemoteFile:
    return RemoteFile(f"fashion-mnist/{name}", _BASE + name, sha256)


FILES = {
    "x_train": _file(
        "train-images-idx3-ubyte.gz",
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    ),
    "y_train": _file(
        "train-labels-idx1-ubyte.gz",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    ),
    "x_test": _file(
        "t10k-images-idx3-ubyte.gz",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    ),
    "y_test": _file(
        "t10k-labels-idx1-ubyte.gz",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
}


def load_data() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Returns 60,000 training and 10,000 test images of ten kinds of clothes.

    Downloads 31 MB once. Shapes: images `[n, 28, 28]` uint8, 0 to 255; labels `[n]` uint8:
    0 T-shirt, 1 trouser, 2 pullover, 3 dress, 4 coat, 5 sandal, 6 shirt, 7 sneaker, 8 bag,
    9 ankle boot.

    Returns:
        `(x_train, y_train), (x_test, y_test)`.

    Raises:
        DataError: if a file cannot be had or is damaged.

    Source: H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST", arXiv:1708.07747, MIT licence.
    """
    arrays = {name: read_idx_gz(fetch(file)) for name, file in FILES.items()}
    return (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])
