"""The exceptions of kgraph and the one form their messages have."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Self


class KGraphError(Exception):
    """Base of every error that kgraph raises on purpose: what is wrong, then a line for each fact.

    Facts come in the order `at`, `made`, others as given, `expected`, `received`, `hint` (printed
    as `try`). One that is None is left out; a list of strings takes one line each.

    >>> print(KGraphError("'head' cannot be shared", expected="[batch, 64]", at="train.py:41"))
    'head' cannot be shared
      at        train.py:41
      expected  [batch, 64]

    Args:
        what: what is wrong.
        **facts: kept, so that a caller who knows the user's line can add it.
    """

    def __init__(self, what: str = "", **facts: object) -> None:
        super().__init__(_message(what, facts))
        self.what, self.facts = what, facts

    def located(self, at: object, made: object = None) -> Self:
        """Returns the same error with the user's lines: of the call, and of its inputs' makers."""
        return type(self)(self.what, **{"made": made, **self.facts, "at": at})


class ConfigError(KGraphError, ValueError):
    """An option has a value that it cannot have, or an object cannot be described or rebuilt."""


class GraphError(KGraphError, ValueError):
    """A graph cannot be built: shapes, names, structure or reachability are wrong."""


class SymbolError(KGraphError, TypeError):
    """A symbolic tensor was used as if it held values."""


class CallError(KGraphError, TypeError):
    """A function was called with arguments that it does not take."""


class DataError(KGraphError, ValueError):
    """Arrays or batches do not fit the model or each other."""


class StateError(KGraphError, RuntimeError):
    """Something was asked of an object before it was ready for it (fit before compile, say)."""


class NotYetError(StateError, AttributeError):
    """An object does not have an attribute yet; `hasattr` is False until then."""


class ProcessError(KGraphError, RuntimeError):
    """Another process of the job has failed, or does something else than this one."""


class ModelFileError(KGraphError, ValueError):
    """A model file is missing, damaged, foreign, or does not match.

    Attributes:
        path: the file; None if the error is not about one file.
        member: the part of it, such as `"model.json"`, as the message shows it.
        json_path: the place in that part, such as `"model.config.layers.dense"`.
    """

    path: str | None = None
    member: str | None = None
    json_path: str | None = None


_PLACES = {"at": 0, "made": 1, "expected": 3, "received": 4, "hint": 5}
"""Where a fact stands in a message; all others are in place 2."""


def _message(what: str, facts: Mapping[str, object]) -> str:
    lines = [what]
    for name in sorted(facts, key=lambda name: _PLACES.get(name, 2)):
        fact = facts[name]
        if fact is None:
            continue
        label = "try" if name == "hint" else name
        rows = fact if isinstance(fact, list) and fact else [fact]
        lines += [f"  {label if i == 0 else '':<8}  {row}" for i, row in enumerate(rows)]
    return "\n".join(lines)


def nearest(name: object, known: Iterable[str]) -> str | None:
    """Returns a hint with the known names that look most like `name`, or None."""
    close = difflib.get_close_matches(str(name), list(known), n=3, cutoff=0.5)
    return f"did you mean {' or '.join(map(repr, close))}?" if close else None


def listed(names: Iterable[str], most: int = 20) -> str:
    """Returns names for a message, in quotation marks; of very many the first and their number.

    >>> listed(["a", "b", "c"], most=2)
    "'a', 'b', ... (3 in all)"
    """
    names = list(names)
    text = ", ".join(map(repr, names[:most])) or "nothing"
    return text if len(names) <= most else f"{text}, ... ({len(names)} in all)"


def check_choice(owner: str, option: str, value: object, choices: Iterable[object]) -> None:
    """Raises ConfigError unless `value` is one of `choices`."""
    choices = list(choices)
    if not any(value is choice or value == choice for choice in choices):
        raise ConfigError(
            f"{owner} does not know this value of `{option}`",
            expected="one of " + ", ".join(map(repr, choices)),
            received=repr(value),
            hint=nearest(value, [c for c in choices if isinstance(c, str)]),
        )


def check_keys(what: str, given: Mapping[str, object], known: Iterable[str]) -> None:
    """Raises ConfigError if `given` has a key that is not known, naming the nearest known ones."""
    known = list(known)
    for key in given:
        if key not in known:
            raise ConfigError(
                f"{what} has no {key!r}",
                expected=listed(known),
                received=listed(given),
                hint=nearest(key, known),
            )
