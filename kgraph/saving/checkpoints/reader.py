"""Reading a folder of steps. It needs no lock: a step that is visible is complete."""

from __future__ import annotations

from typing import Any

from kgraph.saving.checkpoints import step_files
from kgraph.saving.checkpoints.choice import BestSteps, GoodSteps, read_one
from kgraph.saving.checkpoints.compare import check_specs
from kgraph.saving.checkpoints.places import Place, Steps
from kgraph.saving.checkpoints.spec import specs_of
from kgraph.types import Tree


class StepReader:
    """The part of a Checkpoint that reads.

    Args:
        steps: where they are; that need not be there.
        best: name of the metric that decides which step is the best.
        higher: whether its best value is the highest.
        fallback: whether damaged steps are passed over, with a warning, when no step is named.
    """

    def __init__(self, steps: Steps, best: str | None, higher: bool, fallback: bool) -> None:
        self._steps, self.best, self.fallback = steps, best, fallback
        self._good = GoodSteps(steps)
        self._best = BestSteps(steps, best, higher)

    def steps(self) -> list[int]:
        """Returns the numbers of the steps on the disk, in rising order."""
        return list(self._steps.steps())

    def latest(self) -> int | None:
        """Returns the newest step on the disk, or None. Does not verify it."""
        return max(self.steps(), default=None)

    def best_step(self) -> int | None:
        """Returns the step with the best value of the metric `best`; None if no step has one."""
        return self._best.among(self._steps.steps())

    def read_meta(self, step: int | None = None) -> Any:
        """Returns the `meta` of a step, the newest if None.

        Raises:
            ModelFileError: there is no such step, or it is damaged.
        """

        def read(step: int, path: Place) -> Any:
            manifest = step_files.read_manifest(self._steps, step, path)
            return step_files.read_meta(self._steps, step, path, manifest)

        return read_one(self._steps, self._which(step), read)[1]

    def read_step(self, step: int | None, template: Tree | None) -> tuple[int, Any, Any]:
        """Returns the number, the arrays and the `meta` of a step; see `Checkpoint.restore`."""
        asked = None if template is None else specs_of(template)

        def read(step: int, path: Place) -> tuple[Any, Any]:
            manifest = step_files.read_manifest(self._steps, step, path)
            if asked is not None:
                check_specs(self._steps.path, step, manifest.specs, asked)
            arrays = step_files.open_step(self._steps, step, path, manifest)
            meta = step_files.read_meta(self._steps, step, path, manifest)
            return (arrays.nested() if template is None else arrays.placed(template)), meta

        found, (values, meta) = read_one(self._steps, self._which(step), read)
        return found, values, meta

    def _which(self, step: int | None) -> int | None:
        return self._good.newest() if step is None and self.fallback else step
