"""What a file of weights and a model have in common, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import jax.numpy as jnp

from kgraph.errors import ModelFileError
from kgraph.saving.files.file_error import MAX_TEXT, shown

_NONE = "-"


@dataclass(frozen=True)
class WeightReport:
    """Which weights of a file went into a model, and which did not. Printed, it is a table.

    Fields:
        loaded: paths of the weights that were set.
        missing: weights of the model that the file lacks: shape and dtype by path.
        unexpected: weights of the file that the model lacks, likewise.
        mismatched: what the model has and what the file has, by path, where both have another
            shape or kind of dtype.
    """

    loaded: tuple[str, ...]
    missing: Mapping[str, str]
    unexpected: Mapping[str, str]
    mismatched: Mapping[str, tuple[str, str]]

    @property
    def complete(self) -> bool:
        """Whether model and file have the same weights."""
        return not (self.missing or self.unexpected or self.mismatched)

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Yields path, what the model has and what the file has, of each weight not set."""
        kinds = (
            [(path, ours, theirs) for path, (ours, theirs) in self.mismatched.items()],
            [(path, ours, _NONE) for path, ours in self.missing.items()],
            [(path, _NONE, theirs) for path, theirs in self.unexpected.items()],
        )
        for rows in zip_longest(*kinds):  # in turn, so that a cut list has some of each kind
            yield from filter(None, rows)

    def __str__(self) -> str:
        lines = [f"{len(self.loaded)} weights loaded", *_table(list(self.rows()))]
        return "\n".join(lines)

    def error(self, path: Path, hint: str) -> ModelFileError:
        """Returns the error that shows both sides of what does not fit, as much as has room."""
        rows = list(self.rows())
        what = f"The file {shown(str(path)[-50:])!r} has other weights than the model"
        count = min(len(rows), 8)
        while True:
            more = [f"and {len(rows) - count} more"] if len(rows) > count else []
            error = ModelFileError(what, weights=[*_table(rows[:count]), *more], hint=hint)
            if len(str(error)) <= MAX_TEXT or count == 0:
                break
            count -= 1
        error.path = str(path)
        return error


def compare_weights(ours: Mapping[str, str], theirs: Mapping[str, str]) -> WeightReport:
    """Returns what can be loaded, given shape and dtype by path of a model and of a file."""
    both = [path for path in ours if path in theirs]
    fitting = tuple(path for path in both if _fits(ours[path], theirs[path]))
    return WeightReport(
        fitting,
        {path: spec for path, spec in ours.items() if path not in theirs},
        {path: spec for path, spec in theirs.items() if path not in ours},
        {path: (ours[path], theirs[path]) for path in both if path not in set(fitting)},
    )


def _fits(ours: str, theirs: str) -> bool:
    """Tells whether an array can be a weight: its shape, and its dtype without loss of kind."""
    if ours == theirs:
        return True
    (shape, _, dtype), (other, _, stored) = ours.rpartition(" "), theirs.rpartition(" ")
    floating = all(jnp.issubdtype(jnp.dtype(name), jnp.floating) for name in (dtype, stored))
    return shape == other and floating


def _table(rows: list[tuple[str, str, str]]) -> list[str]:
    if not rows:
        return []
    shortened = [(shown(path, 40), ours, theirs) for path, ours, theirs in rows]
    wide = max(len(path) for path, _, _ in shortened)
    middle = max(len("model"), *(len(ours) for _, ours, _ in shortened))
    head = ("name", "model", "file")
    return [f"{a:<{wide}}  {b:<{middle}}  {c}" for a, b, c in [head, *shortened]]
