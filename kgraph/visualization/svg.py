"""Drawings as SVG, by kgraph's own layout: for machines without Graphviz, and for notebooks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

from kgraph.compiler.costs import Costs
from kgraph.visualization.drawing import Box, Drawing, Options
from kgraph.visualization.folding import drawn
from kgraph.visualization.layout import Layout, Point, lay_out
from kgraph.visualization.text import printable

if TYPE_CHECKING:
    from kgraph.models.model import Model


_FONT = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
_SIZE = 13
_LINE = 22
_PADDING = 11
_MARGIN = 16
_MASK_OFFSET = 9.0
_PARALLEL = 14.0
_TINTS = ("#1e293b", "#1d4ed8", "#0f766e", "#7e22ce", "#b45309", "#be123c", "#4d7c0f", "#0369a1")
_NARROW, _WIDE = frozenset("iljtfrI.,:;|!'()[] "), frozenset("mwMWGOQ@%—")


def model_to_svg(
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
    """Returns a model as the text of an SVG image, without scripts and without outer resources.

    The options are those of `model_to_dot`. Layers of nested models (`expand_nested`) have the name
    of their model in front and a colour for each model.
    """
    options = Options(
        show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable,
        expand_nested, rankdir, fold,
    )  # fmt: skip
    return drawing_to_svg(drawn(model, options, color_by, costs), rankdir)


def drawing_to_svg(drawing: Drawing, rankdir: str = "TB", marks: Sequence[str] = ()) -> str:
    """Returns a drawing as the text of an SVG image; `marks` are attributes of its boxes."""
    boxes = [_titled(drawing, box) for box in drawing.boxes]
    sizes = [_size(lines) for lines in boxes]
    pairs = [(edge.source, edge.target) for edge in drawing.edges]
    layout = lay_out(sizes, pairs, rankdir)
    # Room for loops and mask edges, which run beside what the layout knows.
    width, height = layout.width + 3 * _MARGIN, layout.height + 2 * _MARGIN
    tints = {path: _TINTS[i % len(_TINTS)] for i, path in enumerate([(), *drawing.groups])}
    body = [
        *_edges(drawing, layout, sizes, rankdir in ("LR", "RL")),
        *(
            _box(box, lines, center, size, box.color or tints[box.group], mark)
            for box, lines, center, size, mark in zip(
                drawing.boxes, boxes, layout.centers, sizes, marks or [""] * len(boxes)
            )
        ),
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
            f'viewBox="{-_MARGIN} {-_MARGIN} {width:.0f} {height:.0f}" '
            f'font-family="{_FONT}" font-size="{_SIZE}" role="img">',
            f"<title>{escape(printable(drawing.name))}</title>",
            f'<rect x="{-_MARGIN}" y="{-_MARGIN}" width="100%" height="100%" fill="white"/>',
            *body,
            "</svg>",
        ]
    )


def text_width(text: str, bold: bool = False) -> float:
    """Returns about how many pixels a text takes: fonts differ, so rather too many."""
    ems = 0.0
    for c in text:
        if not c.isascii():
            ems += 1.0
        elif c in _NARROW:
            ems += 0.34
        elif c in _WIDE:
            ems += 0.9
        else:
            ems += 0.72 if c.isupper() else 0.6
    return ems * _SIZE * (1.08 if bold else 1.0)


def _titled(drawing: Drawing, box: Box) -> list[str]:
    """Returns title and lines of a box; a layer of a nested model says of which."""
    title = "/".join([*map(printable, box.group), box.title])
    return [title, *box.lines]


def _size(lines: Sequence[str]) -> Point:
    widths = [text_width(line, bold=i == 0) for i, line in enumerate(lines)]
    return max(*widths, 70.0) + 2 * _PADDING, float(len(lines) * _LINE + 4)


def _box(box: Box, lines: Sequence[str], center: Point, size: Point, tint: str, mark: str) -> str:
    """Returns a box: the title light on dark, the lines below on white, its facts to point at."""
    (x, y), (w, h) = center, size
    left, top = x - w / 2, y - h / 2
    head = _LINE + 2 if len(lines) > 1 else h
    facts = "" if mark else f"<title>{escape(chr(10).join(box.facts))}</title>"
    parts = [
        facts,
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{w:.1f}" height="{h:.1f}" rx="4" '
        f'fill="white" stroke="{tint}"/>',
        f'<path d="M{left:.1f} {top + head:.1f}v{4 - head:.1f}a4 4 0 0 1 4 -4h{w - 8:.1f}'
        f'a4 4 0 0 1 4 4v{head - 4:.1f}z" fill="{tint}"/>',
    ]
    for i, line in enumerate(lines):
        middle = top + head / 2 if i == 0 else top + head + (i - 0.5) * _LINE
        style = 'fill="white" font-weight="bold"' if i == 0 else 'fill="#0f172a"'
        parts.append(
            f'<text x="{x:.1f}" y="{middle + _SIZE * 0.36:.1f}" text-anchor="middle" '
            f"{style}>{escape(line)}</text>"
        )
    return f"<g{mark}>" + "".join(parts) + "</g>"


def _edges(drawing: Drawing, layout: Layout, sizes: Sequence[Point], flat: bool) -> Iterator[str]:
    together = Counter((edge.source, edge.target) for edge in drawing.edges)
    seen: Counter[Point] = Counter()
    for edge, route in zip(drawing.edges, layout.routes):
        points = route or _loop(layout.centers[edge.source], sizes[edge.source], flat)
        pair = edge.source, edge.target
        aside = _PARALLEL * (seen[pair] - (together[pair] - 1) / 2)
        seen[pair] += 1
        points = [(x, y + aside) if flat else (x + aside, y) for x, y in points]
        yield _arrow(points, flat, 'stroke="#475569"', "#475569")
        if edge.masked:
            dx, dy = (0.0, _MASK_OFFSET) if flat else (_MASK_OFFSET, 0.0)
            beside = [(x + dx, y + dy) for x, y in points]
            yield _arrow(beside, flat, 'stroke="#b45309" stroke-dasharray="5 3"', "#b45309")


def _loop(center: Point, size: Point, flat: bool) -> list[Point]:
    """Returns the route of a layer that is called on its own output."""
    (x, y), (w, h) = center, size
    right, bottom = x + w / 2, y + h / 2
    if flat:
        return [(x - 12, bottom), (x - 12, bottom + 14), (x + 12, bottom + 14), (x + 12, bottom)]
    return [(right, y + 8), (right + 16, y + 8), (right + 16, y - 8), (right, y - 8)]


def _arrow(points: Sequence[Point], flat: bool, style: str, color: str) -> str:
    """Returns a line with its head: straight and curved pieces by turns."""
    (x0, y0), (x1, y1) = points[-2:]
    if abs(x1 - x0) + abs(y1 - y0) < 0.5:  # an empty last piece: it points as the curve arrives
        x0, y0 = (points[-3][0], y1) if flat else (x1, points[-3][1])
    path = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for i, ((x, y), (u, v)) in enumerate(pairwise(points)):
        if i % 2 == 0 or x == u or y == v:
            path.append(f"L{u:.1f} {v:.1f}")
        elif flat:
            path.append(f"C{(x + u) / 2:.1f} {y:.1f} {(x + u) / 2:.1f} {v:.1f} {u:.1f} {v:.1f}")
        else:
            path.append(f"C{x:.1f} {(y + v) / 2:.1f} {u:.1f} {(y + v) / 2:.1f} {u:.1f} {v:.1f}")
    return (
        f'<path d="{"".join(path)}" fill="none" {style}/>'
        f'<path d="{_head((x0, y0), (x1, y1))}" fill="{color}"/>'
    )


def _head(start: Point, tip: Point) -> str:
    """Returns a triangle at `tip` that points away from `start`."""
    dx, dy = tip[0] - start[0], tip[1] - start[1]
    length = (dx * dx + dy * dy) ** 0.5 or 1.0
    ux, uy = dx / length, dy / length
    back = (tip[0] - 8 * ux, tip[1] - 8 * uy)
    left, right = (back[0] - 3.5 * uy, back[1] + 3.5 * ux), (back[0] + 3.5 * uy, back[1] - 3.5 * ux)
    corners = (f"{x:.1f} {y:.1f}" for x, y in (tip, left, right))
    return f"M{'L'.join(corners)}z"
