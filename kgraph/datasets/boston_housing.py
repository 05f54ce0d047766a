"""House prices around Boston, 1978."""

from __future__ import annotations

from dataclasses import replace

from kgraph.datasets.download import RemoteFile, fetch
from kgraph.datasets.rows_npz import Split, load_split
from kgraph.datasets.word_lists import BASE

FILE = RemoteFile(
    "boston_housing.npz",
    BASE + "boston_housing.npz",
    "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5",
)


def load_data(path: str = "boston_housing.npz", test_split: float = 0.2, seed: int = 113) -> Split:
    """Returns 506 districts with 13 features each, and the median price of a house in 1,000 $.

    One of the features, "B", was made by its authors on the assumption that people wish to live
    segregated by race, so use the set to speak of that, or take `california_housing` instead.

    Shapes: x `[n, 13]`, y `[n]`, float64.

    Args:
        path: the name of the file in the cache folder (`~/.kgraph/datasets`), or a full path.
        test_split: part of the rows for the test.
        seed: of the order of rows.

    Returns:
        `(x_train, y_train), (x_test, y_test)`.

    Raises:
        DataError: if the file cannot be had, or `test_split` is out of range.

    Source: D. Harrison and D. L. Rubinfeld, "Hedonic Housing Prices and the Demand for Clean Air",
    1978, http://lib.stat.cmu.edu/datasets/boston; the file that Keras uses.
    """
    return load_split(fetch(replace(FILE, name=path)), test_split, seed)
