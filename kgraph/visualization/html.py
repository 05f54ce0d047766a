"""What a notebook shows of a model: the summary as a table, and a drawing."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from kgraph.visualization.drawing import Options, draw
from kgraph.visualization.layer_table import header, row_cells
from kgraph.visualization.rows import Row, is_branching, summary_rows
from kgraph.visualization.svg import drawing_to_svg
from kgraph.visualization.text import printable
from kgraph.visualization.totals import total_lines, totals

if TYPE_CHECKING:
    from kgraph.models.model import Model


_MOST_BOXES = 300
_SCROLL = "max-height:40em;overflow:auto"
_CELL = "text-align:left;vertical-align:top;padding:2px 14px 2px 0;white-space:pre"


def model_html(model: Model) -> str:
    """Returns a model as HTML: summary and SVG drawing, without scripts or outer resources.

    For `_repr_html_`, so it never raises: what cannot be shown is left out.
    """
    try:
        return f"<div>{_summary(model)}{_drawing(model)}</div>"
    except Exception as error:  # a repr that raises would hide the result of the user's cell
        kind, reason = type(model).__name__, f"{type(error).__name__}: {error}"
        return f"<pre>{escape(kind)} (cannot be shown: {escape(printable(reason))})</pre>"


def _summary(model: Model) -> str:
    connected = is_branching(model)
    head = _row("th", header(connected, show_trainable=False))
    body = "".join(_row("td", _texts(row, connected)) for row in summary_rows(model))
    amounts = "<br>".join(
        f"{escape(label)}: {escape(amount)}" for label, amount in total_lines(totals(model))
    )
    return (
        f"<b>Model: {escape(printable(model.name))}</b>"
        f'<div style="{_SCROLL}"><table><thead>{head}</thead><tbody>{body}</tbody></table></div>'
        f"<div>{amounts}</div>"
    )


def _texts(row: Row, connected: bool) -> list[str]:
    return [text for text, _ in row_cells(row, connected, show_trainable=False, symbolic=False)]


def _row(tag: str, texts: Iterable[str]) -> str:
    cells = "".join(f'<{tag} style="{_CELL}">{escape(text)}</{tag}>' for text in texts)
    return f"<tr>{cells}</tr>"


def _drawing(model: Model) -> str:
    if model._kgraph_inner_graph is None:
        return ""
    drawing = draw(model, Options(show_shapes=True))
    if len(drawing.boxes) > _MOST_BOXES:
        return f"<div>{len(drawing.boxes):,} layers: draw them into a file with plot_model</div>"
    return f'<div style="{_SCROLL}">{drawing_to_svg(drawing)}</div>'
