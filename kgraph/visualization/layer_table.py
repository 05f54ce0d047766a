"""The summary of a model as a table of text."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from kgraph.compiler.costs import Costs
from kgraph.config import output
from kgraph.errors import ConfigError
from kgraph.visualization.heat import (
    Timed,
    check_timed,
    cost_cells,
    cost_lines,
    costs_of,
    time_cell,
)
from kgraph.visualization.rows import Row, is_branching, summary_rows
from kgraph.visualization.table import NARROWEST, Cell, fitting_widths, table_lines
from kgraph.visualization.text import printable, show_shapes, unique
from kgraph.visualization.totals import total_lines, totals

if TYPE_CHECKING:
    from kgraph.models.model import Model


_CHAIN = (29, 26, 10)
_BRANCHING = (32, 21, 12, 33)
_TRAINABLE = 10
_FALLBACK_TERMINAL = (120, 24)


def summary(
    model: Model,
    line_length: int | None = None,
    positions: Sequence[float] | None = None,
    print_fn: Callable[[str], Any] | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Sequence[str] | None = None,
    symbolic: bool = False,
    cost: bool | Costs = False,
    forecast: Timed | None = None,
) -> None:
    """Prints the layers of a model, their output shapes, parameters and connections.

    Columns are as wide as what they hold, up to the width of the terminal; beyond it cells wrap.

    Args:
        model: a model.
        line_length: the exact width of the table.
        positions: where columns end: fractions of the width, or numbers of characters.
        print_fn: gets the whole text once, in the place of `print`.
        expand_nested: whether nested models are listed layer by layer.
        show_trainable: adds a column that says whether training changes the weights.
        layer_range: two names or regular expressions: the first and the last layer listed. The
            totals are of the whole model all the same.
        symbolic: shows unknown sizes by name, `(batch, time - 2, 64)`, in the place of None.
        cost: adds FLOPs and bytes of activations: True for one row, or what `model.cost` returned.
        forecast: adds the time of each layer in a step: what `model.forecast` returned.

    Raises:
        ConfigError: a column has less than 4 characters, `layer_range` fits no layer, costs are
            wanted and sizes are unknown, or the forecast is none, or of another model.
    """
    text = summary_text(
        model, line_length, positions, expand_nested, show_trainable, layer_range, symbolic, cost,
        forecast,
    )  # fmt: skip
    if print_fn is None:
        print(text, file=output())
    else:
        print_fn(text)


def summary_text(
    model: Model,
    line_length: int | None = None,
    positions: Sequence[float] | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Sequence[str] | None = None,
    symbolic: bool = False,
    cost: bool | Costs = False,
    forecast: Timed | None = None,
) -> str:
    """Returns what `summary` prints."""
    connected, costs = is_branching(model), costs_of(model, cost)
    if forecast is not None:
        check_timed(forecast, model)
    rows = summary_rows(model, expand_nested, layer_range)
    titles = header(connected, show_trainable, costs is not None, forecast is not None)
    cells = [[(title, 0) for title in titles]]
    cells += [row_cells(row, connected, show_trainable, symbolic, costs, forecast) for row in rows]
    least = [*(_BRANCHING if connected else _CHAIN), *([_TRAINABLE] if show_trainable else [])]
    least += [0] * (len(cells[0]) - len(least))
    if positions is not None:
        width = _width(sum(least) if line_length is None else line_length)
        widths = _widths_at(positions, width, len(least))
    else:
        limit = shutil.get_terminal_size(_FALLBACK_TERMINAL).columns
        small = line_length is not None and sum(least) > _width(line_length)
        widths = fitting_widths(cells, [0] * len(least) if small else least, limit, line_length)
    if line_length is not None or positions is not None:
        _check_widths(widths, line_length)
    lines = [f'Model: "{printable(model.name)}"', *table_lines(cells, widths)]
    below = total_lines(totals(model)) + ([] if costs is None else cost_lines(costs))
    lines += [f"{label}: {amount}" for label, amount in below]
    return "\n".join([*lines, "_" * sum(widths)])


def header(
    connected: bool, show_trainable: bool, cost: bool = False, timed: bool = False
) -> list[str]:
    """Returns the titles of the columns."""
    titles = ["Layer (type)", "Output Shape", "Param #"]
    titles += ["Connected to"] * connected + ["Trainable"] * show_trainable
    return titles + ["Forward", "Backward", "Activations"] * cost + ["In a step"] * timed


def row_cells(
    row: Row,
    connected: bool,
    show_trainable: bool,
    symbolic: bool,
    costs: Costs | None = None,
    forecast: Timed | None = None,
) -> list[Cell]:
    """Returns the cells of a row as text."""
    prefix = "   " * row.level + "└ " if row.level else ""
    cells = [
        (f"{prefix}{printable(row.name)} ({printable(row.type)})", len(prefix)),
        (shape_text(row, symbolic), 0),
        (params_text(row), 0),
    ]
    if connected:
        cells.append(("\n".join(printable(entry) for entry in row.connected_to), 0))
    if show_trainable:
        cells.append(({True: "Y", False: "N", None: "-"}[row.trainable], 0))
    if costs is not None:
        cells += [(text, 0) for text in cost_cells(costs, row.path)]
    if forecast is not None:
        cells.append((time_cell(forecast, row.path), 0))
    return cells


def shape_text(row: Row, symbolic: bool = False) -> str:
    """Returns the output shapes of a layer, one line for each that differs, and its mask's fate."""
    shapes = unique(show_shapes(specs, symbolic) for specs in row.outputs)
    return "\n".join([*(shapes or ["?"]), *([row.mask] if row.mask else [])])


def params_text(row: Row) -> str:
    """Returns the number of parameters: `50,240`, or `0 (unbuilt)`."""
    return "0 (unbuilt)" if row.params is None else f"{row.params:,}"


def _width(line_length: Any) -> int:
    if not isinstance(line_length, int) or line_length < 1:
        raise ConfigError(
            "summary takes `line_length` as a number of characters", received=repr(line_length)
        )
    return line_length


def _widths_at(positions: Sequence[float], width: int, count: int) -> list[int]:
    """Returns the widths of columns that end at these positions."""
    ends = list(positions)
    if len(ends) == count - 1:
        ends.append(1.0 if max(ends, default=0) <= 1 else width)
    if len(ends) != count:
        raise ConfigError(
            f"summary has {count} columns here",
            expected=f"{count} positions",
            received=f"positions={list(positions)!r}",
        )
    if max(ends) <= 1:
        ends = [end * width for end in ends]
    whole = [int(end) for end in ends]
    return [end - start for start, end in zip([0, *whole], whole)]


def _check_widths(widths: Sequence[int], line_length: int | None) -> None:
    if min(widths) < NARROWEST or sum(widths) > (line_length or sum(widths)):
        raise ConfigError(
            "summary has too little width for its columns",
            expected=f"at least {NARROWEST} characters for each column",
            received=f"columns of {', '.join(map(str, widths))}",
            hint="pass a larger line_length, or leave it out",
        )
