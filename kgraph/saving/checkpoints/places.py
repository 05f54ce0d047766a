"""Where steps lie and what they are called, in a folder or in a bucket."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

_STEP = re.compile(r"step_(\d{9,18})(?:\.(\d{1,9}))?")


class Place(Protocol):
    """What is needed of a path: `pathlib.Path` has it, and so has `BucketPath`."""

    @property
    def name(self) -> str: ...
    def __truediv__(self, name: str, /) -> Place: ...
    def __fspath__(self) -> str: ...
    def __hash__(self) -> int: ...
    def read_bytes(self) -> bytes: ...
    def write_bytes(self, data: bytes, /) -> object: ...
    def exists(self) -> bool: ...
    def unlink(self) -> None: ...


class Lock(Protocol):
    """What is needed of a lock: see `FolderLock`."""

    @property
    def text(self) -> str: ...
    def is_seen(self, text: str) -> bool: ...
    def release(self) -> None: ...


class Steps(Protocol):
    """Steps in one place: see `StepFolder`, and `StepBucket`."""

    @property
    def path(self) -> Place: ...
    @property
    def lock(self) -> Lock: ...
    def steps(self) -> dict[int, Place]: ...
    def outdated(self) -> list[Place]: ...
    def take(self) -> None: ...
    def remove(self, step: Place) -> None: ...
    def dissolve(self) -> None: ...
    def draft(self, number: int) -> AbstractContextManager[Place]: ...
    def content(self, draft: Place) -> Place: ...
    def commit(
        self, draft: Place, number: int, manifest: bytes, abandoned: Sequence[Place]
    ) -> None: ...
    def files(self, step: Place) -> Mapping[str, Place]: ...
    def facts(self, file: Place) -> tuple[int | None, str | None]: ...


def is_step(name: str) -> bool:
    """Tells whether something is called like a step."""
    return _STEP.fullmatch(name) is not None


def newest(places: Iterable[Place]) -> dict[int, Place]:
    """Returns the place of each step, by number in rising order.

    A step that was written again is there as `step_000000040.1` as well, until the older one has
    been removed; the last one counts.
    """
    found: dict[int, tuple[int, Place]] = {}
    for place in places:
        if match := _STEP.fullmatch(place.name):
            step, version = int(match[1]), int(match[2] or 0)
            if step not in found or found[step][0] < version:
                found[step] = version, place
    return {step: place for step, (_, place) in sorted(found.items())}


def next_name(step: int, taken: Iterable[str]) -> str:
    """Returns what a step is called that is written now, where other names are taken."""
    name = f"step_{step:09d}"
    versions = [int(n.partition(".")[2] or 0) for n in taken if n.partition(".")[0] == name]
    return f"{name}.{max(versions) + 1}" if versions else name


def write_checked(place: Place, data: bytes) -> None:
    """Writes something, and reads it back: some systems fail without a word."""
    place.write_bytes(data)
    if place.read_bytes() != data:
        raise OSError(errno.EIO, "What was written cannot be read back")
