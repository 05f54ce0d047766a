"""Symbolic tensors: what a layer call returns while a graph is being written down.

A symbol points backwards only, to the call that made it; nothing points forward. So a graph lives
exactly as long as somebody holds one of its outputs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from kgraph.errors import ConfigError, SymbolError
from kgraph.graph.dims import BATCH
from kgraph.graph.node import TensorSpec
from kgraph.graph.structure import Slot
from kgraph.lazy import load_operators
from kgraph.source import Source, library_among_callers
from kgraph.tracebacks import entry
from kgraph.types import Dims, Shape

_order = itertools.count()


@dataclass(eq=False, slots=True, weakref_slot=True)
class Call:
    """A layer call as it was written: the raw material of a node. Never changed once made."""

    layer: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[SymbolicTensor, ...]
    masks: tuple[MaskOf | None, ...]
    structure: Any
    outputs: tuple[TensorSpec, ...]
    mask_specs: tuple[TensorSpec | None, ...]
    passes_mask: MaskOf | None
    effects: tuple[str, ...]
    source: Source | None
    equal: tuple[tuple[str, str], ...] = ()
    order: int = field(default_factory=lambda: next(_order))


@dataclass(frozen=True)
class _Nowhere:
    """Stands for the maker of a symbol whose spec alone matters."""

    name: str


@dataclass(frozen=True, slots=True)
class MaskOf:
    """The mask that a call made for its `index`-th output."""

    call: Call
    index: int


class SymbolicTensor:
    """Stands for a tensor in a graph that is being written: shape, dtype and where it comes from.

    Made by `kgraph.Input` and by calling layers or `kgraph.ops` functions on other symbols. It has
    no values: arithmetic, comparison and slicing add nodes to the graph.

    Attributes:
        shape: tuple, None for unknown sizes.
        symbolic_shape: tuple, with an expression such as `"time - 2"` for unknown sizes.
        dtype: name of the dtype.
    """

    __slots__ = ("__weakref__", "call", "index", "spec")

    @staticmethod
    def apply(function: str, /, *args: Any) -> Any:
        """Records the function of this name on its arguments; `kgraph.ops` takes its place."""
        load_operators()
        return SymbolicTensor.apply(function, *args)

    @entry
    def __init__(
        self,
        shape: Sequence[int | str | None],
        dtype: str | np.dtype | type = "float32",
        sparse: bool = False,
        ragged: bool = False,
        name: str = "keras_tensor",
    ) -> None:
        """Makes a symbol of no model, as `compute_output_spec` takes and returns them."""
        if sparse or ragged:
            raise ConfigError("KerasTensor is dense", received=f"{sparse=}, {ragged=}")
        dims = tuple(
            (f"d{axis}" if axis else BATCH) if size is None else size
            for axis, size in enumerate(shape)
        )
        dtype = dtype if isinstance(dtype, str) else np.dtype(dtype).name
        self.spec, self.index = TensorSpec(dims, dtype), 0
        self.call = Call(
            layer=_Nowhere(name), args=(), kwargs={}, inputs=(), masks=(), structure=Slot(0),
            outputs=(self.spec,), mask_specs=(None,), passes_mask=None, effects=(), source=None,
        )  # fmt: skip

    @classmethod
    def of_call(cls, spec: TensorSpec, call: Call, index: int) -> SymbolicTensor:
        """Returns the symbol of an output of a call."""
        symbol = object.__new__(cls)
        symbol.spec, symbol.call, symbol.index = spec, call, index
        return symbol

    @property
    def shape(self) -> Shape:
        return self.spec.shape

    @property
    def symbolic_shape(self) -> Dims:
        return self.spec.dims

    @property
    def dtype(self) -> str:
        return self.spec.dtype

    @property
    def ndim(self) -> int:
        return len(self.spec.dims)

    @property
    def name(self) -> str:
        return self.call.layer.name

    @property
    def source(self) -> Source | None:
        """The user's line of the call that made this tensor."""
        return self.call.source

    @property
    def mask(self) -> MaskOf | None:
        """Where the mask of this tensor comes from, or None."""
        if self.call.mask_specs and self.call.mask_specs[self.index] is not None:
            return MaskOf(self.call, self.index)
        return self.call.passes_mask

    def __repr__(self) -> str:
        return f"<SymbolicTensor {self.spec} from {self.name!r}>"

    def __getitem__(self, index: Any) -> Any:
        return SymbolicTensor.apply("getitem", self, index)

    def __hash__(self) -> int:
        return id(self)

    @entry
    def _refuse(self, *_: Any, use: str = "as an array", hint: str | None = None) -> NoReturn:
        library = library_among_callers(*_OTHERS)
        if library is not None:
            use, hint = f"by {_OTHERS[library][0]}", _OTHERS[library][1]
        raise SymbolError(
            f"A symbolic tensor has no values and cannot be used {use}",
            made=f"{self.source} as {self.spec}" if self.source else str(self.spec),
            hint=hint
            or [
                "call the function of kgraph.ops with the same name (kgraph.ops.tanh, ...),",
                "or put the computation into a layer's call",
            ],
        )

    @entry
    def __bool__(self) -> NoReturn:  # noqa: PLE0304
        self._refuse(use="in a condition (if, while, and, or, not)", hint="use kgraph.ops.where")

    @entry
    def __float__(self) -> NoReturn:
        self._refuse(use="as a number")

    __int__ = __complex__ = __index__ = __float__

    @entry
    def __len__(self) -> NoReturn:  # noqa: PLE0303
        self._refuse(use="in len()", hint="its sizes are in .shape")

    @entry
    def __iter__(self) -> NoReturn:
        self._refuse(use="in a loop or by unpacking", hint="slice it, or use kgraph.ops.split")

    def __jax_array__(self) -> Any:
        """Lets JAX functions find out, by touching the answer, that there is no array here.

        It must not raise by itself: `jax_array + symbol` asks it too, before it lets us answer.
        """
        return _NoArray(self)

    @entry
    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse(use="by a NumPy function")

    @entry
    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        """Lets `numpy_array + symbol` be a node; every other NumPy function is refused."""
        if method == "__call__" and ufunc.__name__ in _UFUNCS and not kwargs:
            return SymbolicTensor.apply(_UFUNCS[ufunc.__name__], *args)
        self._refuse(use=f"by numpy.{ufunc.__name__}")


_OTHERS = {
    "keras": ("a layer or function of Keras", "those of kgraph.layers and kgraph.ops take it"),
    "flax": ("a module of Flax", "kgraph.layers.FlaxLayer(module) is a layer that takes it"),
}


class _NoArray:
    """What a JAX function gets in the place of an array: any use of it says what to do instead."""

    __slots__ = ("symbol",)

    def __init__(self, symbol: SymbolicTensor) -> None:
        object.__setattr__(self, "symbol", symbol)

    @entry
    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            return _NoArray
        object.__getattribute__(self, "symbol")._refuse(use="by a JAX function")

    def __repr__(self) -> str:
        return self.__getattribute__("repr")


_BINARY = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "true_divide",
    "floordiv": "floor_divide",
    "mod": "mod",
    "pow": "power",
    "matmul": "matmul",
    "and": "logical_and",
    "or": "logical_or",
    "xor": "logical_xor",
}
_COMPARE = {
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "eq": "equal",
    "ne": "not_equal",
}
_UFUNCS = {
    **{name: name for name in (*_BINARY.values(), *_COMPARE.values())},
    "divide": "true_divide",
    "remainder": "mod",
    "bitwise_and": "logical_and",
    "bitwise_or": "logical_or",
    "bitwise_xor": "logical_xor",
}
"""What NumPy calls the operators of its arrays."""
_UNARY = {"neg": "negative", "abs": "absolute", "invert": "logical_not"}


def _operator(function: str, swapped: bool = False) -> Callable[..., Any]:
    @entry
    def method(self: SymbolicTensor, *other: Any) -> Any:
        return SymbolicTensor.apply(function, *((*other, self) if swapped else (self, *other)))

    return method


for _name, _function in {**_BINARY, **_COMPARE, **_UNARY}.items():
    setattr(SymbolicTensor, f"__{_name}__", _operator(_function))
for _name, _function in _BINARY.items():
    setattr(SymbolicTensor, f"__r{_name}__", _operator(_function, swapped=True))

KerasTensor = SymbolicTensor
"""Keras' name for it."""
