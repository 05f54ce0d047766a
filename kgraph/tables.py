"""Reports as tables: text in a terminal, HTML in a notebook, from the same rows."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from html import escape

_CELL = "padding:2px 14px 2px 0;white-space:pre;text-align:"


@dataclass(frozen=True)
class Table:
    """Rows of cells, with what stands above and below.

    Fields:
        title: the first line.
        rows: the titles of columns, then the rows.
        right: the columns that are aligned to the right.
        has_total: whether the last row is a sum of those above.
        below: further lines.
        above: lines between title and rows.
    """

    title: str
    rows: Sequence[Sequence[str]]
    right: Container[int] = ()
    has_total: bool = False
    below: Sequence[str] = ()
    above: Sequence[str] = ()

    def __str__(self) -> str:
        widths = [max(map(len, column)) for column in zip(*self.rows)]
        lines = [
            "  ".join(
                cell.rjust(width) if i in self.right else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths))
            ).rstrip()
            for row in self.rows
        ]
        if self.has_total:
            lines.insert(len(lines) - 1, "-" * (sum(widths) + 2 * len(widths) - 2))
        return "\n".join([self.title, *self.above, *lines, *self.below])

    def html(self) -> str:
        """Returns it as HTML in the colours of the page, light or dark."""
        rows = [self._html_row(row, "td" if i else "th") for i, row in enumerate(self.rows)]
        table = f"<thead>{''.join(rows[:1])}</thead><tbody>{''.join(rows[1:])}</tbody>"
        above, below = (
            "".join(f"<div>{escape(line)}</div>" for line in lines)
            for lines in (self.above, self.below)
        )
        return f"<div><b>{escape(self.title)}</b></div>{above}<table>{table}</table>{below}"

    def _html_row(self, row: Sequence[str], tag: str) -> str:
        sides = ("right" if i in self.right else "left" for i in range(len(row)))
        cells = (
            f'<{tag} style="{_CELL}{side}">{escape(cell)}</{tag}>' for cell, side in zip(row, sides)
        )
        return f"<tr>{''.join(cells)}</tr>"


class Tabular:
    """A report that is shown as its table."""

    def _kgraph_table(self) -> Table:
        raise NotImplementedError

    def __repr__(self) -> str:
        return str(self._kgraph_table())

    def _repr_html_(self) -> str:
        return self._kgraph_table().html()


def readable(number: float) -> str:
    """Returns a number of bytes in the unit of 1,024 that suits it."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.4g} {unit}"
        number /= 1024
    return f"{number:.4g} TiB"
