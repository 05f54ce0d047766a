"""Where a save goes: which names are accepted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kgraph.errors import ConfigError
from kgraph.saving.file_error import file_error

SUFFIX = ".kgraph"


def save_path(filepath: Any, overwrite: bool) -> Path:
    """Returns the absolute path to write to, links followed.

    A name that ends in `.kgraph` or has no suffix at all is taken as it is.

    Raises:
        ConfigError: the name asks for a format that this version does not write.
        ModelFileError: something is in the way, or there is no such folder.
    """
    text = os.fspath(filepath)
    check_suffix(text)
    path = Path(os.path.realpath(text))
    if path.is_dir():
        raise file_error(path, "cannot be written: it is a folder", hint="give the file a name")
    if path.exists() and not overwrite:
        raise file_error(path, "exists already", hint="pass overwrite=True, or another name")
    if path.exists() and not path.is_file():
        raise file_error(path, "cannot be written: it is no regular file")
    if not path.parent.is_dir():
        raise file_error(
            path, "cannot be written: its folder does not exist",
            hint="make it first: pathlib.Path(path).parent.mkdir(parents=True)",
        )  # fmt: skip
    return path


def check_suffix(text: str) -> None:
    """Raises ConfigError for a name that asks for a format which this version does not write."""
    suffix = os.path.splitext(text)[1]
    folder = text.endswith(("/", os.sep))
    if suffix in ("", SUFFIX) and not folder:
        return
    stem = text.rstrip("/" + os.sep).removesuffix(suffix).removesuffix(".weights")
    raise ConfigError(
        "This version of kgraph does not write "
        + ("folders" if folder else f"files whose name ends in {suffix!r}"),
        expected=f"a name that ends in {SUFFIX!r}, or one without a suffix",
        received=repr(text),
        hint=f"save as {stem + SUFFIX!r}",
    )
