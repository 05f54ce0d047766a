"""Reading a folder of steps. It needs no lock: a step that is visible is complete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kgraph.saving.checkpoints import step_files
from kgraph.saving.checkpoints.choice import BestSteps, GoodSteps, read_one
from kgraph.saving.checkpoints.compare import check_specs
from kgraph.saving.checkpoints.spec import specs_of
from kgraph.types import Tree


class StepReader:
    """The part of a Checkpoint that reads.

    Args:
        directory: the folder; it need not be there.
        best: name of the metric that decides which step is the best.
        higher: whether its best value is the highest.
        fallback: whether damaged steps are passed over, with a warning, when no step is named.
    """

    def __init__(self, directory: Path, best: str | None, higher: bool, fallback: bool) -> None:
        self.directory, self.best, self.fallback = directory, best, fallback
        self._good = GoodSteps(directory)
        self._best = BestSteps(directory, best, higher)

    def steps(self) -> list[int]:
        """Returns the numbers of the steps on the disk, in rising order."""
        return list(step_files.step_folders(self.directory))

    def latest(self) -> int | None:
        """Returns the newest step on the disk, or None. Does not verify it."""
        return max(self.steps(), default=None)

    def best_step(self) -> int | None:
        """Returns the step with the best value of the metric `best`; None if no step has one."""
        return self._best.among(self.steps())

    def read_meta(self, step: int | None = None) -> Any:
        """Returns the `meta` of a step, the newest if None.

        Raises:
            ModelFileError: there is no such step, or it is damaged.
        """

        def read(step: int, path: Path) -> Any:
            manifest = step_files.read_manifest(self.directory, step, path)
            return step_files.read_meta(self.directory, step, path, manifest)

        return read_one(self.directory, self._which(step), read)[1]

    def read_step(self, step: int | None, template: Tree | None) -> tuple[int, Any, Any]:
        """Returns the number, the arrays and the `meta` of a step; see `Checkpoint.restore`."""
        asked = None if template is None else specs_of(template)

        def read(step: int, path: Path) -> tuple[Any, Any]:
            manifest = step_files.read_manifest(self.directory, step, path)
            if asked is not None:
                check_specs(self.directory, step, manifest.specs, asked)
            arrays = step_files.open_step(self.directory, step, path, manifest)
            meta = step_files.read_meta(self.directory, step, path, manifest)
            return (arrays.nested() if template is None else arrays.placed(template)), meta

        found, (values, meta) = read_one(self.directory, self._which(step), read)
        return found, values, meta

    def _which(self, step: int | None) -> int | None:
        return self._good.newest() if step is None and self.fallback else step
