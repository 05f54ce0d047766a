"""The one error for files that cannot be read, with everything from the file escaped and cut."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kgraph.errors import ModelFileError

MAX_TEXT = 500
"""How long an error about a file may be."""

_LINE = 90
_WIDEST = 160
_SHORTEST = 20
_CAUSE = 2000


def shown(value: object, width: int = _LINE) -> str:
    """Returns a value as one printable line: text of a file never reaches a terminal as it is."""
    text = value if isinstance(value, str) else _repr(value)
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _repr(value: object) -> str:
    """Returns the repr of a value, without writing out all of a large one."""
    if isinstance(value, (list, tuple)) and len(value) > _LINE:
        value = value[:_LINE]
    if isinstance(value, dict) and len(value) > _LINE:
        value = dict(list(value.items())[:_LINE])
    return repr(value)


def file_error(
    path: Path | None,
    what: str,
    *,
    member: str | None = None,
    at: str | None = None,
    expected: object = None,
    received: object = None,
    hint: str | None = None,
) -> ModelFileError:
    """Returns the error for one file, of at most 500 characters.

    Args:
        path: the file; None of a config that comes from none.
        what: what is wrong with it, as a part of a sentence: "is not a model file".
        member: the part of the file.
        at: the place in that part, such as `arrays[3].shape`.
        expected, received: what was wanted there and what was found.
        hint: what to do.
    """
    facts = {"member": member, "place": at, "expected": expected, "received": received}
    width = _WIDEST
    while True:
        lines = {name: None if fact is None else shown(fact, width) for name, fact in facts.items()}
        whole = "The config"
        if path is not None:
            whole = f"The file {shown(str(path)[-min(width, _LINE) :], _LINE)!r}"
        error = ModelFileError(f"{whole} {what}", **lines, hint=hint)
        if len(str(error)) <= MAX_TEXT or width <= _SHORTEST:
            break
        width -= 5
    error.path = None if path is None else str(path)
    error.member, error.json_path = lines["member"], lines["place"]
    return error


@contextlib.contextmanager
def refusing(path: Path | None, what: str, **facts: Any) -> Iterator[None]:
    """Turns whatever goes wrong inside into one ModelFileError.

    A parser given hostile bytes may raise nearly anything, so every Exception counts. An error that
    is a ModelFileError already stays as it is. The cause is kept for tracebacks, unless it would
    bring text to the terminal that has been cut or escaped here.
    """
    try:
        yield
    except ModelFileError:
        raise
    except Exception as error:
        raise file_error(path, what, received=reason_of(error), **facts) from harmless(error)


def reason_of(error: BaseException) -> str:
    """Returns class and first line of an error, and what it says it received."""
    first, *others = str(error).strip().split("\n")
    received = [" ".join(line.split()) for line in others if line.startswith("  received")]
    return "; ".join([f"{type(error).__name__}: {first}", *received[:1]])


def harmless(error: BaseException) -> BaseException | None:
    """Returns the error, or None if it (or a cause of it) has text that should not be printed."""
    seen: BaseException | None = error
    while seen is not None:
        text = str(seen)
        if len(text) > _CAUSE or not all(line.isprintable() for line in text.split("\n")):
            return None
        seen = seen.__cause__ or seen.__context__
    return error
