"""The state of optimizers in files of weights: a model's own, and a second one that it holds.

Keras looks for optimizers where it looks for layers, in attributes. It sets the variables of one
that has all of them already, and passes others by.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np

from kgraph.compiler.lower import is_model
from kgraph.layers.base import Layer
from kgraph.layers.base.variable import Variable
from kgraph.optimizers import Optimizer
from kgraph.saving.files.file_error import file_error
from kgraph.saving.keras_format.hdf5 import ArrayFile
from kgraph.saving.keras_format.optimizer_slots import OptimizerSlots, SlotError
from kgraph.saving.keras_format.weight_paths import (
    LayerOrder,
    held_optimizers,
    layer_places,
    trained_in_order,
)
from kgraph.saving.kgraph_format.array_reader import ShardingOf
from kgraph.saving.kgraph_format.stored_arrays import tree_specs
from kgraph.source import warn
from kgraph.types import Tree

Weights: TypeAlias = Sequence[tuple[tuple[str, ...], Variable]]


class KeptState:
    """The state of one optimizer, and the arrays that a file has of it.

    Args:
        place: `"optimizer"`, `"g_optimizer"`.
        optimizer, state, weights: see `OptimizerSlots`, which speaks for all but rules of users.
        put: replaces the state.

    Fields:
        place: as given.
        names: the name of the optimizer in each of its groups.
    """

    def __init__(
        self, place: str, optimizer: Optimizer, state: Tree, weights: Weights,
        put: Callable[[Any], None],
    ) -> None:  # fmt: skip
        self.place, self._put = place, put
        self._slots = OptimizerSlots(optimizer, state, weights, place)
        self.names = {group: name for group, name, _ in self._slots.groups}

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the arrays by path."""
        made = self._slots.to_keras()
        return {at: made[number] for at, number in self._slots.places()}

    def taken(self, file: ArrayFile) -> Callable[[], None] | None:
        """Returns what sets the state to that of a file; None if the file has another one."""
        shapes = {at: self._slots.entries[number].shape for at, number in self._slots.places()}
        if shapes != _shapes(file, self.names):
            return None
        state = read_state(file, self._slots)
        return lambda: self._put(state)


class OwnState:
    """The same of an optimizer whose rule is the user's: its variables, in their order."""

    def __init__(self, place: str, optimizer: Optimizer) -> None:
        group = f"{place}/vars"
        self.place, self.names = place, {group: str(optimizer.name)}
        self._variables = {f"{group}/{i}": v for i, v in enumerate(optimizer.variables)}

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the arrays by path."""
        return {at: np.asarray(variable.value) for at, variable in self._variables.items()}

    def taken(self, file: ArrayFile) -> Callable[[], None] | None:
        """Returns what sets the state to that of a file; None if the file has another one."""
        if {at: v.shape for at, v in self._variables.items()} != _shapes(file, self.names):
            return None
        read = {at: file.read(at) for at in self._variables}

        def put() -> None:
            for at, variable in self._variables.items():
                variable.assign(read[at])

        return put


def kept_states(model: Layer, order: LayerOrder) -> Iterator[KeptState | OwnState]:
    """Yields the states of the optimizers in a model that have one."""
    owners = {f"{at}/optimizer".lstrip("/"): layer for at, layer in layer_places(model, order)}
    for place, optimizer in held_optimizers(model, order).items():
        try:
            if optimizer.built:
                hand = optimizer._kgraph_hand()
                slots = hand.slots
                yield KeptState(place, optimizer, slots.state(), hand.placed, slots.assign)
            elif (owner := owners.get(place)) is not None and is_model(owner):
                yield from _of_training(place, owner, order)
        except SlotError:
            if optimizer.built:
                yield OwnState(place, optimizer)


def _of_training(place: str, model: Any, order: LayerOrder) -> Iterator[KeptState]:
    """Yields the state that a model's `fit` has; one that runs goes on with its own."""
    trainer = model._kgraph.trainer
    state = trainer.state()
    if state is None or tree_specs(state) != tree_specs(trainer.abstract_state()):
        return  # not trained, or other weights are trained now

    def put(optimizer_state: Any) -> None:
        if trainer.running is None:
            step = jnp.asarray(int(optimizer_state.step), jnp.int32)  # both are donated
            trainer.restore_state({**state, "optimizer": optimizer_state, "step": step})

    weights = trained_places(model, order)
    yield KeptState(place, model.optimizer, state["optimizer"], weights, put)


def trained_places(model: Any, order: LayerOrder) -> Weights:
    """Returns path in the parameters and weight, for all that is trained, in Keras' order."""
    places = model._kgraph.programs.plain().weights.places
    paths = {id(place.weight): place.path for place in places}
    return [(paths[id(weight)], weight) for weight in trained_in_order(model, order)]


def taken_states(model: Layer, order: LayerOrder, file: ArrayFile) -> list[Callable[[], None]]:
    """Returns what sets the optimizers of a model to what a file has of them."""
    found = []
    for state in kept_states(model, order):
        put = state.taken(file)
        if put is not None:
            found.append(put)
        elif any(_shapes(file, state.names).values()):  # else it has seen no gradient
            warn(
                f"The file {file.path.name!r} has another state at {state.place!r} than the "
                "optimizer there: it stays as it is"
            )
    return found


def read_state(file: ArrayFile, slots: OptimizerSlots, shardings: ShardingOf | None = None) -> Any:
    """Returns an optimizer's state from a file that has all of its arrays, each where it lies."""
    places = {number: at for at, number in slots.places()}
    count = file.read(places[slots.count_at])
    if count.dtype.kind not in "iu" or not 0 <= int(count) < 2**31:
        raise file_error(
            file.path, "has another optimizer state than its optimizer", member=file.member,
            at=f"{slots.groups[-1][0]}/0", expected="a count of updates", received=str(count),
        )  # fmt: skip
    return slots.from_keras(lambda number: file.read(places[number]), shardings)


def optimizer_arrays(file: ArrayFile, own: Collection[str]) -> set[str]:
    """Returns the arrays that a file has of optimizers: the first of a group counts updates.

    Args:
        own: groups that are a layer's.
    """
    groups = {
        at.removesuffix("/0")
        for at, array in file.arrays.items()
        if at.endswith("/vars/0") and array.shape == () and array.dtype.startswith("int")
    }
    return {at for at in file.arrays if at.rpartition("/")[0] in groups.difference(own)}


def _shapes(file: ArrayFile, groups: Mapping[str, str]) -> dict[str, tuple[int, ...]]:
    arrays = file.arrays.items()
    return {at: array.shape for at, array in arrays if at.rpartition("/")[0] in groups}
