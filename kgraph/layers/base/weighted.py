"""The weights of a layer: declared one by one, read as a list or by path, frozen and counted."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from kgraph import constraints, initializers, regularizers
from kgraph.config import DTypePolicy
from kgraph.errors import GraphError, StateError
from kgraph.layers.base.between_blocks import between_blocks
from kgraph.layers.base.context import running
from kgraph.layers.base.core import Core, PolicyLike, as_policy, label_of, set_name
from kgraph.layers.base.tree import children, members, named_weights, parts_of, walk_weights
from kgraph.layers.base.variable import Variable, create_values, dtype_name
from kgraph.registry import Recorded, snake_case
from kgraph.source import user_source
from kgraph.types import Array, ConstraintLike, InitializerLike, RegularizerLike


class Weighted(Recorded):
    """The part of a layer that has a name, dtypes, weights, and layers inside with their own.

    Attributes:
        _kgraph: all that kgraph keeps of the layer.
        _kgraph_unbound: attributes that are no part of the layer: copies that run keep them, and
            nothing looks inside.
    """

    if TYPE_CHECKING:  # read-only, so that what is kept of a model may be more

        @property
        def _kgraph(self) -> Core: ...

    _kgraph_unbound: ClassVar[frozenset[str]] = frozenset({"_kgraph"})
    built: bool

    @property
    def name(self) -> str:
        """The name: explicit, or the one that the first model gave, or the class in snake case."""
        return self._kgraph.explicit_name or self._kgraph.kept_name or self._kgraph_base_name

    @name.setter
    def name(self, name: str) -> None:
        if self._kgraph.in_graph:
            raise StateError(
                f"{label_of(self)} is part of a model, where this name stands for it",
                at=user_source(),
                hint=f"name it before: {type(self).__name__}(..., name={name!r})",
            )
        set_name(self, name)
        self._kgraph.follow(name)

    @property
    def quantization_mode(self) -> None:
        """None: nothing here computes with weights of 8 or 4 bits."""
        return None

    def _flatten_layers(
        self, include_self: bool = True, recursive: bool = True
    ) -> Iterator[Weighted]:
        """Yields the layer and those inside it: Keras' own name, which libraries ask for."""
        inside = (parts_of(part) if recursive else (part,) for _, part in children(self))
        parts = dict.fromkeys(itertools.chain((self,), *inside))
        return iter(list(parts)[0 if include_self else 1 :])

    @property
    def _kgraph_base_name(self) -> str:
        """What automatic names are made of."""
        return snake_case(type(self).__name__)

    @property
    def path(self) -> str | None:
        """The name behind those of the layers that it is part of; None before it is built."""
        return self._kgraph.path

    @property
    def dtype_policy(self) -> DTypePolicy:
        """The dtypes of the layer. It can be set until the layer is built."""
        return self._kgraph.policy

    @dtype_policy.setter
    def dtype_policy(self, policy: PolicyLike) -> None:
        inside = next((label_of(child) for _, child in children(self)), None)
        is_graph = getattr(self, "_kgraph_inner_graph", None) is not None  # its layers have theirs
        if not is_graph and (self.built or self._kgraph.in_graph or inside is not None):
            raise StateError(
                f"{label_of(self)} cannot take other dtypes any more",
                at=user_source(),
                received=f"{inside} is inside, and has its own" if inside else "it is built",
                hint=f"{type(self).__name__}(..., dtype=...), where it is made",
            )
        self._kgraph.policy = as_policy(policy)

    @property
    def dtype(self) -> str:
        """The dtype of new weights."""
        return self._kgraph.policy.variable_dtype

    variable_dtype = dtype

    @property
    def compute_dtype(self) -> str:
        """The dtype in which `call` computes."""
        return self._kgraph.policy.compute_dtype

    def add_weight(
        self,
        shape: Sequence[int | None] | int | None = None,
        initializer: InitializerLike | None = None,
        dtype: str | None = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: RegularizerLike | None = None,
        constraint: ConstraintLike | None = None,
        aggregation: str = "none",
        overwrite_with_gradient: bool = False,
        name: str | None = None,
    ) -> Any:
        """Declares a weight and returns it. No array is made until one is needed.

        Args:
            shape: sizes, all known.
            initializer: by default glorot_uniform for floats and zeros for other dtypes.
            dtype: by default the policy's variable dtype.
            trainable: False for state that the layer updates itself by assignment.
            autocast: False keeps its dtype in `call`, whatever the layer computes in.
            aggregation: accepted as in Keras; unused here.
            overwrite_with_gradient: whether an optimizer sets it to its gradient.
            regularizer, constraint: names, configs or functions.
            name: by default the attribute that the weight is assigned to.
        """
        if running() is not None:
            raise StateError(
                f"{label_of(self)} declares its weight {name or ''!r} while a call runs",
                at=user_source(),
                expected="weights that are there before the call, so that they can be trained",
                hint="make layers in __init__, and declare weights there or in build",
            )
        sizes: Any = (shape,) if isinstance(shape, int) else tuple(shape or ())
        if any(not isinstance(size, (int, np.integer)) for size in sizes):
            raise GraphError(
                f"{label_of(self)} needs known sizes for its weight {name or ''!r}",
                received=sizes,
                hint="give the sizes of the feature axes in Input(shape=...)",
            )
        dtype = dtype_name(dtype or self.dtype)
        if initializer is None:
            initializer = "glorot_uniform" if "float" in dtype else "zeros"
        made: Any = initializers.get(initializer)
        weight = Variable(
            made, tuple(int(size) for size in sizes), dtype, trainable, autocast, aggregation,
            name=name, regularizer=regularizers.get(regularizer),
            constraint=constraints.get(constraint),
        )  # fmt: skip
        weight.overwrite_with_gradient = overwrite_with_gradient
        if self._kgraph.open:  # others get theirs when they are built
            weight.path = f"{self.name}/{weight.name}"
        self._kgraph.weights.append(weight)
        return weight

    add_variable = add_weight

    def _kgraph_children(self) -> Iterator[tuple[str, Any]]:
        """Yields path and layer for each layer directly inside this one."""
        return members(self, Weighted)

    @property
    def weights(self) -> list[Variable]:
        """All weights, in Keras' order: trainable, then state, then those of the layers inside."""
        return [weight for _, weight in named_weights(self)]

    variables = weights

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that training changes."""
        walked = {id(w): (w, t) for _, w, t in reversed(list(walk_weights(self)))}
        return [w for w in self.weights if walked[id(w)][1]]

    trainable_variables = trainable_weights

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """State, and the weights that are frozen."""
        trained = {id(weight) for weight in self.trainable_weights}
        return [weight for weight in self.weights if id(weight) not in trained]

    non_trainable_variables = non_trainable_weights

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights. Setting it sets the layers inside as well."""
        return self._kgraph.trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._kgraph.trainable = bool(value)
        for _, child in children(self):
            child.trainable = value

    def _kgraph_paths_of_values(self) -> Iterator[tuple[str, Variable]]:
        """Yields each weight and the path that its first value is drawn by."""
        return ((f"{self.name}/{path}", weight) for path, weight in named_weights(self))

    def get_weights(self) -> list[np.ndarray]:
        """Returns a copy of each weight on the host, in the order of `weights`."""
        create_values(self._kgraph_paths_of_values())
        with between_blocks:
            arrays = [weight.value for weight in self.weights]
        return [np.array(array) for array in arrays]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Sets all weights, in the order of `weights`; all fit or none is set."""
        own = list(named_weights(self))
        if len(own) != len(weights):
            raise StateError(
                f"{label_of(self)} has {len(own)} weights", received=f"{len(weights)} arrays"
            )
        for (path, weight), array in zip(own, weights):
            if tuple(np.shape(array)) != weight.shape:
                raise StateError(
                    f"{label_of(self)} cannot take this array as {path!r}",
                    expected=weight.shape,
                    received=np.shape(array),
                )
        with between_blocks:  # of a training that runs, all or none of a block's weights
            for (_, weight), array in zip(own, weights):
                weight.assign(array)

    def count_params(self) -> int:
        """Returns the number of scalars in all weights."""
        if not self.built and not self._kgraph.weights:
            raise StateError(
                f"{label_of(self)} has no weights yet", hint="call it once, or build it"
            )
        return sum(weight.size for weight in self.weights)

    @property
    def losses(self) -> list[Array]:
        """What the last call on arrays added, and the current value of each weight regularizer."""
        if (collected := self._kgraph.run_losses) is not None:
            return list(collected)
        penalties = [w.regularizer(w.value) for w in self.trainable_weights if w.regularizer]
        return [*self._kgraph.losses, *penalties]
