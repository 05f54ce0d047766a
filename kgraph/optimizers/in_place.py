"""Optimizers used by hand, as in Keras: on variables, with their own state in variables."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kgraph import initializers
from kgraph.errors import StateError
from kgraph.layers.base import Variable
from kgraph.layers.base.arithmetic import value_of
from kgraph.layers.base.stateless_scope import current_scope
from kgraph.types import Array, DTypeLike, InitializerLike, Tree

if TYPE_CHECKING:
    from kgraph.optimizers.optimizer import Optimizer

ADDED = "added"
"""Under this a state has what a rule written with `update_step` remembers."""

_NAMES = {
    "average": "average", "accumulated": "gradient_accumulator", "trace": "momentum",
    "nu": "velocity", "mu": "momentum", "sum_of_squares": "accumulator",
    "e_g": "accumulated_grad", "e_x": "accumulated_delta_var",
}  # fmt: skip
"""Keras' names of what is kept for each parameter, where ours are others."""

_GROUPS = {"average": 0, "accumulated": 1, "nu": 2, "trace": 3, "velocity_hat": 3, "mu": 4}
"""In Keras' order all parameters have these before the next; others come by parameter."""


class InPlace:
    """What an optimizer has been built on, and its state in variables.

    Args:
        optimizer: whose state it is.
        parameters: the variables that it updates.

    Attributes:
        keys: the path of each parameter, made unique.
        iterations: the number of updates.
        added: what a rule written with `update_step` remembers.
        by_training: whether a training has built it, for all that it trains.
    """

    def __init__(self, optimizer: Optimizer, parameters: Iterable[Variable]) -> None:
        self.optimizer, self.parameters = optimizer, list(parameters)
        self.keys = _unique(variable.path for variable in self.parameters)
        optimizer._kgraph_locate(dict(zip(map(id, self.parameters), self.keys)))
        self.added: list[Variable] = []
        self.by_training = False
        self.iterations = self._hold("iteration", np.int32(0))
        # The state is that of `Optimizer.init` for parameters in a flat dict, which JAX sorts.
        self._order = sorted(range(len(self.keys)), key=self.keys.__getitem__)
        self._structure = jax.tree.structure(dict.fromkeys(self.keys, 0))
        self._stands_in = False
        self._slots: Slots | None = None

    def stand_in(self, structure: Any) -> None:
        """Stands for the leaves of such a tree of parameters; scopes give the variables values."""
        self._order, self._structure = list(range(len(self.keys))), structure
        self._stands_in = True

    def arrange(self, keys: Sequence[str], structure: Any) -> None:
        """Takes parameters and state in the form of another tree: that of a training.

        Args:
            keys: the path of each parameter in the tree.
            structure: of a tree with a leaf for each parameter.
        """
        self.keys, made = list(keys), self._slots
        self.optimizer._kgraph_locate(dict(zip(map(id, self.parameters), self.keys)))
        numbers = structure.unflatten(range(structure.num_leaves))
        at = {
            jax.tree_util.keystr(path, simple=True, separator="/"): number
            for path, number in jax.tree_util.tree_leaves_with_path(numbers)
        }
        self._order = sorted(range(len(self.keys)), key=lambda i: at[self.keys[i]])
        self._structure, self._stands_in, self._slots = structure, True, None
        if made is not None:
            self._slots = self.slots._replace(variables=made.variables)

    def is_left_by(self, parameters: Iterable[Variable]) -> bool:
        """Tells whether a training that was given these parameters trains others now."""
        wanted = {id(variable) for variable in parameters}
        return self.by_training and wanted != {id(variable) for variable in self.parameters}

    def is_for(self, variables: Iterable[Variable]) -> bool:
        """Tells whether all of these are updated."""
        own = {id(variable) for variable in self.parameters}
        return all(id(variable) in own for variable in variables)

    def index(self, variable: Variable) -> int:
        """Returns the number of a parameter; raises StateError for one that is not updated."""
        for i, known in enumerate(self.parameters):
            if known is variable:
                return i
        raise StateError(
            f"The optimizer {self.optimizer.name!r} was not built on {variable.path!r}",
            expected=", ".join(self.keys),
            hint="make another optimizer for other variables",
        )

    def add(
        self,
        shape: Sequence[int],
        initializer: InitializerLike | None,
        dtype: DTypeLike | None,
        name: str,
    ) -> Variable:
        """Makes a variable for what a rule remembers."""
        made = Variable(initializers.get(initializer), shape, dtype, trainable=False, name=name)
        made.path = f"{self.optimizer.name}/{name}"
        self.added.append(made)
        return made

    def _hold(self, name: str, value: Any) -> Variable:
        if isinstance(value, jax.ShapeDtypeStruct):
            zeros = initializers.Zeros()
            made = Variable(zeros, value.shape, value.dtype, trainable=False, name=name)
        else:
            made = Variable(value, trainable=False, name=name)
        made.path = f"{self.optimizer.name}/{name}"
        return made

    # --- trees and variables --------------------------------------------------------------------

    @property
    def placed(self) -> list[tuple[tuple[str, ...], Variable]]:
        """The parameters, each with its place in the trees, in the order of `build`."""
        leaves = jax.tree_util.tree_leaves_with_path(self._structure.unflatten(self._order))
        places = {number: tuple(map(word_of, path)) for path, number in leaves}
        return [(places[i], variable) for i, variable in enumerate(self.parameters)]

    def tree(self, values: Sequence[object]) -> Any:
        """Returns a value for each parameter in the form in which the optimizer takes them."""
        return self._structure.unflatten([values[i] for i in self._order])

    def values(self, tree: Tree) -> list[Any]:
        """Returns what `tree` was given."""
        leaves = self._structure.flatten_up_to(tree)
        return [leaf for _, leaf in sorted(zip(self._order, leaves), key=lambda pair: pair[0])]

    @property
    def variables(self) -> list[Variable]:
        """The state in Keras' order: count, rate, averages, then the rule's own by parameter."""
        return self.slots.variables

    @property
    def known_variables(self) -> list[Variable]:
        """The same as far as they have a value: outside of scopes none that a training has."""
        away = self._stands_in and current_scope() is None
        return [] if self._slots is None or away else self._slots.variables

    @property
    def slots(self) -> Slots:
        """Which variable stands for which leaf of the state."""
        if self._slots is None:
            if self._stands_in:
                shapes = [jax.ShapeDtypeStruct(v.shape, v.dtype) for v in self.parameters]
                state = jax.eval_shape(self.optimizer._kgraph_init, self.tree(shapes))
            else:
                with jax.ensure_compile_time_eval():  # also while somebody's jit is tracing
                    params = self.tree([variable.value for variable in self.parameters])
                    state = self.optimizer._kgraph_init(params)
            self._slots = self._made_slots(state)
        return self._slots

    def _made_slots(self, state: Tree) -> Slots:
        flat, structure = jax.tree_util.tree_flatten_with_path(state)
        paths = [[word_of(part) for part in path] for path, _ in flat]
        steps = [i for i, words in enumerate(paths) if words[-1] == "step"]
        counts = {i for i, words in enumerate(paths) if words[-1] in ("step", "count")}
        first = min(steps, key=lambda i: len(paths[i]), default=-1)
        found: list[tuple[tuple[int, ...], Variable, int | None]] = []
        leaf_of: dict[int, int] = {}
        for i, (words, (_, leaf)) in enumerate(zip(paths, flat)):
            if i in counts and i != first:
                continue  # the rule's own count of the updates
            rank, owner, name = self._place(words, i)
            if i == first:
                rank, variable = (0,), self.iterations
            elif name is None:
                variable = self.added[int(words[-1])]
            else:
                variable = self._hold(name, leaf)
            leaf_of[i] = id(variable)
            found.append((rank, variable, owner))
        found.sort(key=lambda item: item[0])
        number = {id(variable): n for n, (_, variable, _) in enumerate(found)}
        places = [number[leaf_of[i if i in leaf_of else first]] for i in range(len(flat))]
        return Slots(
            [variable for _, variable, _ in found], [o for _, _, o in found], places, structure
        )

    def _place(self, words: list[str], leaf: int) -> tuple[tuple[int, ...], int | None, str | None]:
        """Returns a leaf's place in Keras' order, its parameter, and a name if it needs one."""
        if words[-2:-1] == [ADDED]:
            return (8, leaf), None, None
        for start in range(1, len(words)):
            key = "/".join(words[start:])
            if key in self.keys:
                slot, owner = words[start - 1], self.keys.index(key)
                name = f"{key.replace('/', '_')}_{_NAMES.get(slot, slot)}"
                return (2 + _GROUPS.get(slot, 2), owner, leaf), owner, name
        return (1 if words[-1] == "learning_rate" else 9, leaf), None, words[-1]

    # --- updates --------------------------------------------------------------------------------

    def apply(self, grads: Sequence[Any], parameters: Sequence[Variable]) -> None:
        """Updates parameters and state; a parameter whose gradient is None stays as it is."""
        if len(grads) != len(parameters):
            raise StateError(
                f"The optimizer {self.optimizer.name!r} needs a gradient for each variable",
                expected=len(parameters),
                received=len(grads),
            )
        given: dict[int, Array] = {}
        for gradient, variable in zip(grads, parameters):
            if gradient is not None and variable.overwrite_with_gradient:
                variable.assign(gradient)
            elif gradient is not None:
                given[self.index(variable)] = jnp.asarray(value_of(gradient))
        old = [variable.value for variable in self.parameters]
        filled = [given[i] if i in given else jnp.zeros_like(v) for i, v in enumerate(old)]
        updates, after = self.optimizer._kgraph_updated(
            self.tree(filled), self.slots.state(), self.tree(old)
        )
        for i, (variable, update) in enumerate(zip(self.parameters, self.values(updates))):
            if i in given:
                new = old[i] + update
                variable.assign(new if variable.constraint is None else variable.constraint(new))
        skipped = {i for i in range(len(old)) if i not in given}
        self.slots.assign(after, skipped)


class Slots(NamedTuple):
    """The variables of a state, which parameter each belongs to, and which stands for each leaf."""

    variables: list[Variable]
    owners: list[int | None]
    places: list[int]
    structure: Any

    def state(self) -> Any:
        """Returns the state as the variables have it now."""
        return self.filled([variable.value for variable in self.variables])

    def filled(self, values: Sequence[Any]) -> Any:
        """Returns a state with a value for each variable, in their order."""
        return self.structure.unflatten([values[place] for place in self.places])

    def assign(self, state: Tree, skipped: Container[int | None] = ()) -> None:
        """Gives the variables the values of a state, but for those of some parameters."""
        for variable, owner, value in zip(self.variables, self.owners, self.in_order(state)):
            if owner not in skipped:
                variable.assign(value)

    def in_order(self, state: Tree) -> list[Any]:
        """Returns the leaves of a state in the order of the variables."""
        found = dict(zip(reversed(self.places), reversed(self.structure.flatten_up_to(state))))
        return [found[number] for number in range(len(self.variables))]


def word_of(part: Any) -> str:
    """Returns a part of a leaf's path as text."""
    return str(next(getattr(part, n) for n in ("name", "key", "idx") if hasattr(part, n)))


def _unique(paths: Iterable[str]) -> list[str]:
    found: list[str] = []
    for path in paths:
        name, n = path, 0
        while name in found:
            n += 1
            name = f"{path}_{n}"
        found.append(name)
    return found
