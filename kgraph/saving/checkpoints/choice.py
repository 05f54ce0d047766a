"""Reading one of several steps, and knowing which is good, and which is the best."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from kgraph.errors import ModelFileError
from kgraph.saving.checkpoints.places import Place, Steps
from kgraph.saving.checkpoints.retention import best_of
from kgraph.saving.checkpoints.step_error import DamagedStepError
from kgraph.saving.checkpoints.step_files import open_step, read_manifest, read_meta
from kgraph.saving.files.file_error import shown
from kgraph.source import warn

T = TypeVar("T")


def read_one(steps: Steps, step: int | None, read: Callable[[int, Place], T]) -> tuple[int, T]:
    """Returns a step's number and what `read` made of its number and place.

    Args:
        steps: those of the checkpoint.
        step: which; None for the newest.
        read: raises DamagedStepError for a damaged step.

    Raises:
        ModelFileError: there is no such step, or `read` raised it.
    """
    there = steps.steps()
    if not there or (step is not None and step not in there):
        raise ModelFileError(
            f"The checkpoint {shown(str(steps.path)[-90:])!r} has no such step",
            expected="a saved step" if step is None else f"step {step}",
            received=", ".join(map(str, there)) or "no step at all",
        )
    number = max(there) if step is None else step
    try:
        return number, read(number, there[number])
    except DamagedStepError:
        if steps.steps().get(number) == there[number]:
            raise
    return read_one(steps, step, read)  # a writer has removed it while we read


class GoodSteps:
    """Finds the newest step that is not damaged, verifying each step once."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self._known: dict[Place, DamagedStepError | None] = {}

    def newest(self) -> int | None:
        """Returns it; None if there is no step. Warns of each damaged one, once.

        Raises:
            DamagedStepError: all steps are damaged; the error of the newest.
        """
        first: DamagedStepError | None = None
        for step, path in reversed(self.steps.steps().items()):
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

    def _verify(self, step: int, path: Place) -> DamagedStepError | None:
        if path not in self._known:
            try:
                manifest = read_manifest(self.steps, step, path)
                open_step(self.steps, step, path, manifest).verify()
                read_meta(self.steps, step, path, manifest)
            except DamagedStepError as error:
                self._known[path] = error
            else:
                self._known[path] = None
        return self._known[path]


class BestSteps:
    """Finds the step whose metric is the best, reading each manifest once."""

    def __init__(self, steps: Steps, metric: str | None, higher: bool) -> None:
        self.steps, self.metric, self.higher = steps, metric, higher
        self._known: dict[Place, Mapping[str, float]] = {}

    def among(self, there: Mapping[int, Place]) -> int | None:
        """Returns the best of these steps; None if none of them has the metric."""
        if self.metric is None:
            return None
        return best_of({step: self._value(step, path) for step, path in there.items()}, self.higher)

    def _value(self, step: int, path: Place) -> float:
        if path not in self._known:
            try:
                self._known[path] = read_manifest(self.steps, step, path).metrics
            except DamagedStepError:
                self._known[path] = {}
        return self._known[path].get(str(self.metric), float("nan"))
