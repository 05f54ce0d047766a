"""The layered layout: boxes do not touch, edges lead one way, cycles and long edges are drawn."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgraph.visualization.layout import lay_out
from kgraph.visualization.ranks import rank_boxes

RESIDUAL = [(0, 1), (1, 2), (2, 3), (0, 3)]


@st.composite
def drawings(draw):
    """Sizes of boxes and edges between them: mostly forwards, some backwards, loops, repeats."""
    count = draw(st.integers(1, 9))
    sizes = [(draw(st.integers(20, 200)), draw(st.integers(20, 90))) for _ in range(count)]
    box = st.integers(0, count - 1)
    return sizes, draw(st.lists(st.tuples(box, box), max_size=14))


@settings(max_examples=60, deadline=None)
@given(drawing=drawings(), rankdir=st.sampled_from(["TB", "BT", "LR", "RL"]))
def test_boxes_are_inside_and_apart(drawing, rankdir):
    sizes, edges = drawing
    layout = lay_out(sizes, edges, rankdir)
    spans = [
        (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        for (x, y), (w, h) in zip(layout.centers, sizes)
    ]
    for left, top, right, bottom in spans:
        assert left >= -1e-6
        assert top >= -1e-6
        assert right <= layout.width + 1e-6
        assert bottom <= layout.height + 1e-6
    for one, other in itertools.combinations(spans, 2):
        apart_sideways = one[2] < other[0] + 1e-6 or other[2] < one[0] + 1e-6
        apart_lengthways = one[3] < other[1] + 1e-6 or other[3] < one[1] + 1e-6
        assert apart_sideways or apart_lengthways


@settings(max_examples=60, deadline=None)
@given(drawing=drawings())
def test_routes_start_and_end_at_their_boxes(drawing):
    sizes, edges = drawing
    layout = lay_out(sizes, edges)
    assert len(layout.routes) == len(edges)
    for (source, target), route in zip(edges, layout.routes):
        assert bool(route) == (source != target)
        for box, end in zip((source, target), (*route[:1], *route[-1:])):
            x, y = layout.centers[box]
            assert end[0] == pytest.approx(x)
            assert abs(end[1] - y) == pytest.approx(sizes[box][1] / 2)
        assert all(math.isfinite(c) for point in route for c in point)


@pytest.mark.parametrize("rankdir", ["TB", "BT", "LR", "RL"])
def test_edges_lead_in_the_direction_of_the_drawing(rankdir):
    layout = lay_out([(60, 30)] * 4, RESIDUAL, rankdir)
    axis, sign = (1 if rankdir in ("TB", "BT") else 0), (1 if rankdir in ("TB", "LR") else -1)
    for source, target in RESIDUAL:
        assert sign * (layout.centers[target][axis] - layout.centers[source][axis]) > 0


def test_the_main_line_of_residual_blocks_is_straight_and_shortcuts_go_round():
    blocks = RESIDUAL + [(source + 3, target + 3) for source, target in RESIDUAL]
    layout = lay_out([(width, 30) for width in (150, 120, 90, 200, 100, 160, 60)], blocks)
    places = [x for x, _ in layout.centers]
    assert max(places) - min(places) < 1
    for shortcut in (layout.routes[3], layout.routes[7]):
        assert max(abs(x - places[0]) for x, _ in shortcut) > 30


def test_an_input_comes_down_to_its_reader():
    ranked = rank_boxes(5, [(0, 1), (1, 2), (2, 4), (3, 4)])
    assert ranked.rank[:5] == [0, 1, 2, 2, 3]


def test_crossings_that_need_not_be_are_removed():
    ranked = rank_boxes(6, [(0, 5), (1, 4), (2, 3)])
    first, second = ranked.order
    assert second == [5 - box for box in first]


def test_a_cycle_is_ranked_with_one_edge_turned_round():
    ranked = rank_boxes(3, [(0, 1), (1, 2), (2, 1)])
    assert ranked.rank[:3] == [0, 1, 2]


def test_ten_thousand_boxes_in_a_row_and_an_edge_past_them():
    count = 10_000
    edges = [(i, i + 1) for i in range(count - 1)] + [(0, count - 1)]
    layout = lay_out([(40, 20)] * count, edges)
    assert layout.centers[-1][1] > layout.centers[0][1]
    assert len(layout.routes[-1]) == 2 * count


def test_where_dummies_would_be_too_many_the_longest_edges_go_straight():
    count = 400
    edges = [(i, i + 1) for i in range(count - 1)] + [(i, count - 1) for i in range(count - 2)]
    layout = lay_out([(40, 20)] * count, edges)
    assert len(layout.routes[count - 1]) == 4
    assert len(layout.routes[-1]) == 6


def test_nothing_has_no_size():
    layout = lay_out([], [])
    assert (layout.width, layout.height) == (0, 0)
