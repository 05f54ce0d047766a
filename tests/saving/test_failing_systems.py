"""What writers make of a system that fails: the old file stays, and the error is one and clear."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import saving_child
from saving_child import model_of

from kgraph.saving.checkpoints import Checkpoint, step_folder
from kgraph.saving.files import atomic, stored_zip
from kgraph.saving.files.lock import FolderLock

FORMS = ("m.kgraph", "folder/", "m.keras", "m.weights.h5", "m.safetensors", "m.stablehlo", "steps")


class _Unseekable(io.FileIO):
    """A file of a system where `lseek` fails: `zipfile` writes another form of zip to it."""

    def tell(self) -> int:
        raise OSError(errno.EIO, "Input/output error")

    def seek(self, *_: Any) -> int:
        raise OSError(errno.EIO, "Input/output error")

    def seekable(self) -> bool:
        return False


@pytest.mark.parametrize("name", ["m.kgraph", "m.keras", "m.stablehlo"])
def test_what_cannot_be_read_back_replaces_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    saving_child.write(model_of(1), str(path))
    real = zipfile.ZipFile

    @contextlib.contextmanager
    def unseekable(new: Path, mode: str, kind: int) -> Iterator[zipfile.ZipFile]:
        with _Unseekable(new, mode) as file, real(file, "w", kind) as archive:
            yield archive

    with monkeypatch.context() as patch:
        patch.setattr(stored_zip.zipfile, "ZipFile", unseekable)
        with pytest.raises(OSError, match=rf"cannot be read back.*{name}"):
            saving_child.write(model_of(2), str(path))
    assert saving_child.read(path) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", FORMS)
def test_a_full_disk_is_named_with_the_bytes_that_it_lacks(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{tmp_path}/{name}"
    saving_child.write(model_of(1), path)

    def full(_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        for module in (atomic, step_folder):
            patch.setattr(module, "sync", full)
        with pytest.raises(OSError, match=r"No space left .* needs 3[68]\d,\d{3} bytes") as error:
            saving_child.write(model_of(2), path)
    assert error.value.errno == errno.ENOSPC
    assert error.value.filename == path.rstrip("/")
    assert saving_child.read(path) == 1


@pytest.mark.parametrize("name", ["folder/", "steps"])
def test_a_lock_that_the_system_cannot_give_is_no_other_writer(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", failing)
    with pytest.raises(OSError, match=r"The lock cannot be taken: Input/output error.*"):
        saving_child.write(model_of(1), f"{tmp_path}/{name}")


class _Unclosable(io.StringIO):
    def truncate(self, size: int | None = None) -> int:
        raise OSError(errno.EIO, "Input/output error")

    def close(self) -> None:
        super().close()
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_lock_that_cannot_be_written_to_any_more_is_given_back(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    lock.acquire()
    assert lock._file is not None
    lock._file.close()
    lock._file = _Unclosable()
    lock.release()
    assert not lock.held
    FolderLock(tmp_path).acquire()


def test_a_log_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saving_child.write(model_of(1), f"{tmp_path}/log.jsonl")

    def failing(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", failing)
        with pytest.raises(OSError, match=r"Input/output error: '.*log.jsonl'"):
            saving_child.write(model_of(2), f"{tmp_path}/log.jsonl")
    assert saving_child.read(tmp_path / "log.jsonl") == 1


def test_a_step_of_which_a_part_is_cut_short_gets_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saving_child.write(model_of(1), f"{tmp_path}/steps")
    write_bytes = Path.write_bytes

    def short(path: Path, data: bytes) -> int:
        return write_bytes(path, data[: len(data) // 2])

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", short)
        with pytest.raises(
            OSError, match="could not be saved: What was written cannot be read back"
        ):
            saving_child.write(model_of(2), f"{tmp_path}/steps")
    assert Checkpoint(tmp_path / "steps").steps() == [1]
