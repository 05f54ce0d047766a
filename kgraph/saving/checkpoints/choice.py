"""Reading one of several steps, and knowing which is good, and which is the best."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from kgraph.errors import ModelFileError
from kgraph.saving.checkpoints.retention import best_of
from kgraph.saving.checkpoints.step_error import DamagedStepError
from kgraph.saving.checkpoints.step_files import open_step, read_manifest, read_meta, step_folders
from kgraph.saving.files.file_error import shown
from kgraph.source import warn

T = TypeVar("T")


def read_one(folder: Path, step: int | None, read: Callable[[int, Path], T]) -> tuple[int, T]:
    """Returns a step's number and what `read` made of its number and folder.

    Args:
        folder: the checkpoint.
        step: which; None for the newest.
        read: raises DamagedStepError for a damaged step.

    Raises:
        ModelFileError: there is no such step, or `read` raised it.
    """
    folders = step_folders(folder)
    if not folders or (step is not None and step not in folders):
        raise ModelFileError(
            f"The checkpoint {shown(str(folder)[-90:])!r} has no such step",
            expected="a saved step" if step is None else f"step {step}",
            received=", ".join(map(str, folders)) or "no step at all",
        )
    number = max(folders) if step is None else step
    try:
        return number, read(number, folders[number])
    except DamagedStepError:
        if folders[number].exists():
            raise
    return read_one(folder, step, read)  # a writer has removed it while we read


class GoodSteps:
    """Finds the newest step that is not damaged, verifying each step once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[Path, DamagedStepError | None] = {}

    def newest(self) -> int | None:
        """Returns it; None if there is no step. Warns of each damaged one, once.

        Raises:
            DamagedStepError: all steps are damaged; the error of the newest.
        """
        folders = step_folders(self.folder)
        first: DamagedStepError | None = None
        for step, path in reversed(folders.items()):
            is_new = path not in self._known
            error = self._verify(step, path)
            if error is None:
                return step
            if is_new:
                text = f"{error.what}; a step before it is used ({error.facts['member']})"
                warn(text)
            first = first or error
        if first is not None:
            raise first
        return None

    def _verify(self, step: int, path: Path) -> DamagedStepError | None:
        if path not in self._known:
            try:
                manifest = read_manifest(self.folder, step, path)
                open_step(self.folder, step, path, manifest).verify()
                read_meta(self.folder, step, path, manifest)
            except DamagedStepError as error:
                self._known[path] = error
            else:
                self._known[path] = None
        return self._known[path]


class BestSteps:
    """Finds the step whose metric is the best, reading each manifest once."""

    def __init__(self, folder: Path, metric: str | None, higher: bool) -> None:
        self.folder, self.metric, self.higher = folder, metric, higher
        self._known: dict[Path, Mapping[str, float]] = {}

    def among(self, steps: Iterable[int]) -> int | None:
        """Returns the best of these steps; None if none of them has the metric."""
        if self.metric is None:
            return None
        folders = step_folders(self.folder)
        values = {step: self._value(step, folders[step]) for step in steps if step in folders}
        return best_of(values, self.higher)

    def _value(self, step: int, path: Path) -> float:
        if path not in self._known:
            try:
                self._known[path] = read_manifest(self.folder, step, path).metrics
            except DamagedStepError:
                self._known[path] = {}
        return self._known[path].get(str(self.metric), float("nan"))
