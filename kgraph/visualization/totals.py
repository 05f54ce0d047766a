"""How many parameters a model has, and how much memory they take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax

from kgraph.compiler.lower import is_model

if TYPE_CHECKING:
    from kgraph.models.model import Model


_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")


@dataclass(frozen=True, slots=True)
class Amount:
    """A number of scalars and the bytes they take."""

    params: int = 0
    nbytes: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.params + other.params, self.nbytes + other.nbytes)

    def __str__(self) -> str:
        return f"{self.params:,} ({readable_size(self.nbytes)})"


@dataclass(frozen=True, slots=True)
class Totals:
    """The amounts below a summary. `optimizer` is None while the optimizer has no state."""

    trainable: Amount
    non_trainable: Amount
    optimizer: Amount | None

    @property
    def all(self) -> Amount:
        """Everything, the optimizer's state included, as in Keras."""
        return self.trainable + self.non_trainable + (self.optimizer or Amount())


def totals(model: Model) -> Totals:
    """Returns the amounts of a model; a weight that is reached by several ways counts once."""
    training = model._kgraph.trainer.state() if is_model(model) else None
    state = jax.tree.leaves((training or {}).get("optimizer"))
    return Totals(
        _amount(model.trainable_weights),
        _amount(model.non_trainable_weights),
        _amount(state) if state else None,
    )


def _amount(arrays: Iterable[Any]) -> Amount:
    return sum((Amount(int(a.size), int(a.nbytes)) for a in arrays), Amount())


def readable_size(nbytes: int) -> str:
    """Returns a number of bytes for people.

    >>> readable_size(220_200)
    '215.04 KB'
    """
    size, unit = float(nbytes), 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.2f} {_UNITS[unit]}"


def total_lines(found: Totals) -> list[tuple[str, str]]:
    """Returns the lines below a summary as pairs of label and amount."""
    lines = [
        ("Total params", found.all),
        ("Trainable params", found.trainable),
        ("Non-trainable params", found.non_trainable),
    ]
    if found.optimizer is not None:
        lines.append(("Optimizer params", found.optimizer))
    return [(label, str(amount)) for label, amount in lines]
