"""Large drawings made small: what belongs together by its names, and what is repeated, is one box.

Boxes stand in the order of the graph. Neighbours whose names begin alike (`conv2_block1_1_conv`,
`conv2_block1_1_bn`, ...) make a block; names that kgraph has given say nothing and make none. Where
that is not enough, what stands between two boxes through which all data pass is a block. Then a run
of boxes or blocks that is followed by its like, with equal layers, shapes and edges, is one box for
all of them: `3 x 10 layers`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from kgraph.compiler.costs import Costs
from kgraph.registry import snake_case
from kgraph.visualization.drawing import Box, Drawing, Edge, Options, draw
from kgraph.visualization.heat import Timed, colored
from kgraph.visualization.text import unique

if TYPE_CHECKING:
    from kgraph.models.model import Model

FEW = 40
"""A drawing of so many boxes is legible as it is."""

_LONGEST_RUN = 64
_LEAST_BLOCK = 3
_WIDEST = 46

Item = tuple[int, ...]
"""Boxes, by number, that are drawn as one."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Boxes that are drawn as one: so many blocks of equally many boxes, one after another."""

    boxes: Item
    blocks: int = 1


def drawn(
    model: Model,
    options: Options,
    color_by: str | None = None,
    costs: Costs | None = None,
    forecast: Timed | None = None,
) -> Drawing:
    """Returns the drawing of a model as options ask for it: coloured, folded where it is large."""
    drawing = colored(draw(model, options), model, color_by, costs, forecast)
    fold = len(drawing.boxes) > FEW if options.fold is None else options.fold
    return folded(drawing, folds(drawing)) if fold else drawing


def folds(drawing: Drawing) -> list[Fold]:
    """Returns what can be folded, in the order of the boxes; the finest blocks that suffice."""
    best: list[Fold] = []
    for items in (*(_named_blocks(drawing, depth) for depth in (3, 2, 1)), _wired_blocks(drawing)):
        found = list(_repeats(list(items), _Likeness(drawing)))
        if not best or len(found) < len(best):
            best = found
        if len(best) <= FEW:
            break
    return [fold for fold in best if len(fold.boxes) > 1]


def folded(drawing: Drawing, folds: Sequence[Fold]) -> Drawing:
    """Returns a drawing with one box for each fold."""
    first = {fold.boxes[0]: fold for fold in folds}
    inside = {box for fold in folds for box in fold.boxes[1:]}
    place: dict[int, int] = {}
    boxes: list[Box] = []
    for number, box in enumerate(drawing.boxes):
        if number in inside:
            continue
        members = first[number].boxes if number in first else (number,)
        place.update(dict.fromkeys(members, len(boxes)))
        boxes.append(_together(drawing, first[number]) if number in first else box)
    many = {place[fold.boxes[0]] for fold in folds}
    edges: dict[tuple[int, int, int], bool] = {}
    for number, edge in enumerate(drawing.edges):
        source, target = place[edge.source], place[edge.target]
        if source != target or source not in many:
            key = (source, target, 0 if {source, target} & many else number)
            edges[key] = edges.get(key, False) or edge.masked
    kept = [Edge(source, target, masked) for (source, target, _), masked in edges.items()]
    return replace(drawing, boxes=boxes, edges=kept)


def _named_blocks(drawing: Drawing, depth: int) -> Iterator[Item]:
    """Yields boxes and blocks of boxes whose names have the first `depth` words in common."""

    def key(number: int) -> object:
        box = drawing.boxes[number]
        words = re.split(r"[_/.]", box.path[-1])
        automatic = re.fullmatch(rf"{snake_case(box.title)}(_\d+)?", box.path[-1])
        alone = automatic or len(words) == 1
        return number if alone else (box.group, words[: min(depth, len(words) - 1)])

    for _, numbers in groupby(range(len(drawing.boxes)), key):
        yield from _block(tuple(numbers))


def _wired_blocks(drawing: Drawing) -> Iterator[Item]:
    """Yields boxes, and blocks between boxes that alone are read by what comes after them."""
    last = list(range(len(drawing.boxes)))  # who reads a box last
    for edge in drawing.edges:
        last[edge.source] = max(last[edge.source], edge.target)
    begin, reach = 0, 0
    for number, box in enumerate(drawing.boxes):
        following = drawing.boxes[number + 1 :][:1]
        if reach <= number or any(box.group != after.group for after in following):
            yield from _block(tuple(range(begin, number + 1)))
            begin = number + 1
        reach = max(reach, last[number])


def _block(numbers: Item) -> Iterator[Item]:
    """Yields boxes as one item, or one by one if they are few."""
    yield from [numbers] if len(numbers) >= _LEAST_BLOCK else [(number,) for number in numbers]


def _repeats(items: Sequence[Item], alike: _Likeness) -> Iterator[Fold]:
    """Yields the items, with runs that repeat as one fold: the run that covers most boxes."""
    at = 0
    while at < len(items):
        best = Fold(items[at])
        length = 1
        for period in range(1, min((len(items) - at) // 2, _LONGEST_RUN) + 1):
            blocks = 1
            while alike(items, at, at + blocks * period, period):
                blocks += 1
            boxes = tuple(box for item in items[at : at + blocks * period] for box in item)
            if blocks > 1 and len(boxes) > max(_LEAST_BLOCK - 1, len(best.boxes)):
                best, length = Fold(boxes, blocks), blocks * period
        yield best
        at += length


class _Likeness:
    """Tells whether runs of a drawing's boxes are alike."""

    def __init__(self, drawing: Drawing) -> None:
        self._boxes = drawing.boxes
        self._reads: list[list[int]] = [[] for _ in drawing.boxes]
        for edge in drawing.edges:
            self._reads[edge.target].append(edge.source)

    def __call__(self, items: Sequence[Item], one: int, other: int, length: int) -> bool:
        """Tells it of the runs of `length` items at two places."""
        if other + length > len(items):
            return False
        lefts, rights = items[one : one + length], items[other : other + length]
        return all(
            len(left) == len(right) and all(map(self._are_alike, left, right))
            for left, right in zip(lefts, rights)
        )

    def _are_alike(self, one: int, other: int) -> bool:
        a, b = self._boxes[one], self._boxes[other]
        return (
            (a.title, a.output, a.params, a.group) == (b.title, b.output, b.params, b.group)
            and len(self._reads[one]) == len(self._reads[other])
            and all(
                x == y or one - x == other - y
                for x, y in zip(sorted(self._reads[one]), sorted(self._reads[other]))
            )
        )


def _together(drawing: Drawing, fold: Fold) -> Box:
    """Returns the box that stands for a fold."""
    boxes = [drawing.boxes[number] for number in fold.boxes]
    each = boxes[: len(boxes) // fold.blocks]
    times = f"{fold.blocks} x " if fold.blocks > 1 else ""
    title = times + (f"{len(each)} layers" if len(each) > 1 else each[0].title)
    names = unique([boxes[0].path[-1], boxes[-1].path[-1]])
    kinds = ", ".join(unique(box.title for box in each)) if len(each) > 1 else ""
    kinds = kinds if len(kinds) <= _WIDEST else kinds[: _WIDEST - 4].rpartition(",")[0] + ", ..."
    lines = [" ... ".join(names), *([kinds] if kinds else [])]
    lines += [f"output: {boxes[-1].output}"] if any("output:" in x for x in each[0].lines) else []
    color = max((box.color for box in boxes if box.color), default=None)
    params = sum(box.params for box in boxes)
    last, group = boxes[-1], boxes[0].group
    return Box(boxes[0].path, title, tuple(lines), group, last.output, params, color=color)
