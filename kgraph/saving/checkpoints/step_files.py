"""One step: written by all processes, and read back with every byte accounted for."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from kgraph.distribution.notices import Notices
from kgraph.errors import ProcessError
from kgraph.saving.checkpoints.host_arrays import NamedTree
from kgraph.saving.checkpoints.orbax_arrays import ArraysWriter
from kgraph.saving.checkpoints.places import Place, Steps, write_checked
from kgraph.saving.checkpoints.plain_meta import decode_meta
from kgraph.saving.checkpoints.step_arrays import StepArrays
from kgraph.saving.checkpoints.step_error import damaged, reading, unwritten
from kgraph.saving.checkpoints.step_manifest import (
    ARRAYS,
    MANIFEST,
    META,
    Shard,
    StepManifest,
    decode_manifest,
)
from kgraph.saving.files.digests import array_digests

# --- writing -------------------------------------------------------------------------------------


class StepWriter:
    """A step on its way to the disk. All processes make one, at the same place of their programs.

    When this returns, the arrays may be changed or donated; `finish` does the rest, in any thread.

    Args:
        steps: those of the checkpoint.
        step: the number.
        tree: what this process has of the arrays.
        meta: as bytes.
        metrics: numbers by name.
        notices: how the processes meet.

    Raises:
        OSError: the step cannot be written.
        ProcessError: another process could not.
    """

    def __init__(
        self,
        steps: Steps,
        step: int,
        tree: NamedTree,
        meta: bytes,
        metrics: Mapping[str, float],
        notices: Notices,
    ) -> None:
        self._steps, self._step, self._tree, self._notices = steps, step, tree, notices
        self._meta, self._metrics = meta, metrics
        self._stack = contextlib.ExitStack()
        self._shards: list[Any] = []
        with contextlib.ExitStack() as stack, self._telling():
            self._shards = tree.shards(notices.leads)
            self._draft = self._meet_in(stack)
            notices.meet("begin")
            nested = tree.nested()
            arrays = steps.content(self._draft) / ARRAYS
            self._arrays = ArraysWriter(arrays, nested, notices) if nested else None
            self._stack = stack.pop_all()

    def _meet_in(self, stack: contextlib.ExitStack) -> Place:
        """Returns the place that the first process has made for all to write into."""
        if not self._notices.leads:
            return self._steps.path / self._notices.ask("draft")
        draft = stack.enter_context(self._steps.draft(self._step))
        self._notices.tell("draft", draft.name)
        return draft

    def finish(self, abandoned: Sequence[int], after: Callable[[], None]) -> None:
        """Returns when the step is one, which it becomes when all of it is there.

        Args:
            abandoned: the numbers of steps that go just before that.
            after: is called by the first process when the step is one.

        Raises:
            OSError: the step cannot be written.
            ProcessError: another process could not.
        """
        with self._stack, self._telling():  # told before the draft goes
            arrays = [array for _, _, array in self._shards]
            digests = array_digests(arrays, threads=1)  # training wants the other cores
            if self._arrays is not None:
                self._arrays.wait()
            own = [
                [list(path), list(start), list(array.shape), digest]
                for (path, start, array), digest in zip(self._shards, digests, strict=True)
            ]
            if not self._notices.leads:
                note = self._draft / f"note-{self._notices.index}"
                note.write_bytes(json.dumps(own).encode())
            self._notices.meet("written")
            if self._notices.leads:
                self._put_in_place(own, abandoned)
                after()
            self._notices.meet("done")

    def _put_in_place(self, own: list[Any], abandoned: Sequence[int]) -> None:
        steps, known = self._steps, self._steps.steps()
        new = steps.content(self._draft)
        shards: dict[tuple[str, ...], list[Shard]] = {}
        for path, start, shape, digest in [*own, *self._notes()]:
            shards.setdefault(tuple(path), []).append(Shard(tuple(start), tuple(shape), digest))
        write_checked(new / META, self._meta)
        manifest = StepManifest(
            self._step, self._metrics,
            {name: steps.facts(file) for name, file in steps.files(new).items()},
            self._tree.specs, [shards.get(spec.path, []) for spec in self._tree.specs],
            self._tree.hollow,
        ).encode()  # fmt: skip
        _check_files(steps, self._step, new, decode_manifest(manifest))
        steps.commit(self._draft, self._step, manifest, [known[other] for other in abandoned])

    def _notes(self) -> Iterator[Any]:
        for index in range(1, self._notices.count):
            note = self._draft / f"note-{index}"
            yield from json.loads(note.read_bytes())
            note.unlink()  # it is no part of the step

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Tells the other processes if this one fails, and names the step in the error."""
        try:
            yield
        except Exception as error:
            needed = sum(array.nbytes for _, _, array in self._shards)
            raise unwritten(
                self._steps.path, self._step, self._cause(error), needed or None
            ) from error

    def _cause(self, error: Exception) -> Exception:
        """Returns the failure that came first: when one process gives up, files go from others."""
        if isinstance(error, ProcessError):
            return error
        try:
            self._notices.check()
        except ProcessError as first:
            return first
        self._notices.fail(f"{type(error).__name__}: {error}".partition("\n")[0])
        return error


# --- reading -------------------------------------------------------------------------------------


def read_manifest(steps: Steps, step: int, path: Place) -> StepManifest:
    """Returns the manifest of a step, its digest and its number verified."""
    with reading(steps.path, step, MANIFEST):
        manifest = decode_manifest((path / MANIFEST).read_bytes())
    if manifest.step != step:
        raise damaged(
            steps.path,
            step,
            member=MANIFEST,
            expected=f"step {step}",
            received=f"step {manifest.step}",
        )
    return manifest


def read_meta(steps: Steps, step: int, path: Place, manifest: StepManifest) -> Any:
    """Returns the `meta` of a step, its digest verified."""
    with reading(steps.path, step, META):
        data = (path / META).read_bytes()
        expected, received = manifest.files[META][1], hashlib.sha256(data).hexdigest()
        if expected != received:
            raise damaged(steps.path, step, member=META, expected=expected, received=received)
        return decode_meta(data)


def open_step(steps: Steps, step: int, path: Place, manifest: StepManifest) -> StepArrays:
    """Returns the arrays of a step, none of them read, when all files are there."""
    _check_files(steps, step, path, manifest)
    return StepArrays(steps.path, step, path / ARRAYS, manifest)


def _check_files(steps: Steps, step: int, path: Place, manifest: StepManifest) -> None:
    """Compares the files that are there, their sizes and the digests of small ones."""
    with reading(steps.path, step, "files"):
        found = steps.files(path)
        for name in sorted({*found, *manifest.files}):
            expected = manifest.files.get(name)
            facts = steps.facts(found[name]) if name in found else None
            if expected is None or facts is None or facts[0] != expected[0]:
                raise damaged(
                    steps.path, step, member=name,
                    expected="no such file" if expected is None else f"{expected[0]} bytes",
                    received="no such file" if facts is None else f"{facts[0]} bytes",
                )  # fmt: skip
            if expected[1] not in (None, facts[1]):
                raise damaged(
                    steps.path, step, member=name, expected=f"SHA-256 {expected[1]}",
                    received=f"SHA-256 {facts[1]}",
                )  # fmt: skip
