"""Tables of fixed columns. Cells that are too wide wrap; no text is ever cut off."""

from __future__ import annotations

from collections.abc import Sequence

from kgraph.visualization.text import columns, wrap

NARROWEST = 4
"""Columns that a table is told to fit are not made narrower than this."""

_GAP = 2
_COMFORTABLE = 8

Cell = tuple[str, int]
"""A text (of one line or several) and the spaces that its continuation lines start with."""


def fitting_widths(
    rows: Sequence[Sequence[Cell]], least: Sequence[int], limit: int, line_length: int | None
) -> list[int]:
    """Returns the width of each column, a gap to the next column included.

    Args:
        rows: the cells of the table, its header among them.
        least: widths that columns have even if they hold less.
        limit: columns get no wider together than this; the widest gives way first.
        line_length: the exact width of all columns together, in the place of `limit`.
    """
    widths = list(least)
    for row in rows:
        for i, (text, _) in enumerate(row):
            needed = max(columns(line) for line in text.split("\n")) + _GAP
            widths[i] = max(widths[i], needed)
    total, narrowest = (limit, _COMFORTABLE) if line_length is None else (line_length, NARROWEST)
    while sum(widths) > total and max(widths) > narrowest:
        widths[widths.index(max(widths))] -= 1
    spare = 0 if line_length is None else max(line_length - sum(widths), 0)
    for i in range(len(widths)):
        widths[i] += spare // len(widths) + (i < spare % len(widths))
    return widths


def table_lines(rows: Sequence[Sequence[Cell]], widths: Sequence[int]) -> list[str]:
    """Returns the lines of a table whose first row is its header."""
    thin, thick = "_" * sum(widths), "=" * sum(widths)
    header, *body = [_row_lines(row, widths) for row in rows]
    lines = [thin, *header, thick]
    for i, row in enumerate(body):
        lines += [thin, *row] if i else row
    return [*lines, thick]


def _row_lines(row: Sequence[Cell], widths: Sequence[int]) -> list[str]:
    cells = [_cell_lines(cell, width) for cell, width in zip(row, widths)]
    height = max(len(cell) for cell in cells)
    return [
        "".join(
            _padded(cell[i] if i < len(cell) else "", width) for cell, width in zip(cells, widths)
        ).rstrip(" ")
        for i in range(height)
    ]


def _cell_lines(cell: Cell, width: int) -> list[str]:
    text, indent = cell
    room = max(width - 1, 2)
    return wrap(text, room, indent=min(indent, room // 2))


def _padded(text: str, width: int) -> str:
    return text + " " * (width - columns(text))
