"""The one error for files that cannot be read, with everything from the file escaped and cut."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kgraph.errors import ModelFileError

_LINE = 90


def shown(value: Any, width: int = _LINE) -> str:
    """Returns a value as one printable line: text of a file never reaches a terminal as it is."""
    text = value if isinstance(value, str) else repr(value)
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= width else f"{text[: width - 3]}..."


def file_error(
    path: Path,
    what: str,
    *,
    member: str | None = None,
    at: str | None = None,
    expected: Any = None,
    received: Any = None,
    hint: str | None = None,
) -> ModelFileError:
    """Returns the error for one file, of at most 500 characters besides a long path.

    Args:
        path: the file.
        what: what is wrong with it, as a part of a sentence: "is not a model file".
        member: the part of the file.
        at: the place in that part, such as `arrays[3].shape`.
        expected, received: what was wanted there and what was found.
        hint: what to do.
    """
    facts = {"member": member, "place": at, "expected": expected, "received": received}
    lines = {name: None if fact is None else shown(fact) for name, fact in facts.items()}
    name = shown(str(path)[-_LINE:])
    return ModelFileError(f"The file {name!r} {what}", **lines, hint=hint)


@contextlib.contextmanager
def refusing(path: Path, what: str, **facts: Any) -> Iterator[None]:
    """Turns whatever goes wrong inside into one ModelFileError.

    A parser given hostile bytes may raise nearly anything, so every Exception counts. An error that
    is a ModelFileError already stays as it is.
    """
    try:
        yield
    except ModelFileError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        raise file_error(path, what, received=reason, **facts) from error
