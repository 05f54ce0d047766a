"""From what users pass as data to NumPy and JAX arrays."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from kgraph import config
from kgraph.data.tree import map_leaves
from kgraph.errors import DataError, KGraphError, listed
from kgraph.types import AnyArray, DTypeLike, Tree

_NUMBERS = (bool, int, float, complex, np.generic, str, bytes)


def as_arrays(tree: Tree, name: str = "x", where: str | None = None) -> Any:
    """Converts nested lists, tuples and dicts of array-likes to the same structure of arrays.

    AnyArray-likes are NumPy and JAX arrays, pandas frames and series (a series becomes one column),
    PyTorch and TensorFlow tensors, and nested lists of numbers. A list of numbers is one array, as
    in `np.asarray`; a list of arrays is a structure of several. JAX arrays stay on their device.

    Dtypes: floats become `config.floatx()`; integers, booleans and complex numbers keep theirs.

    Args:
        tree: the data; None stays None.
        name: what to call the data in messages.
        where: a place to name in messages, such as `"batch 3"`.

    Raises:
        DataError: for a leaf that is a scalar, ragged, or does not hold numbers; names its path.
    """

    def convert(leaf: object, path: str) -> AnyArray:
        array = _to_array(leaf, path, where)
        _check_leaf(array, path, where, _texts_in(leaf))
        return _with_default_float(array)

    return map_leaves(convert, tree, name, is_leaf=_is_numbers)


def is_jax_array(value: object) -> bool:
    """Tells whether a value is a JAX array or tracer, without importing JAX."""
    return _is_from(value, "jax", "jaxlib") and hasattr(value, "dtype") and hasattr(value, "shape")


def is_array(value: object) -> bool:
    """Tells whether a value is an array-like object of some library (not a list of numbers)."""
    return hasattr(value, "shape") or hasattr(value, "__array__")


def _is_from(value: object, *packages: str) -> bool:
    """Tells whether a value's class, or one that it extends, is from one of these packages."""
    return any(cls.__module__.partition(".")[0] in packages for cls in type(value).__mro__)


def _is_numbers(value: object) -> bool:
    """Follows the first items down: a list that ends at a number (or a string) is one array."""
    if not isinstance(value, (list, tuple)):
        return False
    while isinstance(value, (list, tuple)):
        if not value:
            return True
        value = value[0]
    return isinstance(value, _NUMBERS)


def _to_array(leaf: Any, path: str, where: str | None) -> AnyArray:
    if type(leaf) is np.ndarray or is_jax_array(leaf):
        return leaf
    try:
        if _is_from(leaf, "torch"):
            return _from_torch(leaf, path, where)
        if _is_from(leaf, "pandas"):
            values = _from_pandas(leaf, path, where)
            return values.reshape(-1, 1) if values.ndim == 1 else values
        if is_array(leaf) and not hasattr(leaf, "__array__"):  # SciPy's sparse matrices, for one
            raise TypeError("it does not convert to an array")
        return np.asarray(leaf)
    except KGraphError:
        raise
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{path} cannot be made into an array",
            at=where,
            expected="an array, a tensor, or nested lists of numbers of equal lengths",
            received=f"{type(leaf).__name__}: {error}",
            hint="pad sequences of different lengths; call .toarray() on sparse matrices",
        ) from error


def _from_pandas(table: Any, path: str, where: str | None) -> np.ndarray:
    """Returns the numbers of a frame or series, those of pandas' nullable types as well."""
    values = table.to_numpy()
    if values.dtype.kind != "O":
        return values
    kinds = {dtype.kind for dtype in np.ravel(table.dtypes)}
    if not kinds <= set("biuf"):
        return values
    if (missing := int(table.isna().to_numpy().sum())) > 0:
        raise DataError(
            f"{path} lacks values", at=where, expected="a number in each place",
            received=f"{missing} missing of {values.size}",
            hint="fill them: table.fillna(0), or leave their rows out: table.dropna()",
        )  # fmt: skip
    return values.astype("float64" if "f" in kinds else "int64")


def _from_torch(tensor: Any, path: str, where: str | None) -> np.ndarray:
    if getattr(tensor, "requires_grad", False):
        raise DataError(
            f"{path} is a tensor of PyTorch that needs gradients, which end here", at=where,
            received=f"requires_grad=True, shape {tuple(tensor.shape)}", hint="tensor.detach()",
        )  # fmt: skip
    tensor = tensor.cpu()
    if str(tensor.dtype) == "torch.bfloat16":  # NumPy cannot read it
        tensor = tensor.float()
    return tensor.numpy()


def _texts_in(leaf: Any) -> str | None:
    """Names the columns of a data frame that hold no numbers."""
    types: Any = getattr(leaf, "dtypes", None)
    if not hasattr(types, "items"):
        return None
    columns = [name for name, dtype in types.items() if dtype.kind not in "biuf"]
    return f"a data frame, and no numbers in its columns {listed(map(str, columns))}"


def _check_leaf(array: AnyArray, path: str, where: str | None, received: str | None = None) -> None:
    if not (_is_float(array.dtype) or getattr(array.dtype, "kind", "O") in "biuc"):
        raise DataError(
            f"{path} does not hold numbers",
            at=where,
            expected="floats, integers or booleans",
            received=received or f"dtype {array.dtype}, shape {tuple(array.shape)}",
            hint="encode text and categories as integers; pad sequences of different lengths",
        )
    if array.ndim == 0:
        raise DataError(
            f"{path} is a single number",
            at=where,
            expected="an array whose first axis counts the rows",
            received="shape ()",
            hint="np.reshape(value, (1,)) makes one row of it",
        )


def _is_float(dtype: DTypeLike) -> bool:
    # ml_dtypes' types (bfloat16 and the like) have the kind "V" in NumPy.
    return getattr(dtype, "kind", "O") == "f" or str(dtype).startswith(("bfloat", "float"))


def _with_default_float(array: AnyArray) -> AnyArray:
    if _is_float(array.dtype):
        name = config.floatx()
        wanted = np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
        return array if array.dtype == wanted else array.astype(wanted)
    if isinstance(array, np.ndarray) and not array.dtype.isnative:
        return array.astype(array.dtype.newbyteorder("="))  # devices take native order only
    return array
