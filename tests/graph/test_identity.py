"""When two graphs are equal, and what their content hash counts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kgraph import Input, Model
from kgraph.graph import Graph
from kgraph.layers import Activation, Concatenate, Dense, Dropout

ROOT = Path(__file__).parents[2]


def two_towers(
    units: int = 4,
    name: str | None = None,
    dtype: str | None = None,
    swapped: bool = False,
    constant: float = 2.0,
    size: int = 3,
    rate: float = 0.5,
    as_dict: bool = False,
) -> Graph:
    a, b = Input((size,), name="a"), Input((size,), name="b")
    x = Dense(units, "relu", name=name, dtype=dtype)(a) * constant
    y = Dropout(rate)(b)
    z = Concatenate()([y, x] if swapped else [x, y])
    return Model([a, b], {"z": z} if as_dict else z).graph


def test_the_same_code_twice_gives_equal_graphs():
    one, two = two_towers(), two_towers()
    assert one == two
    assert hash(one) == hash(two)
    assert one.content_hash == two.content_hash
    assert {one: "found"}[two] == "found"


CHANGES: dict[str, dict] = {
    "an option": {"units": 5},
    "an option without weights": {"rate": 0.25},
    "an explicit name": {"name": "tower"},
    "a dtype": {"dtype": "bfloat16"},
    "the wiring": {"swapped": True},
    "a constant": {"constant": 3.0},
    "the type of a constant": {"constant": np.float32(2.0)},
    "an input's size": {"size": 5},
    "the structure": {"as_dict": True},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_graphs_differ_by(change):
    plain, changed = two_towers(), two_towers(**change)
    assert plain != changed
    assert plain.content_hash != changed.content_hash


def test_an_input_more_makes_another_graph():
    a, b = Input((3,)), Input((3,))
    y = Activation("relu")(a)
    assert Model(a, y).graph != Model([a, b], y).graph


def test_sharing_makes_another_graph():
    def graph(shared: bool) -> Graph:
        x = Input((3,))
        first = Dense(3)
        return Model(x, (first if shared else Dense(3))(first(x))).graph

    assert graph(True) == graph(True)
    assert graph(True) != graph(False)


def test_a_class_of_the_users_is_not_a_class_of_kgraphs_with_the_same_name():
    own = Activation

    def graph(cls: Callable) -> Graph:
        x = Input((3,))
        return Model(x, cls("softmax")(x)).graph

    other = type("Activation", (own,), {"__module__": "elsewhere"})
    assert graph(own) != graph(other)


def test_source_lines_do_not_count():
    x = Input((3,))
    one = Model(x, Dense(2)(x)).graph

    x = Input((3,))

    two = Model(x, Dense(2)(x)).graph
    assert one.nodes[-1].source != two.nodes[-1].source
    assert one == two


def test_another_process_with_another_hash_seed_gets_the_same_hash():
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from test_identity import two_towers\n"
        "print(two_towers(as_dict=True).content_hash)"
    )
    paths = [
        str(ROOT),
        str(Path(__file__).parent),
        *filter(None, os.environ.get("PYTHONPATH", "").split(":")),
    ]
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code, *paths],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        assert done.stdout.strip().splitlines()[-1] == two_towers(as_dict=True).content_hash


def test_the_text_of_a_graph_shows_specs_and_wiring():
    text = str(two_towers())
    assert "dense: [batch, 4] float32 = Dense(a)" in text
    assert "concatenate: [batch, 7] float32 = Concatenate(multiply, dropout)" in text
