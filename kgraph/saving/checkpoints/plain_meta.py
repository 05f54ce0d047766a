"""The user's `meta` of a step as JSON; unlike in model files, NaN and infinities are numbers."""

from __future__ import annotations

import json
from typing import Any

from kgraph.errors import ConfigError
from kgraph.saving.files.file_error import shown

_MAX_DEPTH = 100


def encode_meta(meta: object) -> bytes:
    """Returns plain data as JSON bytes. Tuples come back as lists.

    Raises:
        ConfigError: a value is no plain data; the message says where it is.
    """
    _check(meta, "meta", 0)
    return json.dumps(meta, separators=(",", ":")).encode()


def decode_meta(data: bytes) -> Any:
    """Returns what `encode_meta` wrote down."""
    return json.loads(data)


def _check(value: object, where: str, depth: int) -> None:
    if value is None or isinstance(value, (str, bool, int, float)):
        return
    if depth > _MAX_DEPTH:
        raise ConfigError("`meta` of a checkpoint is nested too deeply, or contains itself")
    if isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            _check(item, f"{where}[{i}]", depth + 1)
    elif isinstance(value, dict) and all(isinstance(key, str) for key in value):
        for key, item in value.items():
            _check(item, f"{where}[{key!r}]", depth + 1)
    else:
        raise ConfigError(
            "`meta` of a checkpoint cannot be written down",
            at=shown(where, 160),
            expected="None, bool, int, float, str, and lists and dicts (with string keys) of them",
            received=f"{shown(value)} ({type(value).__name__})",
            hint="float(value) for a number; arrays belong into `arrays`",
        )
