"""The weights of a layer: declared one by one, read as a list or by path, frozen and counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np

from kgraph import constraints, initializers, regularizers
from kgraph.errors import GraphError, StateError
from kgraph.layers.base.binding import Bindable, members
from kgraph.layers.base.named import Named
from kgraph.layers.base.variable import Variable, create_values
from kgraph.types import Array


class Weighted(Named, Bindable):
    """The part of a layer that has weights, and layers inside with weights of their own."""

    _weights: list[Variable]
    _own_losses: list[Array]
    _trainable: bool = True
    built: bool

    def add_weight(
        self,
        shape: Sequence[int | None] | int | None = None,
        initializer: Any = None,
        dtype: str | None = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
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
            autocast, aggregation, overwrite_with_gradient: accepted as in Keras; unused here.
            regularizer, constraint: names, configs or functions.
            name: by default the attribute that the weight is assigned to.
        """
        sizes: Any = (shape,) if isinstance(shape, int) else tuple(shape or ())
        if any(not isinstance(size, (int, np.integer)) for size in sizes):
            raise GraphError(
                f"{self.label} needs known sizes for its weight {name or ''!r}",
                received=sizes,
                hint="give the sizes of the feature axes in Input(shape=...)",
            )
        dtype = str(np.dtype(dtype) if dtype not in (None, "bfloat16") else dtype or self.dtype)
        if initializer is None:
            initializer = "glorot_uniform" if "float" in dtype else "zeros"
        made: Any = initializers.get(initializer)
        weight = Variable(
            made, tuple(int(size) for size in sizes), dtype, trainable, autocast, aggregation,
            name=name, regularizer=regularizers.get(regularizer),
            constraint=constraints.get(constraint),
        )  # fmt: skip
        weight.overwrite_with_gradient = overwrite_with_gradient
        self._weights.append(weight)
        return weight

    def children(self) -> Iterator[tuple[str, Self]]:
        """Yields path and layer for each layer directly inside this one."""
        yield from members(self, Weighted)

    def named_weights(self) -> Iterator[tuple[str, Variable]]:
        """Yields path and weight, each once: own trained ones, own state, layers inside."""
        seen: set[int] = set()
        for path, weight, _ in self._walk_weights("", True):
            if id(weight) not in seen:
                seen.add(id(weight))
                yield path, weight

    def _walk_weights(self, prefix: str, trained: bool) -> Iterator[tuple[str, Variable, bool]]:
        trained = trained and self._trainable
        for weight in sorted(self._weights, key=lambda w: not w.trainable):
            yield f"{prefix}{weight.name}", weight, trained and weight.trainable
        for name, child in self.children():
            yield from child._walk_weights(f"{prefix}{name}/", trained)

    def _name_weights(self) -> None:
        """Gives weights without a name that of their attribute, and makes names unique."""
        if not self._weights:
            return
        places = {id(weight): path.replace("/", "_") for path, weight in members(self, Variable)}
        taken = {path.partition("/")[0] for path, _ in self.children()}
        for weight in self._weights:
            base = weight.name if weight.is_named else places.get(id(weight), "weight")
            name, n = base, 0
            while name in taken:
                n += 1
                name = f"{base}_{n}"
            weight.rename(name)
            taken.add(name)

    @property
    def named_weights_exist(self) -> bool:
        """Whether the layer has any weight."""
        return next(self.named_weights(), None) is not None

    @property
    def weights(self) -> list[Variable]:
        """All weights, in Keras' order: trainable, then state, then those of the layers inside."""
        return [weight for _, weight in self.named_weights()]

    variables = weights

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that training changes."""
        walked = {id(w): (w, t) for _, w, t in reversed(list(self._walk_weights("", True)))}
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
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for _, child in self.children():
            child.trainable = value

    def paths_of_values(self) -> Iterator[tuple[str, Variable]]:
        """Yields each weight and the path that its first value is drawn by."""
        return ((f"{self.name}/{path}", weight) for path, weight in self.named_weights())

    def get_weights(self) -> list[np.ndarray]:
        """Returns a copy of each weight on the host, in the order of `weights`."""
        create_values(self.paths_of_values())
        return [weight.numpy() for weight in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Sets all weights, in the order of `weights`; all fit or none is set."""
        own = list(self.named_weights())
        if len(own) != len(weights):
            raise StateError(
                f"{self.label} has {len(own)} weights", received=f"{len(weights)} arrays"
            )
        for (path, weight), array in zip(own, weights):
            if tuple(np.shape(array)) != weight.shape:
                raise StateError(
                    f"{self.label} cannot take this array as {path!r}",
                    expected=weight.shape,
                    received=np.shape(array),
                )
        for (_, weight), array in zip(own, weights):
            weight.assign(array)

    def count_params(self) -> int:
        """Returns the number of scalars in all weights."""
        if not self.built and not self._weights:
            raise StateError(f"{self.label} has no weights yet", hint="call it once, or build it")
        return sum(weight.size for weight in self.weights)

    @property
    def losses(self) -> list[Array]:
        """What the last call on arrays added, and the current value of each weight regularizer."""
        penalties = [w.regularizer(w.value) for w in self.trainable_weights if w.regularizer]
        return [*self._own_losses, *penalties]
