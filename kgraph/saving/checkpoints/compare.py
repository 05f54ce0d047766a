"""What a step holds against what is asked of it: every difference at once, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kgraph.errors import ModelFileError
from kgraph.saving.checkpoints.places import Place
from kgraph.saving.checkpoints.spec import Spec
from kgraph.saving.files.file_error import shown

_ROWS = 8


def check_specs(folder: Place, step: int, stored: Iterable[Spec], asked: Iterable[Spec]) -> None:
    """Raises ModelFileError unless names, shapes and dtypes are the same; their order is free."""
    have = {spec.path: spec for spec in stored}
    want = {spec.path: spec for spec in asked}
    missing = [f"{s.name}  {s}" for path, s in want.items() if path not in have]
    unexpected = [f"{s.name}  {s}" for path, s in have.items() if path not in want]
    mismatched = [
        f"{s.name}  {s} wanted, {have[path]} in the checkpoint"
        for path, s in want.items()
        if path in have and have[path] != s
    ]
    if not (missing or unexpected or mismatched):
        return
    raise ModelFileError(
        f"Step {step} of the checkpoint {shown(str(folder)[-90:])!r} holds other arrays than asked",
        missing=_rows(missing),
        unexpected=_rows(unexpected),
        mismatched=_rows(mismatched),
        hint="is it of another model or optimizer? Checkpoint.read_meta(step) says what was saved",
    )


def _rows(found: Sequence[str]) -> list[str] | None:
    rows = [shown(row, 160) for row in found[:_ROWS]]
    if len(found) > _ROWS:
        rows.append(f"and {len(found) - _ROWS} more")
    return rows or None
