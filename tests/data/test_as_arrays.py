"""What users pass as data, and the arrays it becomes."""

from __future__ import annotations

from collections import namedtuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kgraph import config
from kgraph.data import as_arrays, as_batch, check_batch_size, check_finite, check_rows, split
from kgraph.errors import DataError


class _Foreign:
    """Looks like an object of another library, which need not be installed."""

    def __init__(self, values):
        self.values = np.asarray(values)
        self.shape, self.dtype = self.values.shape, self.values.dtype

    def to_numpy(self):
        return self.values

    def detach(self):
        return self

    cpu = detach

    def numpy(self):
        return self.values


class _Series(_Foreign):
    __module__ = "pandas.core.series"


class _TorchTensor(_Foreign):
    __module__ = "torch"


class _BFloat16Tensor(_TorchTensor):
    def __init__(self, values):
        super().__init__(values)
        self.dtype = "torch.bfloat16"

    def float(self):
        return _TorchTensor(self.values)

    def numpy(self):
        raise TypeError("Got unsupported ScalarType BFloat16")


class _Nullable(_Series):
    """A series of pandas' `Int64`, whose NumPy form is of objects."""

    def __init__(self, values):
        super().__init__(np.asarray(values, object))
        self.dtypes = np.dtype("int64")

    def isna(self):
        return _Foreign([value is None for value in self.values])


class _Sparse:
    shape, dtype = (2, 2), np.dtype("float32")


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        (np.zeros((2, 3)), "float32"),
        (np.zeros((2, 3), "float16"), "float32"),
        (np.zeros((2, 3), jnp.bfloat16), "float32"),
        (np.zeros((2, 3), "int64"), "int64"),
        (np.zeros((2, 3), "uint8"), "uint8"),
        (np.zeros((2, 3), bool), "bool"),
        (np.zeros((2, 3), ">f8"), "float32"),
        (np.zeros((2, 3), ">i4"), "int32"),
        ([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], "float32"),
        ([[0, 1, 2], (3, 4, 5)], "int64"),
        (_TorchTensor(np.zeros((2, 3))), "float32"),
        (_BFloat16Tensor(np.zeros((2, 3))), "float32"),
    ],
)
def test_array_likes_become_one_array_of_native_order(given, dtype):
    array = as_arrays(given)
    assert isinstance(array, np.ndarray)
    assert array.shape == (2, 3)
    assert array.dtype == dtype
    assert array.dtype.isnative


def test_nullable_types_of_pandas_are_numbers_unless_some_lack():
    array = as_arrays(_Nullable([1, 2, 3]))
    assert (array.dtype, array.shape) == ("int64", (3, 1))
    with pytest.raises(DataError, match=r"x lacks values[\s\S]*1 missing of 3[\s\S]*fillna"):
        as_arrays(_Nullable([1, None, 3]))


def test_nullable_types_of_pandas_itself():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    table = pandas.DataFrame({"a": pandas.array([1, 2]), "b": pandas.array([0.5, 1.5])})
    np.testing.assert_array_equal(as_arrays(table), [[1, 0.5], [2, 1.5]])
    assert as_arrays(table["a"]).dtype == "int64"
    with pytest.raises(DataError, match="1 missing of 4"):
        as_arrays(table.astype("Float64").where(table < 2))


def test_a_tensor_that_needs_gradients_says_what_to_do():
    tensor = _TorchTensor(np.zeros((2, 3)))
    tensor.requires_grad = True
    with pytest.raises(DataError, match=r"needs gradients[\s\S]*detach\(\)"):
        as_arrays(tensor)


def test_floats_follow_floatx():
    config.set_floatx("bfloat16")
    assert as_arrays(np.zeros(2)).dtype == jnp.bfloat16
    config.set_floatx("float64")
    assert as_arrays(np.zeros(2, "float32")).dtype == "float64"


def test_a_list_of_arrays_is_a_structure_and_none_stays():
    Pair = namedtuple("Pair", "a b")
    given = {"x": [np.zeros(2), [1, 2]], "pair": Pair(np.ones((2, 1)), None)}
    made = as_arrays(given)
    assert list(made) == ["x", "pair"]
    assert isinstance(made["x"], list)
    assert [a.dtype for a in made["x"]] == ["float32", "int64"]
    assert isinstance(made["pair"], Pair)
    assert made["pair"].b is None


def test_a_series_is_a_column():
    assert as_arrays(_Series([1.0, 2.0])).shape == (2, 1)


def test_jax_arrays_are_not_copied():
    x = jnp.zeros((2, 3))
    assert as_arrays({"a": x})["a"] is x
    half = as_arrays(x.astype("bfloat16"))
    assert isinstance(half, jax.Array)
    assert half.dtype == "float32"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"title": np.array(["a", "b"])}, r"x\['title'\] does not hold numbers[\s\S]*<U1"),
        ({"title": np.array([object()])}, r"x\['title'\] does not hold numbers[\s\S]*object"),
        ([np.zeros(2), ["a", "b"]], r"x\[1\] does not hold numbers"),
        ([[1, 2], [3]], r"x cannot be made into an array[\s\S]*pad sequences"),
        ([np.zeros(2), _Sparse()], r"x\[1\] cannot be made into an array[\s\S]*_Sparse"),
        (3.0, r"x is a single number"),
        ({"a": [np.float32(1)], "b": np.float32(1)}, r"x\['b'\] is a single number"),
        (object(), r"x does not hold numbers"),
    ],
)
def test_what_is_not_an_array_is_named(given, text):
    with pytest.raises(DataError, match=text):
        as_arrays(given)


def test_different_lengths_list_every_leaf():
    with pytest.raises(DataError) as caught:
        as_batch({"title": np.zeros((4, 2)), "body": np.zeros((4, 3))}, np.zeros(3), np.zeros(5))
    text = str(caught.value)
    assert "differ in their number of rows" in text
    for line in ("x['title']: (4, 2)", "x['body']: (4, 3)", "y: (3,)", "sample_weight: (5,)"):
        assert line in text


@pytest.mark.parametrize("x", [np.zeros((0, 3)), [], {"a": np.zeros((0,))}])
def test_no_rows(x):
    with pytest.raises(DataError, match="have no rows"):
        as_batch(x)


@pytest.mark.parametrize("x", [{}, None])
def test_no_arrays(x):
    with pytest.raises(DataError, match="There is no array in x"):
        as_batch(x)


def test_zero_features_are_allowed():
    assert check_rows(("x", as_arrays(np.zeros((3, 0))))) == 3


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "8"])
def test_bad_batch_sizes(size):
    with pytest.raises(DataError, match=r"`batch_size` cannot be .*\n.*at least 1"):
        check_batch_size(size)


def test_good_batch_sizes():
    assert [check_batch_size(size) for size in (None, 1, np.int64(7))] == [32, 1, 7]


def test_check_finite_names_the_row():
    y = np.zeros((5, 2), "float32")
    check_finite({"y": y, "labels": np.arange(5)}, "y")
    y[3, 1] = np.nan
    with pytest.raises(DataError, match=r"y\['out'\] holds NaN[\s\S]*1 of 10 values.*row 3"):
        check_finite({"out": jnp.asarray(y)}, "y")


@pytest.mark.parametrize("fraction", [-0.1, 1, 1.0, float("nan"), "0.2", True])
def test_validation_split_out_of_range(fraction):
    with pytest.raises(DataError, match="`validation_split` cannot be"):
        split((np.zeros(4), None, None), fraction)


@pytest.mark.parametrize(("rows", "fraction"), [(1, 0.5), (3, 0.99)])
def test_validation_split_needs_rows_on_both_sides(rows, fraction):
    with pytest.raises(
        DataError, match=rf"leaves no rows on one side[\s\S]*{rows} rows: 0 to train"
    ):
        split(np.zeros(rows), fraction)


def test_validation_split_refuses_a_dataset():
    with pytest.raises(DataError, match="`validation_split` cannot be given with a dataset"):
        split((iter([]), None, None), 0.2)


def test_no_validation_split_changes_nothing():
    arrays = (np.zeros(3), None, None)
    assert split(arrays, 0.0) == (arrays, None)
