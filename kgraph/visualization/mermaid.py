"""Drawings as Mermaid flow charts: text that Markdown viewers draw."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kgraph.compiler.costs import Costs
from kgraph.visualization.drawing import Box, Drawing, Options, Path
from kgraph.visualization.folding import drawn
from kgraph.visualization.text import printable

if TYPE_CHECKING:
    from kgraph.models.model import Model


def to_mermaid(
    model: Model,
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    rankdir: str = "TB",
    expand_nested: bool = False,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    color_by: str | None = None,
    costs: Costs | None = None,
    fold: bool | None = None,
) -> str:
    """Returns a model as the text of a Mermaid flow chart. Masks are dotted edges.

    The options are those of `model_to_dot`.
    """
    options = Options(
        show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable,
        expand_nested, rankdir, fold,
    )  # fmt: skip
    drawing = drawn(model, options, color_by, costs)
    lines = [f"flowchart {rankdir}", *_group(drawing, (), _children(drawing), "    ")]
    for edge in drawing.edges:
        lines.append(f"    layer{edge.source} --> layer{edge.target}")
        if edge.masked:
            lines.append(f"    layer{edge.source} -. mask .-> layer{edge.target}")
    for number, box in enumerate(drawing.boxes):
        if box.color is not None:
            lines.append(f"    style layer{number} fill:{box.color},color:#ffffff")
    return "\n".join(lines) + "\n"


def _children(drawing: Drawing) -> dict[Path, list[tuple[int, Box]]]:
    found: dict[Path, list[tuple[int, Box]]] = {}
    for number, box in enumerate(drawing.boxes):
        found.setdefault(box.group, []).append((number, box))
    return found


def _group(
    drawing: Drawing, path: Path, boxes: dict[Path, list[tuple[int, Box]]], indent: str
) -> Iterator[str]:
    for number, box in boxes.get(path, []):
        yield f'{indent}layer{number}["{_label(box)}"]'
    for number, (inner, title) in enumerate(drawing.groups.items()):
        if inner[:-1] == path:
            yield f'{indent}subgraph model{number}["{_escaped(title)}"]'
            yield from _group(drawing, inner, boxes, indent + "    ")
            yield f"{indent}end"


def _label(box: Box) -> str:
    return "<br/>".join([f"<b>{_escaped(box.title)}</b>", *map(_escaped, box.lines)])


def _escaped(text: str) -> str:
    """Returns text for a quoted label; Mermaid writes a character as `#name;` or `#number;`."""
    special = '#&<>"`[]{}()|;\\'
    return "".join(f"#{ord(c)};" if c in special else c for c in printable(text))
