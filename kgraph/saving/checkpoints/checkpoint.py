"""Checkpoint: a folder with the latest steps of a training, and the best one."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from kgraph.checks import is_whole
from kgraph.distribution.notices import Notices
from kgraph.errors import ConfigError, ProcessError, StateError
from kgraph.interrupts import heard
from kgraph.saving.checkpoints import step_files
from kgraph.saving.checkpoints.frequency import parse_every
from kgraph.saving.checkpoints.host_arrays import Spare, take
from kgraph.saving.checkpoints.plain_meta import encode_meta
from kgraph.saving.checkpoints.reader import StepReader
from kgraph.saving.checkpoints.retention import rises, superfluous
from kgraph.saving.checkpoints.step_bucket import StepBucket
from kgraph.saving.checkpoints.step_folder import StepFolder
from kgraph.saving.files.background import Background, raise_abandoned
from kgraph.saving.files.bucket import BucketPath
from kgraph.saving.files.file_error import shown
from kgraph.types import Tree
from kgraph.writing import local_path

_BUCKET = re.compile(r"gs://[a-z0-9][a-z0-9._-]+[a-z0-9](/[^/\0\r\n]+)*/?")
_opened = itertools.count()
"""Numbers what is opened; processes that work together open the same things in the same order."""


class Checkpoint(StepReader):
    """A folder of training checkpoints that a kill at any moment leaves whole.

    Each step is a folder of its own: arrays by Orbax, `meta.json`, and a manifest with the SHA-256
    of every array. It is written under another name, synced, and renamed; only then do older steps
    go. What is restored has been compared with its digests. One writer at a time: the lock is taken
    by `open` (or the first `save`) and given back by `close`, or by the system when the process
    dies. Reading needs no lock.

    Steps go forward. After `restore(step)` the steps behind it are given up: they go when the next
    save has been written, before it gets its name. To save a step at or before the latest one,
    without having restored any, is refused: a new training does not mix with an old one.

    Of several processes (`jax.distributed`) each writes the shards that its devices hold, and a
    step has its name when all have written. All of them call `open`, `save`, `clear` and `close` in
    the same order, with a folder that all of them see; they meet through JAX' coordination service
    and never on the devices. Where one fails, the others fail as well, at once. A step can be
    restored on any number of processes and devices: each reads the shards that it needs.

    In a bucket of Google's (`gs://bucket/run`; `pip install "kgraph-jax[gcs]"`) there is no rename:
    a step is one when its last object says that it is whole. The lock is an object that its holder
    writes anew every 10 seconds; after a kill the next job takes it when it has watched it for a
    minute, or at once on the same machine. A holder that could not renew it, and lost it, saves
    nothing more: that is an error. Credentials are those of the machine (`gcloud auth
    application-default login`, or a service account).

    Plain Orbax reads the arrays of a step under their own names (without those of size zero):
    `orbax.checkpoint.StandardCheckpointer().restore(folder / "step_000000030" / "arrays")`.

    Args:
        directory: the folder, made when first needed; or `gs://bucket/name`.
        every: when a save is `due`: at the end of each epoch (None), every so many steps (an int),
            or at most once in so much time: `"10min"` (units s, min, h, d), a `timedelta`, or
            seconds as a float (`600.0`; mind that `600` is 600 steps). Time counts from the last
            save, or from when this object was made.
        keep: how many of the latest steps stay; None for all.
        best: name of a metric; the step with its best value stays as well.
        mode: whether the best value is the lowest ("min") or highest ("max"); "auto" knows it from
            names such as "val_loss" and "accuracy".
        asynchronous: whether `save` returns once the arrays are in host memory, and a thread does
            the rest. On a CPU, that memory is kept for the next save until `close`.
        fallback: whether `restore()` and `read_meta()` go back to the newest good step, with a
            warning, if later ones are damaged. For that, steps are verified once more.
        strict: whether `fit` refuses to go on with what another training saved (with another loss,
            say, or other data); False warns and goes on where the arrays fit.

    Attributes:
        step: the step that this object saved or restored last, or None.

    Raises:
        ConfigError: an option has a value that it cannot have.

    >>> import tempfile, numpy as np
    >>> folder = tempfile.TemporaryDirectory()
    >>> with Checkpoint(folder.name, keep=2) as checkpoint:
    ...     for step in (10, 20, 30):
    ...         checkpoint.save(step, {"w": np.ones(3) * step}, {"epoch": step // 10})
    >>> checkpoint.steps()
    [20, 30]
    >>> checkpoint.restore()
    ({'w': array([30., 30., 30.])}, {'epoch': 3})
    >>> folder.cleanup()
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        every: int | float | str | timedelta | None = None,
        keep: int | None = 3,
        best: str | None = None,
        mode: str = "auto",
        asynchronous: bool = True,
        fallback: bool = False,
        strict: bool = True,
    ) -> None:
        if keep is not None and (type(keep) is not int or keep < 1):
            expected = "a positive whole number, or None to keep all"
            raise ConfigError(
                "Checkpoint does not know this value of `keep`", expected=expected,
                received=repr(keep),
            )  # fmt: skip
        steps = _steps_at(os.fspath(directory))
        super().__init__(steps, best, rises(best, mode), fallback)
        self.directory = steps.path
        self.every, self.keep, self.mode, self.asynchronous = every, keep, mode, asynchronous
        self.strict = strict
        self.step: int | None = None
        self._frequency = parse_every(every)
        self._saved_at = time.monotonic()
        self._lock = self._steps.lock
        self._background = Background(self, self.directory)
        self._spare: Spare = {}
        self._notices: Notices | None = None
        self._saves = 0

    def __repr__(self) -> str:
        return f"Checkpoint({str(self.directory)!r}, every={self.every!r}, keep={self.keep!r})"

    def open(self) -> Checkpoint:
        """Makes the folder, takes the lock and removes what a killed writer left. May be repeated.

        Raises:
            StateError: another writer has the lock; says which.
            ProcessError: another process cannot open it.
            OSError: the folder cannot be written to; or a step could not be saved by a Checkpoint
                that was dropped without `close`.
        """
        if self._notices is not None:
            return self
        self.wait()
        raise_abandoned(self.directory)
        notices = Notices(f"checkpoint {next(_opened)}")
        with self._together(notices):
            if notices.leads:
                self._take_folder()
                notices.tell("lock", self._lock.text)
            elif not self._lock.is_seen(notices.ask("lock")):
                raise StateError(
                    f"Process {notices.index} does not see the folder of the checkpoint that "
                    "process 0 writes to",
                    received=str(self.directory), hint="give them a folder that they share",
                )  # fmt: skip
            notices.meet("opened")
        self._notices, self._saves = notices, 0
        return self

    def _take_folder(self) -> None:
        try:
            self._steps.take()
        except OSError as error:
            self._lock.release()
            text = f"The checkpoint cannot be written to: {error.strerror or error}"
            raise OSError(error.errno, text, str(error.filename or self.directory)) from error

    @contextlib.contextmanager
    def _together(self, notices: Notices) -> Iterator[None]:
        """Has the other processes fail if this one fails."""
        try:
            yield
        except BaseException as error:
            self._lock.release()
            if not isinstance(error, ProcessError):
                notices.fail(f"{type(error).__name__}: {error}".partition("\n")[0])
            raise

    def close(self) -> None:
        """Waits for the write in flight and gives the lock back; `open` and `save` take it again.

        If Ctrl-C ends the wait, the write goes on, and the lock is given back at its end.

        Raises:
            OSError: the write in flight failed.
        """
        try:
            self.wait()
        finally:
            self._spare, self._notices = {}, None
            self._background.when_done(self._lock.release)

    @property
    def is_open(self) -> bool:
        """Whether this object may save: it has the lock, or the first process has it."""
        return self._notices is not None

    def clear(self) -> None:
        """Removes all steps and closes; the folder goes as well, unless there is more in it.

        Raises:
            StateError: another writer has the lock.
            OSError: something cannot be removed, or the write in flight failed.
        """
        self.open()
        self.wait()
        notices = self._notices
        assert notices is not None
        with self._together(notices):
            if notices.leads:
                self._steps.dissolve()
            notices.meet("cleared")
        self.step = None
        self.close()

    def __enter__(self) -> Checkpoint:
        return self.open()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            self.close()
        except OSError as failure:
            if error is None:
                raise
            error.add_note(str(failure))  # what ended the block matters more

    def due(self, step: int, epoch_end: bool, now: float) -> bool:
        """Tells whether a save is due, which changes nothing.

        Args:
            step: steps done so far. Several may have passed since the last question.
            epoch_end: whether an epoch has just ended.
            now: `time.monotonic()`.
        """
        return self._frequency.due(step, epoch_end, self.step or 0, now - self._saved_at)

    def save(
        self,
        step: int,
        arrays: Tree,
        meta: Mapping[str, object],
        metrics: Mapping[str, float] | None = None,
        wait: bool = False,
    ) -> None:
        """Saves a step. First waits for the save before it, whose failure is raised here.

        When it returns, the caller may change or donate the arrays.

        Args:
            step: its number.
            arrays: nested dicts (also lists, tuples, dataclasses) of JAX and NumPy arrays of any
                dtype, random keys included.
            meta: JSON types; NaN and infinities are fine.
            metrics: numbers by name, for `best`; arrays among them are left out.
            wait: whether to return only when the step is on the disk. Ctrl-C ends the wait; unless
                this Checkpoint is not asynchronous, the write goes on.

        Raises:
            ConfigError: an array or a value cannot be saved; says which. Nothing is written.
            StateError: another writer has the lock, or the step lies at or before a saved one
                without `restore`.
            OSError: this save (if it waits) or the one before it failed. What was saved before is
                as it was, and saving may go on.
        """
        step = _whole(step)
        self.open()
        self.wait()
        self._check_order(step)
        data = encode_meta(dict(meta))
        numbers = {name: float(v) for name, v in (metrics or {}).items() if _is_number(v)}
        assert self._notices is not None
        notices = Notices(f"{self._notices.name} {self._saves}")
        self._saves += 1
        tree = take(arrays, self.asynchronous, self._spare, notices.count > 1)
        abandoned = [s for s in self.steps() if self.step is not None and s > self.step]
        writer = step_files.StepWriter(self._steps, step, tree, data, numbers, notices)
        write = partial(writer.finish, abandoned, partial(self._remove_old, step))
        self.step, self._spare = step, tree.copies
        if self.asynchronous:
            self._background.start(write, f"checkpoint step {step}")
            if wait:
                self.wait()
        else:
            with heard():
                write()
        self._saved_at = time.monotonic()

    def wait(self) -> None:
        """Returns when the last save is on the disk.

        Raises:
            OSError: it failed. Raised once; then saving may go on.
        """
        try:
            self._background.wait()
        except BaseException:
            self._spare = {}  # after a failure Orbax' threads may still read it for a moment
            raise

    def restore(self, step: int | None = None, template: Tree | None = None) -> tuple[Any, Any]:
        """Returns the arrays and the `meta` of a step; each array has been verified.

        Training goes on from there: see the class on the steps behind it.

        Args:
            step: which; None for the newest.
            template: a tree of `jax.ShapeDtypeStruct` or arrays. Names, shapes and dtypes are
                compared before memory is taken for arrays; the result has its structure, and JAX
                arrays with the shardings of its leaves (NumPy arrays where its leaves are such).
                Without it the result is nested dicts of NumPy arrays (lists and tuples became dicts
                with "0", "1", ...), and random keys.

        Raises:
            ModelFileError: there is no such step, it is damaged (`DamagedStepError`: names step,
                array and digests), or it holds other arrays than the template (lists what is
                missing, unexpected and different).
            OSError: the write in flight, which is waited for, failed; or see `open`.
        """
        self.wait()
        raise_abandoned(self.directory)
        with contextlib.ExitStack() as stack:
            if self._notices is not None:
                stack.enter_context(self._together(self._notices))
            self.step, arrays, meta = self.read_step(step, template)
        self._saved_at = time.monotonic()
        return arrays, meta

    def _check_order(self, step: int) -> None:
        latest = self.latest()
        if self.step is not None:
            fits, expected = step >= self.step, f"step {self.step} or a later one"
        else:
            fits, expected = latest is None or step > latest, f"a step after {latest}"
        if not fits:
            raise StateError(
                f"The checkpoint {shown(str(self.directory)[-90:])!r} has got further already",
                expected=expected,
                received=f"step {step}",
                hint="go on from a step that it holds: restore(step); or use another directory",
            )

    def _remove_old(self, step: int) -> None:
        there = self._steps.steps()
        gone = superfluous(list(there), self.keep, self._best.among(there))
        try:
            for path in [there[s] for s in gone] + self._steps.outdated():
                self._steps.remove(path)
        except OSError as error:
            text = f"Step {step} is saved, but an older one cannot be removed: {error.strerror}"
            raise OSError(error.errno, text, error.filename or str(self.directory)) from error


def _steps_at(directory: str) -> StepFolder | StepBucket:
    if _BUCKET.fullmatch(directory):
        return StepBucket(BucketPath(directory))
    if "://" in directory:
        raise ConfigError(
            "A Checkpoint is a folder of a file system, or in a bucket of Google's",
            expected='a path, or "gs://bucket/name" (a-z, 0-9, -, _ and . in the bucket\'s name)',
            received=directory,
            hint="mount the bucket of another store: Orbax writes to none but Google's",
        )
    return StepFolder(Path(os.path.abspath(local_path(directory))))


def _whole(step: Any) -> int:
    if not is_whole(step, least=0) or step >= 10**18:
        raise ConfigError("A step is a whole number from 0", received=repr(step))
    return int(step)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) or getattr(value, "ndim", None) == 0
