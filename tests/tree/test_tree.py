"""`kgraph.tree` walks as `keras.tree` does."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque, namedtuple

import keras
import pytest

from kgraph import tree
from kgraph.errors import ConfigError

Point = namedtuple("Point", "x y")
STRUCTURES = {
    "leaf": 3,
    "none": None,
    "list": [1, [2, 3], ()],
    "dict": {"b": 1, "a": [2, None], "c": {}},
    "ordered": OrderedDict([("b", 1), ("a", {"d": 2, "c": 3})]),
    "default": defaultdict(list, {"b": 1, "a": (2,)}),
    "named": Point(1, {"y": Point([2], 3)}),
    "deque": deque([1, [2]], maxlen=5),
    "numbers as keys": {3: "c", 1: "a", 2: ["b"]},
    "keys of several types": {"b": 1, 2: [3]},
    "text": ["ab", ("cd",)],
}
CALLS = {
    "flatten": lambda t, s: t.flatten(s),
    "flatten_with_path": lambda t, s: t.flatten_with_path(s),
    "is_nested": lambda t, s: t.is_nested(s),
    "map_structure": lambda t, s: t.map_structure(lambda v: (v, "seen"), s),
    "two at a time": lambda t, s: t.map_structure(lambda a, b: (a, b), s, s),
    "none is no leaf": lambda t, s: t.map_structure(lambda v: [v], s, none_is_leaf=False),
    "pack_sequence_as": lambda t, s: t.pack_sequence_as(s, list(range(len(t.flatten(s))))),
    "lists_to_tuples": lambda t, s: t.lists_to_tuples(s),
    "traverse": lambda t, s: t.traverse(lambda v: v * 2 if isinstance(v, int) else None, s),
    "from below": lambda t, s: t.traverse(
        lambda v: len(v) if isinstance(v, (list, tuple)) else None, s, top_down=False
    ),
    "to none": lambda t, s: t.traverse(
        lambda v: t.MAP_TO_NONE if isinstance(v, list) else None, s, top_down=True
    ),
    "same as itself": lambda t, s: t.assert_same_structure(s, s),
    "same paths": lambda t, s: t.assert_same_paths(s, s),
}


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("call", CALLS)
def test_keras_does_the_same(call, structure):
    structure = STRUCTURES[structure]
    ours, theirs = CALLS[call](tree, structure), CALLS[call](keras.tree, structure)
    assert ours == theirs
    assert type(ours) is type(theirs)
    if isinstance(theirs, OrderedDict):
        assert list(ours) == list(theirs)


def test_shapes_and_shallow_structures():
    shapes = {"b": (None, 3), "a": [(2,), [4, 5]]}
    assert tree.map_shape_structure(len, shapes) == keras.tree.map_shape_structure(len, shapes)
    for shallow, deep in (([0, {"a": 0}], [[1, 2], {"a": (3,)}]), (0, [1]), ({"b": 0}, {"b": {}})):
        for count in (1, 2):
            ours = tree.map_structure_up_to(shallow, lambda *v: v, *[deep] * count)
            assert ours == keras.tree.map_structure_up_to(shallow, lambda *v: v, *[deep] * count)


DIFFERENT = [
    ([1, 2], [1]),
    ([1, 2], (1, 2)),
    ({"a": 1}, {"b": 1}),
    ({"a": 1}, {"a": [1]}),
    ([1], 1),
    (1, [1]),
    (Point(1, 2), (1, 2)),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_structures_are_refused_where_keras_refuses_them(one, other):
    for name in ("assert_same_structure", "map_structure"):
        calls = []
        for module in (tree, keras.tree):
            function = getattr(module, name)
            extra = (lambda *_: None,) if name == "map_structure" else ()
            calls.append(lambda f=function, e=extra: f(*e, one, other))
        with pytest.raises(ConfigError, match="the same nested structure"):
            calls[0]()
        with pytest.raises(ValueError):  # noqa: PT011
            calls[1]()


def test_what_else_is_refused():
    with pytest.raises(ConfigError, match=r"the same paths\n.*'a'.*second"):
        tree.assert_same_paths({"a": 1}, {"b": 1})
    tree.assert_same_paths([1, (2,)], ([1, [2]]))
    with pytest.raises(ConfigError, match="another number of values"):
        tree.pack_sequence_as([1, 2], [1])
    for function in (tree.map_structure, lambda f: tree.map_structure_up_to([], f)):
        with pytest.raises(ConfigError, match="at least one structure"):
            function(len)


def test_the_names_are_keras():
    theirs = {name for name in dir(keras.tree) if not name.startswith("_")}
    assert theirs <= set(tree.__all__)
