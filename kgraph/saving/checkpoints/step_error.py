"""The errors of single steps; what comes from files is escaped and cut."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from kgraph.errors import ModelFileError
from kgraph.saving.checkpoints.places import Place
from kgraph.saving.files.file_error import shown
from kgraph.writing import lacking


class DamagedStepError(ModelFileError):
    """A step of a checkpoint is not as it was written."""


def damaged(
    folder: Place,
    step: int,
    *,
    member: str | None = None,
    array: str | None = None,
    expected: object = None,
    received: object = None,
) -> DamagedStepError:
    """Returns the error for a step whose bytes are not those that were written."""
    facts = {"member": member, "array": array, "expected": expected, "received": received}
    return DamagedStepError(
        f"Step {step} of the checkpoint {shown(str(folder)[-90:])!r} is damaged",
        **{name: None if fact is None else shown(fact, 160) for name, fact in facts.items()},
        hint="restore another step (Checkpoint.steps()), or pass fallback=True to Checkpoint",
    )


@contextlib.contextmanager
def reading(folder: Place, step: int, member: str) -> Iterator[None]:
    """Turns whatever goes wrong inside into a DamagedStepError.

    Parsers of damaged bytes may raise nearly anything, so every Exception counts.
    """
    try:
        yield
    except ModelFileError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        raise damaged(folder, step, member=member, received=reason) from error


def unwritten(folder: Place, step: int, error: BaseException, needed: int | None) -> OSError:
    """Returns the error for a step that could not be written; it takes so many bytes, if known."""
    reason = getattr(error, "strerror", None) or str(error).strip().partition("\n")[0]
    reason = lacking(reason, getattr(error, "errno", None), needed)
    text = (
        f"Step {step} could not be saved: {shown(reason or type(error).__name__, 200)}; "
        "the steps saved before are as they were"
    )
    return OSError(getattr(error, "errno", None) or 5, text, str(folder))
