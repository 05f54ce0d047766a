"""Input: where data enters a graph."""

from __future__ import annotations

import re
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from kgraph.checks import is_whole
from kgraph.config import floatx
from kgraph.errors import ConfigError
from kgraph.graph.dims import BATCH, fresh_dim, make_dims, unnamed_dims
from kgraph.graph.node import TensorSpec
from kgraph.graph.structure import Slot
from kgraph.graph.symbol import Call, SymbolicTensor
from kgraph.graph.traits import Traits
from kgraph.layers.base.layer import Layer
from kgraph.layers.base.variable import check_wide
from kgraph.source import user_source
from kgraph.tracebacks import entry
from kgraph.types import Array, DTypeLike, Shape


class InputLayer(Layer, traits=lambda layer: Traits(any_size=layer.any_size)):
    """The entry of one tensor into a graph; made by `Input`.

    Args:
        shape: sizes without the batch axis: numbers, None, or names of unknown sizes.
        batch_size: a fixed batch size.
        dtype: by default `floatx()`.
        sparse, ragged: not supported; only None and False are accepted.
        batch_shape: the whole shape with the batch axis, in the place of `shape` and `batch_size`.
        input_tensor: a symbolic tensor whose shape and dtype are taken, in the place of them.
        optional: whether None may be fed.
        name: under which data is fed.
        dims: exact sizes, the batch among them, as a graph keeps them; in the place of the others.
        input_shape: the older name of `shape`.

    Raises:
        ConfigError: the arguments contradict each other, or `input_tensor` is no symbolic tensor.

    >>> InputLayer((28, 28)).batch_shape
    (None, 28, 28)
    """

    any_size = False
    sparse = False

    def __init__(
        self,
        shape: Sequence[int | str | None] | int | None = None,
        batch_size: int | None = None,
        dtype: DTypeLike | None = None,
        sparse: bool | None = None,
        ragged: bool | None = None,
        batch_shape: Sequence[int | str | None] | None = None,
        input_tensor: SymbolicTensor | None = None,
        optional: bool = False,
        name: str | None = None,
        dims: Sequence[int | str | None] | None = None,
        input_shape: Sequence[int | str | None] | None = None,
    ) -> None:
        super().__init__(name=name)
        label = f"Input {name!r}" if name else "Input"
        if sparse or ragged:
            raise ConfigError("Input takes dense tensors only", received=f"{sparse=}, {ragged=}")
        shape = input_shape if shape is None else shape
        if input_tensor is not None:
            likes, dtype = _like(input_tensor, dtype)
            if shape is not None or batch_shape is not None:
                _check_same(label, likes, _whole_shape(label, shape, batch_size, batch_shape))
            dims = likes
        if dims is None:
            dims = _whole_shape(label, shape, batch_size, batch_shape)
        elif not all(_is_exact(size) for size in dims):
            raise ConfigError(f"{label} has sizes that are none", received=str(dims)[:200])
        dims = tuple(fresh_dim() if size is None else size for size in dims)
        self.tensor_spec = TensorSpec(dims, _dtype_name(dtype))
        check_wide(self.tensor_spec.dtype)
        self.optional = optional
        self.built = True

    @property
    def batch_shape(self) -> tuple[int | None, ...]:
        """The shape with the batch axis, None for unknown sizes."""
        return self.tensor_spec.shape

    @property
    def dtype(self) -> str:  # type: ignore[override]
        return self.tensor_spec.dtype

    def call(self, inputs: Array) -> Array:
        return inputs

    def get_config(self) -> dict[str, Any]:
        dims = [None if unnamed_dims([size]) else size for size in self.tensor_spec.dims]
        config = {"dims": dims, "dtype": self.dtype, "name": self.name}
        return config | ({"optional": True} if self.optional else {})

    def make_symbol(self) -> SymbolicTensor:
        """Returns a new symbol for the data that enters here."""
        call = Call(
            layer=self, args=(), kwargs={}, inputs=(), masks=(), structure=Slot(0),
            outputs=(self.tensor_spec,), mask_specs=(None,), passes_mask=None, effects=(),
            source=user_source(),
        )  # fmt: skip
        symbol = SymbolicTensor.of_call(self.tensor_spec, call, 0)
        self._kgraph.first_call = weakref.ref(call)
        return symbol


@entry
def Input(
    shape: Sequence[int | str | None] | int | None = None,
    batch_size: int | None = None,
    dtype: DTypeLike | None = None,
    sparse: bool | None = None,
    ragged: bool | None = None,
    batch_shape: Sequence[int | str | None] | None = None,
    name: str | None = None,
    tensor: SymbolicTensor | None = None,
    optional: bool = False,
) -> SymbolicTensor:
    """Returns a symbolic tensor: an entry into a graph.

    Args:
        shape: sizes without the batch axis. None is a size that is not known yet; a text such as
            `"time"` names one, and equal names are equal sizes throughout the model.
        batch_size: a fixed batch size (by default any).
        dtype: dtype of the data, `floatx()` by default.
        sparse, ragged: not supported; only None and False are accepted.
        batch_shape: the whole shape, in the place of `shape` and `batch_size`.
        name: name of the input, under which its data is fed.
        tensor: a symbolic tensor whose shape and dtype are taken.
        optional: whether None may be fed.

    Raises:
        ConfigError: the arguments contradict each other.

    >>> Input((784,)).shape
    (None, 784)
    >>> Input(("time", 64)).symbolic_shape
    ('batch', 'time', 64)
    """
    layer = InputLayer(
        shape, batch_size, dtype, sparse, ragged, batch_shape, tensor, optional, name
    )
    return layer.make_symbol()


def first_input(shape: Shape, dtype: str, name: str | None = None) -> SymbolicTensor:
    """Returns an input for data of this shape (with the batch axis), and of other sizes later."""
    layer = InputLayer(batch_shape=shape, dtype=dtype, name=name)
    layer.any_size = True
    return layer.make_symbol()


def _like(tensor: Any, dtype: DTypeLike | None) -> tuple[Any, Any]:
    """Returns the sizes of a symbolic tensor, and its dtype unless another is asked for."""
    if not isinstance(tensor, SymbolicTensor):
        raise ConfigError(
            "Input(tensor=...) takes the shape and dtype of a symbolic tensor",
            received=type(tensor).__name__,
            hint="pass arrays to fit, predict or model(x)",
        )
    return tensor.spec.dims, dtype or tensor.dtype


def _check_same(label: str, dims: tuple[int | str, ...], given: tuple[int | str, ...]) -> None:
    """Raises ConfigError if a shape that was given beside a tensor is not the tensor's."""
    own, other = (TensorSpec(tuple(sizes), "float32").shape for sizes in (dims, given))
    if own != other:
        raise ConfigError(f"{label} has a tensor of another shape", expected=own, received=other)


def _whole_shape(
    label: str, shape: Any, batch_size: Any, batch_shape: Any
) -> tuple[int | str, ...]:
    if (shape is None) == (batch_shape is None):
        raise ConfigError(
            f"{label} needs a shape",
            expected="shape=(...) without the batch axis, or batch_shape=(...) with it",
            received="both" if shape is not None else "neither",
            hint="Input(shape=(28, 28, 1)) for images of 28 x 28 with one channel",
        )
    if batch_shape is not None and batch_size is not None:
        raise ConfigError(f"{label} takes batch_shape or batch_size, not both")
    if batch_shape is not None and not len(batch_shape):
        raise ConfigError(
            f"{label} has no batch axis", expected="batch_shape=(None, ...)", received="()",
            hint="a number for each row is Input(shape=())",
        )  # fmt: skip
    if batch_shape is not None:
        batch_size, shape = batch_shape[0], batch_shape[1:]
    sizes = (shape,) if isinstance(shape, (int, str)) else tuple(shape)
    batch = BATCH if batch_size in (None, BATCH) else make_dims([batch_size], label)[0]
    return (batch, *make_dims(sizes, label))


def _is_exact(size: Any) -> bool:
    """Tells whether a size is a number, None, or the text of an expression."""
    if isinstance(size, str):
        return re.fullmatch(r"[\w\s+*(),-]{1,500}", size) is not None
    return size is None or is_whole(size, least=0)


def _dtype_name(dtype: DTypeLike | None) -> str:
    if dtype is None:
        return floatx()
    if isinstance(dtype, str):
        name = {"bfloat16": "bfloat16", "float": floatx(), "int": "int32"}.get(dtype)
        return name or _numpy_name(dtype)
    return _numpy_name(dtype)


def _numpy_name(dtype: DTypeLike) -> str:
    try:
        return np.dtype(dtype).name
    except TypeError:
        raise ConfigError(
            "Input does not know this dtype", expected="float32, ...", received=repr(dtype)
        ) from None
