"""From texts to words: the built-in rules. They know ASCII alone, as those of TensorFlow do."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kgraph.errors import check_choice

_TO_LOWER = {ord(letter): letter.lower() for letter in string.ascii_uppercase}
_NO_PUNCTUATION = dict.fromkeys(map(ord, string.punctuation))
_WORD = re.compile(r"[^ \t\n\v\f\r]+")  # str.split would also part words at other white space


def _translate(table: Mapping[int, str | None]) -> Callable[[list[str]], list[str]]:
    return lambda texts: [text.translate(table) for text in texts]


STANDARDIZERS: dict[str, Callable[[list[str]], list[str]]] = {
    "lower_and_strip_punctuation": _translate({**_TO_LOWER, **_NO_PUNCTUATION}),
    "lower": _translate(_TO_LOWER),
    "strip_punctuation": _translate(_NO_PUNCTUATION),
}

SPLITTERS: dict[str, Callable[[list[str]], list[list[str]]]] = {
    "whitespace": lambda texts: list(map(_WORD.findall, texts)),
    "character": lambda texts: list(map(list, texts)),
}


def check_function(owner: str, option: str, value: object, known: Mapping[str, Any]) -> Any:
    """Returns a function, None or a known name; a ConfigError says what is known."""
    if not callable(value):
        check_choice(owner, option, value, [*known, None])
    return value


def ngrams_of(words: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Returns the runs of neighbouring words of each width, joined by spaces, width by width.

    >>> ngrams_of(["on", "a", "hill"], (1, 2))
    ['on', 'a', 'hill', 'on a', 'a hill']
    """
    return [
        " ".join(words[i : i + width])
        for width in widths
        for i in range(len(words) - width + 1)
    ]  # fmt: skip
