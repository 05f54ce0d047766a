"""Layered drawing, second half: coordinates of boxes and the routes of edges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kgraph.visualization.ranks import Pair, Ranked, rank_boxes

_ITEM_GAP = 26.0
_RANK_GAP = 34.0
_DUMMY = 10.0
_SWEEPS = 6
_BOX_MASS = 1e4

Point = tuple[float, float]


@dataclass
class Layout:
    """Where everything is, in pixels, the origin at the top left.

    Fields:
        width, height: size of the whole.
        centers: the middle of each box.
        routes: for each edge the points on its way. From an even point to the next it runs
            straight, from an odd one in a curve; a route from a box to itself is empty.
    """

    width: float
    height: float
    centers: list[Point]
    routes: list[list[Point]]


def lay_out(sizes: Sequence[Point], edges: Sequence[Pair], rankdir: str = "TB") -> Layout:
    """Returns places for boxes of these sizes (width, height) such that edges point one way."""
    flat = rankdir in ("LR", "RL")
    spans = [(h, w) if flat else (w, h) for w, h in sizes]
    ranked = rank_boxes(len(sizes), edges)
    across = _across(ranked, [span[0] for span in spans])
    bands = _bands(ranked, [span[1] for span in spans])
    width = max((across[i] + spans[i][0] / 2 for i in range(len(sizes))), default=0.0)
    width = max(width, max((x + _DUMMY / 2 for x in across), default=0.0))
    height = bands[-1][1] if bands else 0.0
    middle = [sum(bands[ranked.rank[i]]) / 2 for i in range(len(sizes))]

    def turned(point: Point) -> Point:
        x, y = point
        if rankdir in ("BT", "RL"):
            y = height - y
        return (y, x) if flat else (x, y)

    routes = [
        [turned(point) for point in _route(ranked, pair, chain, across, middle, bands, spans)]
        for pair, chain in zip(edges, ranked.chains)
    ]
    centers = [turned((across[i], middle[i])) for i in range(len(sizes))]
    return Layout(*((height, width) if flat else (width, height)), centers, routes)


def _bands(ranked: Ranked, depths: Sequence[float]) -> list[Point]:
    """Returns start and end of each rank, deep enough for its deepest box."""
    bands: list[Point] = []
    start = 0.0
    for items in ranked.order:
        depth = max((depths[i] for i in items if i < ranked.boxes), default=0.0)
        bands.append((start, start + depth))
        start += depth + _RANK_GAP
    return bands


def _route(
    ranked: Ranked,
    pair: Pair,
    chain: Sequence[int],
    across: Sequence[float],
    middle: Sequence[float],
    bands: Sequence[Point],
    spans: Sequence[Point],
) -> list[Point]:
    """Returns the points of one edge, from its source to its target."""
    if pair[0] == pair[1]:
        return []
    points: list[Point] = []
    for item in chain:
        top, bottom = bands[ranked.rank[item]]
        if item == chain[0]:
            top = middle[item] + spans[item][1] / 2
        elif item == chain[-1]:
            bottom = middle[item] - spans[item][1] / 2
        points += [(across[item], top), (across[item], bottom)]
    return points if chain[0] == pair[0] else points[::-1]


def _across(ranked: Ranked, breadths: Sequence[float]) -> list[float]:
    """Returns the coordinate of each item within its rank: near its neighbours, edges straight."""
    half = [breadths[i] / 2 if i < ranked.boxes else _DUMMY / 2 for i in range(len(ranked.rank))]
    at = [0.0] * len(half)
    for items in ranked.order:
        for item, start in zip(items, _offsets(items, half)):
            at[item] = start
    best, shortest = list(at), _length(ranked, at)
    for _ in range(_SWEEPS):
        for neighbours, ranks in (
            (ranked.above, ranked.order),
            (ranked.below, ranked.order[::-1]),
        ):
            for items in ranks:
                _place(ranked, items, neighbours, half, at)
        length = _length(ranked, at)
        if length < shortest - 1e-6:
            best, shortest = list(at), length
    left = min((at - h for at, h in zip(best, half)), default=0.0)
    return [x - left for x in best]


def _offsets(items: Sequence[int], half: Sequence[float]) -> Iterator[float]:
    """Yields the places of items packed from the left."""
    edge = 0.0
    for item in items:
        yield edge + half[item]
        edge += 2 * half[item] + _ITEM_GAP


def _place(
    ranked: Ranked,
    items: Sequence[int],
    neighbours: Sequence[Sequence[int]],
    half: Sequence[float],
    at: list[float],
) -> None:
    """Moves the items of a rank as near as their order and sizes allow to where they want to be."""
    packed = list(_offsets(items, half))
    wanted, weights = [], []
    for item, offset in zip(items, packed):
        pulls = [(at[n], _weight(ranked, item, n)) for n in neighbours[item]]
        wanted.append((_median(pulls) if pulls else at[item]) - offset)
        # Boxes keep their places and dummies make way: the main line of a model stays straight.
        weights.append(1.0 if item >= ranked.boxes else _BOX_MASS)
    for item, offset, shift in zip(items, packed, _increasing(wanted, weights)):
        at[item] = offset + shift


def _weight(ranked: Ranked, one: int, other: int) -> int:
    """Returns how much it matters that an edge is straight: most within long edges."""
    dummies = (one >= ranked.boxes) + (other >= ranked.boxes)
    return (3, 2, 8)[dummies]


def _median(pulls: list[tuple[float, int]]) -> float:
    """Returns the weighted median; halfway between two values that balance each other."""
    pulls.sort()
    total, seen = sum(weight for _, weight in pulls), 0
    for i, (value, weight) in enumerate(pulls):
        seen += weight
        if 2 * seen == total:
            return (value + pulls[i + 1][0]) / 2
        if 2 * seen > total:
            return value
    return pulls[-1][0]


def _increasing(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Returns the nondecreasing sequence nearest to `values` (least squares, pooled neighbours)."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights):
        pool = (value, weight, 1)
        while pools and pools[-1][0] > pool[0]:
            mean, mass, size = pools.pop()
            total = mass + pool[1]
            pool = ((mean * mass + pool[0] * pool[1]) / total, total, size + pool[2])
        pools.append(pool)
    return [mean for mean, _, size in pools for _ in range(size)]


def _length(ranked: Ranked, at: Sequence[float]) -> float:
    """Returns how far all edges together run sideways."""
    return sum(
        _weight(ranked, item, other) * abs(at[item] - at[other])
        for item, others in enumerate(ranked.below)
        for other in others
    )
