"""What kgraph keeps of a layer: one typed record, in the one attribute `_kgraph`.

All other names of a layer belong to whoever wrote its class. So what our code needs of a layer is
a function of it (`label_of(layer)`, `children(layer)`), or a method that a class may override under
a name that begins with `_kgraph_` (`_kgraph_check_call`), as any class may.
"""

from __future__ import annotations

import copy
import itertools
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from kgraph.config import DTypePolicy, dtype_policy
from kgraph.errors import ConfigError, StateError
from kgraph.graph.node import TensorSpec
from kgraph.graph.symbol import Call
from kgraph.layers.base.scopes import RematScope, remat_scope
from kgraph.layers.base.variable import Variable, check_wide
from kgraph.registry import Record
from kgraph.types import Array, PolicyLike, Shape

if TYPE_CHECKING:
    from kgraph.layers.base.context import Context
    from kgraph.layers.base.weighted import Weighted

_order = itertools.count()


@dataclass(eq=False)
class Core(Record):
    """What is kept of a layer, or of what else is bound for a run.

    Fields:
        policy: the dtypes.
        explicit_name, kept_name: the name that the user gave, and the one that a first model gave.
        in_graph: whether a graph has the layer under its name.
        order: in which layers were made; automatic names are numbered by it.
        weights: those that the layer declared itself.
        adapted: the one that rests since `enable_lora`.
        adapters: the two that are trained in its place.
        path: the name behind those of the layers outside, from the moment the layer is built.
        inside: the records of the layers whose paths begin with this one's.
        trainable: False keeps them out of training.
        input_shape: of the inputs, with the batch axis, where the constructor was told.
        described: what its call returned when shapes were inferred last; () before.
        losses: what the last call on arrays added.
        run_losses: the losses that a step has collected, in the place of all others; else None.
        first_call: where the layer stands in a graph, as long as somebody keeps that.
        building: whether its `build` is running.
        stating: whether it is asked for the shapes that its class states.
        shapes: the arguments of the `build` that has run.
        settled: whether its weights are all there: variables in attributes are none from then on.
        open: whether they are weights all the same: of models made of tensors.
        context: the run of a bound copy; None for the layer itself.
        origin: the layer that a copy was made from.
        segment: what a copy adds to the path of its run.
        remat: the RematScope that the layer was made in.
        handles: whether a copy has its weights as arrays that can be assigned.
        lowering: how a pass has decided that a copy computes; "" for the usual way.
    """

    policy: DTypePolicy = field(default_factory=dtype_policy)
    explicit_name: str | None = None
    kept_name: str | None = None
    in_graph: bool = False
    order: int = field(default_factory=_order.__next__)
    weights: list[Variable] = field(default_factory=list)
    adapted: Variable | None = None
    adapters: tuple[Variable, ...] = ()
    path: str | None = None
    inside: list[Core] = field(default_factory=list)
    trainable: bool = True
    input_shape: Shape | None = None
    described: tuple[TensorSpec, ...] = ()
    losses: list[Array] = field(default_factory=list)
    run_losses: Sequence[Array] | None = None
    first_call: Callable[[], Call | None] | None = None
    building: bool = False
    stating: bool = False
    shapes: dict[str, Any] = field(default_factory=dict)
    settled: bool = False
    open: bool = False
    context: Context | None = None
    origin: Any = None
    segment: str = ""
    remat: RematScope | None = field(default_factory=remat_scope)
    handles: bool = False
    lowering: str = ""

    def bound(self, origin: Any, context: Context, segment: str) -> Core:
        """Returns the record of a copy of `origin` that runs in `context`."""
        twin = object.__new__(type(self))
        vars(twin).update(vars(self))
        twin.origin, twin.context, twin.segment = origin, context, segment
        return twin

    def with_weights(self, weights: Iterable[Variable]) -> Core:
        """Returns the record of a copy that has other weights."""
        twin = copy.copy(self)
        twin.weights = list(weights)
        return twin

    def keep_name(self, name: str) -> None:
        """Takes the name that a graph gave, if there is none yet."""
        self.in_graph = True
        if self.explicit_name is None and self.kept_name is None:
            self.kept_name = name
            self.follow(name)

    def rename(self, name: str | None) -> None:
        """Takes a name as one that a graph gave: another graph may call the layer otherwise."""
        self.explicit_name, self.kept_name = None, name
        self.follow(name)

    def follow(self, name: str | None) -> None:
        """Gives the layer's path, and those that begin with it, the new name of the layer."""
        if self.path is not None and name is not None:
            before, slash, _ = self.path.rpartition("/")
            self.move(f"{before}{slash}{name}")

    def move(self, path: str) -> None:
        """Gives the layer a path, and its weights and those inside the paths that follow."""
        old, self.path = self.path, path
        for weight in self.weights:
            weight.path = f"{path}/{weight.name}"
        for core in self.inside:
            if core.path is not None and old is not None and core.path.startswith(f"{old}/"):
                core.move(path + core.path[len(old) :])

    def call(self) -> Call | None:
        """Returns the first call on symbols, if it still stands in a graph."""
        return None if self.first_call is None else self.first_call()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "first_call": None, "remat": None, "context": None, "origin": None}

    def __deepcopy__(self, memo: dict[int, Any]) -> Core:
        twin = object.__new__(type(self))
        memo[id(self)] = twin
        vars(twin).update(copy.deepcopy(self.__getstate__(), memo))
        copied = memo.get(id(self.call()))  # a copied graph has a call of its own
        twin.first_call = None if copied is None else weakref.ref(copied)
        return twin


def label_of(layer: Weighted) -> str:
    """Returns a layer as messages name it: `'head' (Dense)`."""
    return f"{layer.name!r} ({type(layer).__name__})"


def set_name(layer: Weighted, name: str | None) -> None:
    """Gives a layer an explicit name, or none.

    Raises:
        ConfigError: it is no text, or would break paths.
    """
    if name is not None and (not isinstance(name, str) or not name or set(name) & set("/:")):
        raise ConfigError(
            f"{type(layer).__name__} cannot be named {name!r}",
            expected="a text without '/' and ':'",
        )
    layer._kgraph.explicit_name = name


def as_flag(layer: Weighted, trainable: object) -> bool:
    """Returns the option `trainable`; raises ConfigError for what is no truth value."""
    if not isinstance(trainable, (bool, int, np.bool_)):
        raise ConfigError(
            f"{type(layer).__name__} needs True or False for trainable", received=repr(trainable)
        )
    return bool(trainable)


def context_of(layer: Weighted, what: str) -> Context:
    """Returns the run of a bound copy; `what` says in the error what needs one."""
    context = layer._kgraph.context
    if context is None:
        raise StateError(f"{label_of(layer)} can {what} only inside its call")
    return context


def seed_of(layer: Weighted) -> int | None:
    """Returns the number that a layer draws by, if its attribute `seed` is one."""
    seed = vars(layer).get("seed")  # the user's may be anything
    return int(seed) if isinstance(seed, (int, np.integer)) else None


def next_key(layer: Weighted) -> Array:
    """Returns a fresh random key for a layer inside its `call`; see `Layer.next_key`."""
    return context_of(layer, "draw keys").next_key(seed_of(layer))


def as_policy(dtype: PolicyLike | None) -> DTypePolicy:
    """Returns the policy that an option `dtype` stands for.

    Raises:
        ConfigError: it needs float64, which JAX cuts to float32 unless it is told not to.
    """
    if dtype is None:
        policy = dtype_policy()
    elif isinstance(dtype, DTypePolicy):
        policy = dtype
    elif isinstance(dtype, Mapping):
        raise ConfigError(
            "The dtype of a layer is one policy", expected="a name, a dtype or a DTypePolicy",
            received=type(dtype).__name__, hint="take one of the map: dtype=policies[path]",
        )  # fmt: skip
    else:
        policy = DTypePolicy(dtype if isinstance(dtype, str) else np.dtype(dtype).name)
    for name in (policy.variable_dtype, policy.compute_dtype):
        check_wide(name)
    return policy
