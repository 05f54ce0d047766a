"""A drawing as a page: blocks unfold where one clicks, layers can be searched and pointed at.

One file with its script, its style and no network. Every state is drawn beforehand (all folded,
each fold open, all open), so the page needs no layout of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import escape

from kgraph.visualization.drawing import Box, Drawing
from kgraph.visualization.folding import Fold, folded, folds
from kgraph.visualization.svg import drawing_to_svg
from kgraph.visualization.text import printable

_STYLE = """
:root { color-scheme: light dark }
body { margin: 0; font: 13px Helvetica, Arial, sans-serif; background: Canvas; color: CanvasText }
header { position: sticky; top: 0; padding: 8px; background: Canvas;
  border-bottom: 1px solid #8888 }
input { font: inherit; width: 16em } button { font: inherit }
main { padding: 8px } main > div { display: none } main > div.shown { display: block }
#facts { position: fixed; right: 8px; bottom: 8px; padding: 6px 10px; white-space: pre-line;
  background: Canvas; border: 1px solid #8888; border-radius: 4px } #facts:empty { display: none }
[data-fold], [data-in] { cursor: pointer } svg { border-radius: 6px } .dim { opacity: .25 }
"""
_SCRIPT = """
const views = [...document.querySelectorAll("main > div")];
const search = document.querySelector("input");
const facts = document.getElementById("facts"), count = document.getElementById("count");
const boxes = () => [...document.querySelectorAll("main > div.shown g[data-names]")];
function show(name) {
  views.forEach(view => view.classList.toggle("shown", view.dataset.view === name)); find();
}
function find() {
  const wanted = search.value.trim().toLowerCase(); let found = 0, first = null;
  for (const box of boxes()) {
    const hit = box.dataset.names.toLowerCase().includes(wanted);
    box.classList.toggle("dim", !hit); if (hit) { found++; first ??= box }
  }
  count.textContent = wanted ? found + " found" : "";
  if (wanted && first) first.scrollIntoView({block: "center"});
}
search.addEventListener("input", find);
document.addEventListener("click", event => {
  const box = event.target.closest("g[data-fold], g[data-in], button"); if (!box) return;
  show(box.dataset.fold ?? box.dataset.view ?? "folded");
});
document.addEventListener("mouseover", event => {
  facts.textContent = event.target.closest("g[data-names]")?.dataset.facts ?? "";
});
show("folded");
"""


def drawing_to_html(drawing: Drawing, rankdir: str = "TB") -> str:
    """Returns a drawing as a page of its own. What is folded is what `folds` finds."""
    found = folds(drawing)
    views = [_view(drawing, found, "folded", rankdir)]
    if found:
        views += [_view(drawing, found, f"{i}", rankdir, i) for i in range(len(found))]
        views.append(_view(drawing, [], "all", rankdir))
    title = escape(printable(drawing.name))
    buttons = (
        '<button data-view="folded">fold all</button> <button data-view="all">unfold all</button>'
    )
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body>"
        f'<header><b>{title}</b> <input type="search" placeholder="name, class or shape"> '
        f'{buttons if found else ""} <span id="count"></span></header>'
        f'<main>{"".join(views)}</main><div id="facts"></div>'
        f"<script>{_SCRIPT}</script></body></html>"
    )


def _view(
    drawing: Drawing, found: Sequence[Fold], name: str, rankdir: str, opened: int | None = None
) -> str:
    """Returns the drawing with all folds but one."""
    closed = [fold for i, fold in enumerate(found) if i != opened]
    shown = folded(drawing, closed)
    marks = list(_marks(drawing, found, opened))
    return f'<div data-view="{name}">{drawing_to_svg(shown, rankdir, marks)}</div>'


def _marks(drawing: Drawing, found: Sequence[Fold], opened: int | None) -> Iterator[str]:
    """Yields the attributes of each box that a view shows, for the script."""
    fold_of = {box: i for i, fold in enumerate(found) for box in fold.boxes}
    for number, box in enumerate(drawing.boxes):
        i = fold_of.get(number)
        if i is None or i == opened:
            yield _attributes([box], "" if i is None else f' data-in="{i}"')
        elif number == found[i].boxes[0]:
            yield _attributes([drawing.boxes[n] for n in found[i].boxes], f' data-fold="{i}"')


def _attributes(boxes: Sequence[Box], place: str) -> str:
    names = " ".join(f"{'/'.join(box.path)} {box.title} {box.output}" for box in boxes)
    facts = "\n".join(boxes[0].facts if len(boxes) == 1 else _sums(boxes))
    return f' data-names="{escape(printable(names))}" data-facts="{escape(facts)}"{place}'


def _sums(boxes: Sequence[Box]) -> list[str]:
    last = replace(boxes[-1], params=sum(box.params for box in boxes))
    return [f"{len(boxes)} layers: {boxes[0].path[-1]} ... {last.path[-1]}", *last.facts[1:]]
