"""House prices in the districts of California, 1990."""

from __future__ import annotations

from dataclasses import replace

from kgraph.datasets.download import RemoteFile, fetch
from kgraph.datasets.rows_npz import Split, load_split
from kgraph.datasets.word_lists import BASE
from kgraph.errors import check_choice

FILE = RemoteFile(
    "california_housing.npz",
    BASE + "california_housing.npz",
    "1a2e3a52e0398de6463aebe6f4a8da34fb21fbb6b934cf88c3425e766f2a1a6f",
)


def load_data(
    version: str = "large",
    path: str = "california_housing.npz",
    test_split: float = 0.2,
    seed: int = 113,
) -> Split:
    """Returns 20,640 districts with 8 features each, and the median price of a house in $.

    The features are median income, age of the houses, rooms and bedrooms per household, people,
    people per household, latitude and longitude.

    Shapes: x `[n, 8]`, y `[n]`.

    Args:
        version: `"large"`, or `"small"` for 600 rows.
        path: the name of the file in the cache folder (`~/.kgraph/datasets`), or a full path.
        test_split: part of the rows for the test.
        seed: of the order of rows.

    Returns:
        `(x_train, y_train), (x_test, y_test)`.

    Raises:
        ConfigError: for another `version`.
        DataError: if the file cannot be had, or `test_split` is out of range.

    Source: R. K. Pace and R. Barry, "Sparse Spatial Autoregressions", 1997, from the census of
    1990; the file that Keras uses.
    """
    check_choice("california_housing.load_data", "version", version, ("small", "large"))
    most = 600 if version == "small" else None
    return load_split(fetch(replace(FILE, name=path)), test_split, seed, most)
