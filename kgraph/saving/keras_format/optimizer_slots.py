"""What an optimizer remembers, as Keras' numbered list of arrays, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from kgraph.declared import is_own
from kgraph.layers.base.variable import Variable
from kgraph.optimizers import LossScaleOptimizer
from kgraph.saving.files.host_memory import spread
from kgraph.saving.kgraph_format.array_reader import ShardingOf
from kgraph.types import Tree

_LEAST, _MOST = np.float32(2.0**-126), np.float32(2.0**126)
"""Between which loss scales stay in kgraph; in Keras they can get to 0 and infinity."""


@dataclass(frozen=True)
class Slot:
    """One array that is kept for each parameter.

    Fields:
        name: what the leaf is called in kgraph's state; those of optax have optax' names.
        sign: -1 where Keras keeps the negative.
        keras_shape: the shape that Keras gives it for a parameter's shape.
        kept: whether it means something; what Keras stores and never reads is written as zeros.
    """

    name: str
    sign: int = 1
    keras_shape: Callable[[tuple[int, ...]], tuple[int, ...]] = lambda shape: shape
    kept: Callable[[tuple[int, ...]], bool] = lambda shape: True


def _slots(text: str) -> tuple[tuple[Slot, ...], ...]:
    """Returns the groups of a text. Within a group, all slots of a parameter come together."""
    return tuple(tuple(Slot(name) for name in group.split("+")) for group in text.split())


def _is_matrix(shape: tuple[int, ...]) -> bool:
    return len(shape) >= 2


_ADAM = _slots("momentum+velocity")
_SLOTS: Mapping[str, tuple[tuple[Slot, ...], ...]] = {
    "SGD": _slots("trace"),
    "RMSprop": (
        (Slot("nu"),),
        (Slot("trace", sign=-1),),
        (Slot("mu"),),
    ),
    "Adam": _slots("momentum+velocity velocity_hat"),
    "AdamW": _slots("momentum+velocity velocity_hat"),
    "Adamax": _slots("momentum+norm"),
    "Nadam": _ADAM,
    "Lamb": _ADAM,
    "ScheduleFreeAdamW": _ADAM,
    "Adagrad": _slots("sum_of_squares"),
    "Adadelta": _slots("e_g+e_x"),
    "Ftrl": _slots("accumulator+linear"),
    "Lion": _slots("mu"),
    "Muon": _ADAM,
    "Adafactor": (
        (
            Slot("row", 1, lambda s: s[:-1], _is_matrix),
            Slot("column", 1, lambda s: (*s[:-2], *s[-1:]) if _is_matrix(s) else (), _is_matrix),
            Slot("velocity", kept=lambda s: not _is_matrix(s)),
        ),
    ),
}
_AVERAGE, _ACCUMULATED = "average", "accumulated"
_SCALARS_AFTER = {"Nadam": ("u_product",)}


@dataclass(frozen=True)
class Entry:
    """One array of Keras' list.

    Fields:
        shape: as Keras keeps it.
        leaf: index among the leaves of kgraph's state; None for what only Keras has.
        sign: see `Slot`.
        role: "slot", "iteration", "learning_rate", "scale", or "unused".
    """

    shape: tuple[int, ...]
    leaf: int | None
    sign: int = 1
    role: str = "slot"


class SlotError(ValueError):
    """The optimizer has no counterpart in Keras with the same arrays."""


class OptimizerSlots:
    """The correspondence between kgraph's state of an optimizer and Keras' list of arrays.

    A LossScaleOptimizer has four arrays of its own, two of which mean nothing, before those of its
    inner optimizer; Keras writes the latter a second time, by themselves.

    Args:
        optimizer: which one.
        state: its state, or a tree of shapes like it.
        weights: the trained weights in Keras' order, with their paths in the parameters.
        place: where a file has it.

    Fields:
        groups: where arrays are, with the name of the optimizer and the number of its first array.
        count_at: number of the array that counts the gradients seen.
    """

    def __init__(
        self,
        optimizer: Any,
        state: Tree,
        weights: Sequence[tuple[tuple[str, ...], Variable]],
        place: str = "optimizer",
    ) -> None:
        self.groups = [(f"{place}/vars", str(optimizer.name), 0)]
        self.count_at = 0
        if isinstance(optimizer, LossScaleOptimizer):
            optimizer, self.count_at = optimizer.inner_optimizer, 4
            inner = f"{place}/inner_optimizer/vars"
            self.groups.append((inner, str(optimizer.name), self.count_at))
        name = type(optimizer).__name__
        if name not in _SLOTS or not is_own(type(optimizer)):
            raise SlotError(f"{name} keeps a state that Keras has not")
        self.every = optimizer.gradient_accumulation_steps or 1
        flat, self._structure = jax.tree_util.tree_flatten_with_path(state)
        self._paths = [_words(path) for path, _ in flat]
        self._places = [f"training/{jax.tree_util.keystr(path)}" for path, _ in flat]
        self._leaves = [leaf for _, leaf in flat]
        self._by_slot = self._find_slots([path for path, _ in weights])
        self.entries = list(self._entries(name, weights))

    def _find_slots(self, parameters: Sequence[tuple[str, ...]]) -> dict[tuple[str, Any], int]:
        """Returns the leaf for each slot's name and parameter's path."""
        known = set(parameters)
        lengths = sorted({len(path) for path in known}, reverse=True)
        found: dict[tuple[str, Any], int] = {}
        for i, path in enumerate(self._paths):
            for length in lengths:
                if len(path) > length and path[-length:] in known:
                    found[path[-length - 1], path[-length:]] = i
                    break
        return found

    def _entries(
        self, name: str, weights: Sequence[tuple[tuple[str, ...], Variable]]
    ) -> Iterator[Entry]:
        if self.count_at:
            yield Entry((), None, role="unused")  # a count and a rate, always 0
            yield Entry((), None, role="unused")
            yield Entry((), self._scalar("finite_steps"))
            yield Entry((), self._scalar("scale"), role="scale")
        yield Entry((), self._scalar("step"), role="iteration")
        if (rate := self._scalar("learning_rate")) is not None:
            yield Entry((), rate, role="learning_rate")
        for slot in (_AVERAGE, _ACCUMULATED):
            for path, weight in weights:
                if (leaf := self._by_slot.get((slot, path))) is not None:
                    yield Entry(weight.shape, leaf)
        for group in _SLOTS[name]:
            for path, weight in weights:
                for slot in group:
                    leaf = self._by_slot.get((slot.name, path))
                    shape = slot.keras_shape(weight.shape)
                    if not slot.kept(weight.shape):
                        yield Entry(shape, None, role="unused")
                    elif leaf is not None:
                        yield Entry(shape, leaf, slot.sign)
        for word in _SCALARS_AFTER.get(name, ()):
            yield Entry((), self._scalar(word))

    def _scalar(self, word: str) -> int | None:
        return next((i for i, path in enumerate(self._paths) if path[-1:] == (word,)), None)

    def places(self) -> Iterator[tuple[str, int]]:
        """Yields the path of each array in the file, and the number of its entry."""
        for group, _, first in self.groups:
            for number in range(first, len(self.entries)):
                yield f"{group}/{number - first}", number

    # --- both directions -------------------------------------------------------------------------

    def to_keras(self) -> list[np.ndarray]:
        """Returns Keras' arrays for the state that this was made of."""
        found = []
        for entry in self.entries:
            if entry.role == "iteration":
                found.append(np.asarray(self._count(), np.int32))
            elif entry.leaf is None:
                found.append(np.zeros(entry.shape, np.float32))
            else:
                found.append(np.asarray(self._leaves[entry.leaf]) * _unit(entry))
        return found

    def from_keras(
        self, read: Callable[[int], np.ndarray], shardings: ShardingOf | None = None
    ) -> Any:
        """Returns a state that holds Keras' arrays.

        Args:
            read: returns one of them, by its number in `entries`, in the shape that it has there.
            shardings: see `load_model`; what has a sharding in this state keeps it.
        """
        iterations = int(read(self.count_at))
        leaves: list[Any] = [None] * len(self._leaves)
        for number, entry in enumerate(self.entries):
            if entry.leaf is None:
                continue
            array = read(number)
            if entry.role == "scale":
                array = np.fmin(np.fmax(array, _LEAST), _MOST)
            unit = _unit(entry)
            leaves[entry.leaf] = self._placed(
                entry.leaf, array if unit == 1 else array * unit, shardings
            )
            del array  # what it became is all that stays
        updates, waiting = divmod(iterations, self.every)
        for i, path in enumerate(self._paths):
            if path[-1] in ("step", "count"):
                leaves[i] = updates
            elif path[-1] == "micro_step":
                leaves[i] = waiting
        missing = [".".join(self._paths[i]) for i, leaf in enumerate(leaves) if leaf is None]
        if missing:
            raise SlotError(f"Keras keeps nothing for {missing[0]}")
        filled = [
            value if isinstance(value, jax.Array) else self._placed(i, value, shardings)
            for i, value in enumerate(leaves)
        ]
        return jax.tree.unflatten(self._structure, filled)

    def _placed(self, number: int, value: object, shardings: ShardingOf | None) -> jax.Array:
        leaf = self._leaves[number]
        sharding = getattr(leaf, "sharding", None)
        if sharding is None and shardings is not None:
            sharding = shardings(self._places[number], leaf.shape)
        return spread(np.asarray(value, leaf.dtype).reshape(leaf.shape), sharding)

    def _count(self) -> int:
        """Returns the number of gradients seen, which is what Keras counts."""
        micro = self._scalar("micro_step")
        waiting = 0 if micro is None else int(self._leaves[micro])
        step = self._scalar("step")
        return (0 if step is None else int(self._leaves[step])) * self.every + waiting


def _unit(entry: Entry) -> Any:
    return np.float32(-1) if entry.sign < 0 else 1


def _words(path: tuple[Any, ...]) -> tuple[str, ...]:
    """Returns the parts of a leaf's path as plain text."""
    words = []
    for part in path:
        for name in ("name", "key", "idx"):
            if hasattr(part, name):
                words.append(str(getattr(part, name)))
                break
    return tuple(words)
