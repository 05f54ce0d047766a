"""Where a save goes: which names are accepted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from kgraph.errors import ConfigError
from kgraph.saving.files.file_error import file_error
from kgraph.saving.files.lock import NAME as LOCK
from kgraph.saving.kgraph_format.manifest import MANIFEST
from kgraph.types import FilePath
from kgraph.writing import local_path

SUFFIX = ".kgraph"
_SUFFIXES = {"model": (".keras",), "weights": (".safetensors", ".weights.h5")}

What = Literal["model", "weights"]


def save_path(filepath: FilePath, overwrite: bool, what: What = "model") -> Path:
    """Returns the absolute path to write to, links followed.

    A name that ends in `.kgraph` or has no suffix at all is taken as it is.

    Raises:
        ConfigError: the name asks for a format that this version does not write.
        ModelFileError: something is in the way, or there is no such folder.
    """
    check_suffix(os.fspath(filepath), what)
    return target_path(filepath, overwrite)


def target_path(filepath: FilePath, overwrite: bool) -> Path:
    """Returns the absolute path to write to, links followed, whatever the suffix.

    Raises:
        ModelFileError: something is in the way, or there is no such folder.
    """
    path = Path(os.path.realpath(local_path(filepath)))
    if path.is_dir():
        raise file_error(
            path, "cannot be written: it is a folder", hint="give the file a name; a name that "
            "ends in / saves a model into a folder",
        )  # fmt: skip
    if path.exists() and not overwrite:
        raise file_error(path, "exists already", hint="pass overwrite=True, or another name")
    if path.exists() and not path.is_file():
        raise file_error(path, "cannot be written: it is no regular file")
    _check_parent(path)
    return path


def asks_for_folder(filepath: FilePath) -> bool:
    """Tells whether a model is to be saved into a folder: its name ends in `/`, or it is one."""
    text = local_path(filepath)
    return _ends_as_folder(text) or os.path.isfile(os.path.join(text, MANIFEST))


def folder_path(filepath: FilePath, overwrite: bool) -> Path:
    """Returns the absolute path of a folder to save into, links followed.

    Raises:
        ModelFileError: it holds something else, or there is no folder that it could be in.
    """
    path = Path(os.path.realpath(local_path(filepath)))
    if path.exists():
        if not path.is_dir():
            raise file_error(path, "cannot be written: it is no folder")
        saved = (path / MANIFEST).is_file()
        if saved and not overwrite:
            raise file_error(path, "exists already", hint="pass overwrite=True, or another name")
        others = [n for n in os.listdir(path) if not (n.startswith(".") or n == LOCK)]
        if others and not saved:
            raise file_error(
                path, "cannot be written: it holds other things", received=sorted(others)[:3],
                hint="name a folder that is empty or not there yet",
            )  # fmt: skip
    _check_parent(path)
    return path


def check_suffix(text: str, what: What | None = None) -> None:
    """Raises ConfigError for a name that asks for a format which this version does not write.

    Args:
        text: the name.
        what: "model" or "weights"; None for what either of them may be called.
    """
    others = [end for w, ends in _SUFFIXES.items() if what in (None, w) for end in ends]
    known = text.endswith(tuple(others)) or os.path.splitext(text)[1] in ("", SUFFIX)
    if known and (what == "model" or not _ends_as_folder(text)):
        return
    suffix = os.path.splitext(text)[1]
    stem = text.rstrip("/" + os.sep).removesuffix(suffix).removesuffix(".weights")
    folder = _ends_as_folder(text)
    things = {"model": "models", "weights": "weights", None: "models or weights"}[what]
    raise ConfigError(
        f"This version of kgraph does not write {things} "
        + ("into folders" if folder else f"to files whose name ends in {suffix!r}"),
        expected=f"a name that ends in {', '.join([SUFFIX, *others])}, or one without a suffix",
        received=repr(text),
        hint=f"save as {stem + SUFFIX!r}",
    )


def _ends_as_folder(text: str) -> bool:
    return text.endswith(("/", os.sep))


def _check_parent(path: Path) -> None:
    if not path.parent.is_dir():
        raise file_error(
            path, "cannot be written: its folder does not exist",
            hint="make it first: pathlib.Path(path).parent.mkdir(parents=True)",
        )  # fmt: skip
