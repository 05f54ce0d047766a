"""The context of one run: values, mode, random keys, and what the layers report back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from kgraph.errors import StateError
from kgraph.initializers import path_hash
from kgraph.layers.base.first_keys import FirstKeys
from kgraph.layers.base.handles import current_trace, handle, swapped
from kgraph.layers.base.stateless_scope import Scope, current_scope, scoped
from kgraph.layers.base.variable import Named, Variable, create_values
from kgraph.types import Array


class Context:
    """What the layers of one run share. Made for the run and dropped after it; never global.

    Attributes:
        values: array of each weight, by the weight's identity.
        training: whether layers behave as in training; None leaves it to their signatures.
        key: root of the random keys, or None.
        losses: what `add_loss` and activity regularizers reported.
        effects: which of "random", "state" and "loss" happened.
        builds: whether a layer was built in it.
        first_keys: those of the model that is called on arrays, if it is one.
        mesh: the devices that outputs are spread over, where a graph says so; None for one device.
        batch_axes: those of the mesh along which the rows of a batch are spread.
        kept: `[rows]` bool, which rows of a batch in training do not only pad it; None for all.
        describing: True while shapes are inferred; unknown weights then read as zeros.
    """

    def __init__(
        self,
        values: Mapping[int, Array] | None = None,
        training: bool | None = None,
        key: Array | Callable[[], Array] | None = None,
        describing: bool = False,
    ) -> None:
        self.values = dict(values or {})
        self.training, self.key, self.describing = training, key, describing
        self.losses: list[Array] = []
        self.effects: set[str] = set()
        self.mesh: Any = None
        self.batch_axes: tuple[str, ...] = ()
        self.kept: Array | None = None
        self.first_keys: FirstKeys | None = None
        self.builds = False
        self.bound: dict[int, Any] = {}
        self.placed: dict[int, Array] = {}
        self.assigned: dict[int, Variable] = {}
        self.outer: Scope | None = None
        self._holders: dict[int, list[tuple[Any, str]]] = {}
        self._trace = current_trace()
        self._scope: list[str] = []
        self._draws: dict[str, int] = {}
        self._masks: dict[int, tuple[Array, Array]] = {}

    @property
    def path(self) -> str:
        """Path of the layer that is running."""
        return "/".join(self._scope)

    @contextlib.contextmanager
    def entering(self, segment: str, training: bool | None) -> Iterator[None]:
        """Runs a layer: its path grows by `segment`, and layers inside it see `training`."""
        outer, self.training = self.training, training
        self._scope.append(segment)
        try:
            with scoped(self):
                yield
        finally:
            self._scope.pop()
            self.training = outer

    def inside(self, values: Mapping[int, Array]) -> Context:
        """Returns a context for a part of this run that is traced apart: same paths, same keys."""
        inner = Context(values, self.training, self.key)
        inner._scope, inner._draws = self._scope, self._draws
        inner.lie_as(self)
        return inner

    def lie_as(self, outer: Context) -> None:
        """Takes over where the rows of the batch of an outer run lie, and which of them count."""
        self.mesh, self.batch_axes, self.kept = outer.mesh, outer.batch_axes, outer.kept

    def value(self, weight: Variable) -> Array:
        """Returns the array that stands for a weight in this run."""
        found = self.values.get(id(weight))
        if found is None:
            if self.describing:
                found = jnp.zeros(weight.shape, weight.dtype)
            else:
                self.create_values([(f"{self.path}/{weight.name}", weight)])
                found = weight.value
            self.values[id(weight)] = found
        return found

    def create_values(self, weights: Iterable[Named]) -> None:
        """Gives initial values to weights; a model that is called draws all with its own keys."""
        named, keys = list(weights), self.first_keys
        for path, weight in named:
            if keys is not None and weight.origin is None:
                weight.origin = keys, path.partition("/")[2]
        create_values(named)

    def place(self, weight: Variable, array: Array) -> Array:
        """Remembers which array a copy got for a weight, to tell later whether it was assigned."""
        self.placed[id(weight)] = array
        return array

    # --- variables that are assigned ------------------------------------------------------------

    def handle(self, variable: Variable, array: Array, copy: Any, name: str) -> Any:
        """Returns an array that can be assigned, for an attribute of a copy."""
        self._holders.setdefault(id(variable), []).append((copy, name))
        return handle(array, variable, self)

    @property
    def has_handles(self) -> bool:
        """Whether any copy has an array that can be assigned."""
        return bool(self._holders)

    def assign(self, variable: Variable, value: object) -> Array:
        """Sets a variable for the rest of the run; returns its new array."""
        if current_trace() is not self._trace:
            raise StateError(
                f"{variable.path!r} is assigned inside a function that JAX traces apart",
                expected="no assignment inside scan, cond, while_loop, grad, vmap or jit",
                hint="return the new value from that function, and assign it after the call",
            )
        new = self.values[id(variable)] = variable.fitting(value)
        self.assigned[id(variable)] = variable
        for copy, name in self._holders.get(id(variable), ()):
            vars(copy)[name] = swapped(vars(copy)[name], variable)
        return new

    def get_current_value(self, variable: Variable) -> Array | None:
        """Returns what a variable of the run holds now; None for others."""
        return self.values.get(id(variable))

    def add_update(self, update: tuple[Variable, Any]) -> None:
        """Assigns a variable, of this run or of another."""
        variable, value = update
        if id(variable) in self.values:
            self.assign(variable, value)
        elif self.outer is not None:
            self.outer.add_update(update)
        else:
            variable.keep(value)

    def next_key(self, seed: int | None = None) -> Array:
        """Returns a new key: a function of the root key, the layer's path and the draw's number."""
        self.effects.add("random")
        if self.key is None:
            raise StateError(
                f"{self.path!r} draws random numbers, and no key was given",
                hint="pass key=jax.random.key(...), or training=False",
            )
        place = self.path if seed is None else f"seed {seed}"
        root: Any = self.key() if callable(self.key) else self.key
        self.key = root
        number = self._draws.get(place, 0)
        self._draws[place] = number + 1
        return jax.random.fold_in(jax.random.fold_in(root, self.hash_of(place)), number)

    def hash_of(self, place: str) -> int | Array:
        """Returns the number that stands for a path in keys."""
        return path_hash(place)

    def add_loss(self, loss: Array) -> None:
        """Adds a term to the loss of this run; an array is summed."""
        self.effects.add("loss")
        self.losses.append(jnp.sum(widened(jnp.asarray(loss))))

    def set_mask(self, tensor: Array, mask: Array | None) -> None:
        """Remembers the mask of a tensor (None: it has none), for the length of the run."""
        if mask is None:
            self._masks.pop(id(tensor), None)
        else:
            self._masks[id(tensor)] = (tensor, mask)

    def mask_of(self, tensor: Any) -> Array | None:
        """Returns the mask remembered for a tensor, or None."""
        found = self._masks.get(id(tensor))
        return found[1] if found is not None else None


def widened(array: Array) -> Array:
    """Returns short floats as float32: squares and sums of them do not fit into 16 bits."""
    short = jnp.issubdtype(array.dtype, jnp.floating) and array.dtype.itemsize < 4
    return array.astype(jnp.float32) if short else array


def running() -> Context | None:
    """Returns the run in whose call we are, if we are in one."""
    scope = current_scope()
    return scope if isinstance(scope, Context) else None
