"""Layered drawing, first half: which rank each box is on, and its place within the rank.

Source: Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system
structures", 1981: longest-path ranks, dummy items for long edges, barycentre sweeps.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

_MOST_DUMMIES = 20_000
_SWEEPS = 12

Pair = tuple[int, int]


@dataclass
class Ranked:
    """Items in ranks. Items from `boxes` on are dummies: places that long edges pass through.

    Fields:
        boxes: number of boxes; they are the items 0, 1, ...
        rank: rank of each item.
        order: the items of each rank, from left to right.
        chains: for each edge the items it runs through, from the lower rank to the higher.
        above, below: the neighbours of each item on the ranks before and after its own.
    """

    boxes: int
    rank: list[int]
    order: list[list[int]]
    chains: list[list[int]]
    above: list[list[int]]
    below: list[list[int]]


def rank_boxes(count: int, edges: Sequence[Pair]) -> Ranked:
    """Puts boxes on ranks such that edges lead downwards (but for cycles), with few crossings."""
    forward = _without_cycles(count, edges)
    rank = _longest_paths(count, forward)
    chains, rank = _with_dummies(forward, rank)
    above: list[list[int]] = [[] for _ in rank]
    below: list[list[int]] = [[] for _ in rank]
    for chain in chains:
        for upper, lower in pairwise(chain):
            if rank[lower] == rank[upper] + 1:
                below[upper].append(lower)
                above[lower].append(upper)
    order: list[list[int]] = [[] for _ in range(max(rank, default=-1) + 1)]
    for item, place in enumerate(rank):
        order[place].append(item)
    ranked = Ranked(count, rank, order, chains, above, below)
    _reduce_crossings(ranked)
    return ranked


def _without_cycles(count: int, edges: Sequence[Pair]) -> list[Pair]:
    """Returns the edges with those turned round that lead back to where a walk came from."""
    out: list[list[int]] = [[] for _ in range(count)]
    for number, (source, _) in enumerate(edges):
        out[source].append(number)
    state = [0] * count  # 0 new, 1 on the way, 2 done
    turned: set[int] = set()
    for start in range(count):
        stack = [(start, iter(out[start]))] if state[start] == 0 else []
        state[start] = state[start] or 1
        while stack:
            box, remaining = stack[-1]
            number = next(remaining, None)
            if number is None:
                state[box] = 2
                stack.pop()
                continue
            target = edges[number][1]
            if state[target] == 1:
                turned.add(number)
            elif state[target] == 0:
                state[target] = 1
                stack.append((target, iter(out[target])))
    return [(t, s) if number in turned else (s, t) for number, (s, t) in enumerate(edges)]


def _longest_paths(count: int, edges: Sequence[Pair]) -> list[int]:
    """Returns ranks: one more than the farthest predecessor; inputs come down to their reader."""
    out: list[list[int]] = [[] for _ in range(count)]
    waiting = [0] * count
    for source, target in edges:
        if source != target:
            out[source].append(target)
            waiting[target] += 1
    rank, ready = [0] * count, [box for box in range(count) if not waiting[box]]
    sources = list(ready)
    for box in ready:  # grows while it is read
        for target in out[box]:
            rank[target] = max(rank[target], rank[box] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    for box in sources:
        if out[box]:
            rank[box] = min(rank[target] for target in out[box]) - 1
    return rank


def _with_dummies(edges: Sequence[Pair], rank: list[int]) -> tuple[list[list[int]], list[int]]:
    """Returns the items that each edge runs through, and the ranks with those of the dummies.

    Where a drawing would need too many dummies, the longest edges go straight.
    """
    rank, budget = list(rank), _MOST_DUMMIES
    chains: list[list[int]] = [[] for _ in edges]
    for number in sorted(range(len(edges)), key=lambda n: rank[edges[n][1]] - rank[edges[n][0]]):
        source, target = edges[number]
        between = range(rank[source] + 1, rank[target])
        budget -= len(between)
        dummies = list(range(len(rank), len(rank) + len(between))) if budget >= 0 else []
        rank += between if dummies else ()
        chains[number] = [source, *dummies, target]
    return chains, rank


def _reduce_crossings(ranked: Ranked) -> None:
    """Sorts each rank by the mean place of its neighbours, down and up, and keeps the best."""
    best, fewest = [list(items) for items in ranked.order], _crossings(ranked)
    place = [0] * len(ranked.rank)
    for items in ranked.order:
        _note_places(items, place)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        down = sweep % 2 == 0
        neighbours = ranked.above if down else ranked.below
        for items in ranked.order if down else reversed(ranked.order):
            items.sort(key=lambda item: _mean([place[n] for n in neighbours[item]], place[item]))
            _note_places(items, place)
        found = _crossings(ranked)
        if found < fewest:
            best, fewest = [list(items) for items in ranked.order], found
    ranked.order = best


def _note_places(items: Sequence[int], place: list[int]) -> None:
    for i, item in enumerate(items):
        place[item] = i


def _mean(values: Sequence[int], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _crossings(ranked: Ranked) -> int:
    """Returns how many pairs of edges between neighbouring ranks cross."""
    place = [0] * len(ranked.rank)
    for items in ranked.order:
        _note_places(items, place)
    return sum(
        _inversions(place[lower] for item in items for lower in _sorted(ranked.below[item], place))
        for items in ranked.order
    )


def _sorted(items: Iterable[int], place: Sequence[int]) -> list[int]:
    return sorted(items, key=place.__getitem__)


def _inversions(values: Iterable[int]) -> int:
    seen: list[int] = []
    count = 0
    for value in values:
        count += len(seen) - bisect_right(seen, value)
        insort(seen, value)
    return count
