"""Text as it is shown: escapes for what cannot be printed, and the columns that text takes."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from kgraph.graph.dims import show_dims
from kgraph.graph.node import TensorSpec

_BREAK_AFTER = " _-/.,)]"


def printable(text: object) -> str:
    r"""Returns the text with every character that has no glyph of its own as an escape.

    Line breaks and control characters would tear a table or make XML invalid, and characters that
    turn the direction of writing would make a name look like another.

    >>> printable("two\nlines")
    'two\\nlines'
    """
    found = str(text)
    if found.isprintable():
        return found
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in found
    )


def columns(text: str) -> int:
    """Returns the number of terminal columns that a text takes: two for wide characters."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def wrap(text: str, width: int, indent: int = 0) -> list[str]:
    """Returns the text in lines of at most `width` columns; nothing is left out.

    Lines break after a space or a punctuation mark where one is near, and anywhere else if not.

    Args:
        text: one line or several.
        width: at least 2 more than `indent`.
        indent: spaces put in front of every line but the first.
    """
    lines: list[str] = []
    for line in text.split("\n"):
        while columns(line) > width:
            cut = _cut(line, width, indent if lines else 0)
            lines.append(line[:cut].rstrip(" "))
            line = " " * indent + line[cut:].lstrip(" ")
        lines.append(line)
    return lines


def _cut(line: str, width: int, least: int) -> int:
    """Returns where to break a line that is too wide."""
    fits = least + 1
    while columns(line[: fits + 1]) <= width:
        fits += 1
    good = [i for i in range(fits, max(least + 1, fits // 2), -1) if line[i - 1] in _BREAK_AFTER]
    spaces = [i for i in good if line[i - 1] == " "]
    at_space = [fits] if line[fits] == " " else spaces
    return (at_space or good or [fits])[0]


def show_shape(spec: TensorSpec, symbolic: bool = False) -> str:
    """Returns a shape as Keras writes it, `(None, 64)`, or with its sizes, `(batch, 64)`."""
    if not symbolic:
        return str(spec.shape)
    sizes = show_dims(spec.dims)[1:-1]
    return f"({sizes},)" if len(spec.dims) == 1 else f"({sizes})"


def show_shapes(specs: Iterable[TensorSpec], symbolic: bool = False) -> str:
    """Returns one shape, or several in brackets."""
    shapes = [show_shape(spec, symbolic) for spec in specs]
    return shapes[0] if len(shapes) == 1 else f"[{', '.join(shapes)}]"


def unique(items: Iterable[str]) -> list[str]:
    """Returns the items without repetitions, in order."""
    return list(dict.fromkeys(items))
