"""Names for the types that many parts share.

Those of arrays and of what stands for an object (`"relu"`, a function, a config) are for type
checkers and editors alone: while a program runs they are Any, so that nothing here imports JAX or
a part above.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

Shape: TypeAlias = tuple[int | None, ...]
"""A public shape: None stands for a size that is not known yet."""

Dims: TypeAlias = tuple[int | str, ...]
"""An exact shape: a string is a symbolic size such as `"time - 2"`."""

Tree: TypeAlias = object
"""A nested structure of lists, tuples and dicts, or a leaf of one: nothing is required of it.

What comes out of one is whatever somebody put in, so functions return Any there.
"""

Function: TypeAlias = Callable[..., Any]

FilePath: TypeAlias = str | PathLike[str]
"""The place of a file or folder."""

Config: TypeAlias = Mapping[str, object]
"""An object as plain data: what `get_config` returns, or JSON has."""

CustomObjects: TypeAlias = Mapping[str, object]
"""Classes and functions by the names that files and configs have for them."""

Verbose: TypeAlias = Literal["auto", 0, 1, 2] | bool
"""What is shown while something runs: nothing (0), a bar (1), or a line each epoch (2)."""


class Indexed(Protocol):
    """A dataset that is read by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> object: ...


if TYPE_CHECKING:
    import numpy as np
    from jax import Array as Array
    from jax.typing import DTypeLike as JaxDTypeLike
    from numpy.typing import ArrayLike as NumpyArrayLike
    from optax import GradientTransformation

    from kgraph.config import DTypePolicy
    from kgraph.constraints import Constraint
    from kgraph.graph.symbol import SymbolicTensor
    from kgraph.initializers.base import Initializer
    from kgraph.layers.base.layer import Layer
    from kgraph.layers.base.variable import Variable
    from kgraph.losses.base import Loss
    from kgraph.metrics.base import Metric
    from kgraph.optimizers.optimizer import Optimizer
    from kgraph.regularizers import Regularizer
    from kgraph.training.callbacks import Callback, CallbackList

    AnyArray: TypeAlias = Array | np.ndarray
    """An array on the device or in NumPy."""

    ArrayLike: TypeAlias = NumpyArrayLike | SymbolicTensor | Variable
    """What may be given for an array: arrays, numbers, lists of them, symbols, variables."""

    Arrays: TypeAlias = ArrayLike | Sequence["Arrays"] | Mapping[str, "Arrays"]
    """One array or several, in lists and dicts."""

    DataLike: TypeAlias = Arrays | Iterable[object] | Indexed
    """What is trained on: arrays, or a dataset, loader or generator of batches."""

    Params: TypeAlias = Mapping[str, "Params | Array"]
    """Arrays in dicts by the names of layers and weights."""

    CallbackLike: TypeAlias = Callback | CallbackList | Sequence[Callback]

    DTypeLike: TypeAlias = JaxDTypeLike
    """A dtype, or its name."""

    PolicyLike: TypeAlias = str | DTypePolicy
    """How a layer computes: name of a dtype or policy (`"mixed_bfloat16"`), or a policy."""

    ActivationLike: TypeAlias = str | Config | Layer | Callable[..., object]
    InitializerLike: TypeAlias = (
        str | Config | Initializer | type[Initializer] | Callable[..., ArrayLike]
    )
    RegularizerLike: TypeAlias = (
        str | Config | Regularizer | type[Regularizer] | Callable[[Array], ArrayLike]
    )
    ConstraintLike: TypeAlias = (
        str | Config | Constraint | type[Constraint] | Callable[[Array], ArrayLike]
    )
    LossLike: TypeAlias = str | Config | Loss | type[Loss] | Callable[..., ArrayLike]
    MetricLike: TypeAlias = str | Config | Metric | type[Metric] | Callable[..., ArrayLike]
    LossesLike: TypeAlias = LossLike | Sequence[LossLike | None] | Mapping[str, LossLike | None]
    """A loss, or one for each output."""

    MetricsLike: TypeAlias = (
        MetricLike | Sequence["MetricsLike | None"] | Mapping[str, "MetricsLike | None"]
    )
    """Metrics, or those of each output."""

    OptimizerLike: TypeAlias = str | Config | Optimizer | type[Optimizer] | GradientTransformation
else:
    Array = AnyArray = ArrayLike = Arrays = DataLike = Params = DTypeLike = PolicyLike = Any
    ActivationLike = InitializerLike = RegularizerLike = ConstraintLike = Any
    LossLike = LossesLike = MetricLike = MetricsLike = OptimizerLike = CallbackLike = Any
