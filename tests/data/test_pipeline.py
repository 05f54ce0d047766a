"""map, filter, take and the rest on datasets of rows, files and windows: what tf.data does."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import kgraph
from kgraph.data import RowDataset
from kgraph.data.pipeline import INFINITE, UNKNOWN, Pipeline
from kgraph.errors import ConfigError, DataError

pytest.importorskip("grain")


def rows(count: int = 10, **options: Any) -> RowDataset:
    return RowDataset(count, lambda r: (np.asarray(r) * 1.0, np.asarray(r)), 2, **options)


def items(dataset: Any) -> list[list[int]]:
    return [y.tolist() for _, y in dataset]


def test_steps_follow_each_other() -> None:
    data = rows().map(lambda x, y: (x + 1, y * 10), num_parallel_calls=-1).prefetch(-1)
    assert items(data) == [[0, 10], [20, 30], [40, 50], [60, 70], [80, 90]]
    assert items(data.take(2)) == [[0, 10], [20, 30]]
    assert items(data.skip(3)) == [[60, 70], [80, 90]]
    assert items(data.take(-1).skip(-1)) == []
    assert items(data.skip(4).repeat(2)) == [[80, 90], [80, 90]]
    assert items(data.filter(lambda x, y: y.sum() > 100)) == [[60, 70], [80, 90]]
    assert items(data.filter(lambda x, y: x[0] > 1).take(1).repeat(2)) == [[20, 30]] * 2
    assert items(data.batch(2)) == [[[0, 10], [20, 30]], [[40, 50], [60, 70]], [[80, 90]]]
    assert len(data.batch(2, drop_remainder=True)) == 2


def test_an_item_that_is_no_tuple_reaches_a_function_whole() -> None:
    windows = kgraph.utils.timeseries_dataset_from_array(np.arange(6), None, 3, batch_size=2)
    assert [x.tolist() for x in windows.map(lambda x: x.sum(1))] == [[3, 6], [9, 12]]


def test_cardinality_says_how_many_or_why_not() -> None:
    data = rows()
    counts = [data, data.take(3), data.repeat(2), data.batch(4)]
    assert [d.cardinality() for d in counts] == [5, 3, 10, 2]
    assert data.repeat().cardinality() == INFINITE
    assert data.filter(lambda x, y: True).cardinality() == UNKNOWN
    for endless in (data.repeat(), data.repeat(-1), data.filter(lambda x, y: True)):
        with pytest.raises(TypeError, match="no length"):
            len(endless)


def test_each_pass_mixes_anew_and_the_same_seed_alike() -> None:
    data = rows(40).shuffle(40, seed=3)
    first, second = items(data), items(data)
    assert first != second
    assert sorted(first) == sorted(second) == sorted(items(rows(40)))
    assert items(rows(40).shuffle(40, seed=3)) == first
    still = rows(40).shuffle(40, seed=3, reshuffle_each_iteration=False)
    assert items(still) == items(still) == first
    own = rows(40, shuffle=True, seed=1).map(lambda x, y: (x, y))  # as the dataset itself does
    assert items(own) != items(own)
    near = rows(40).filter(lambda x, y: True).shuffle(4, seed=3)
    assert sorted(items(near)) == sorted(first)


def test_a_cache_makes_each_item_once() -> None:
    made: list[int] = []

    def counted(x: Any, y: Any) -> Any:
        made.append(int(y[0]))
        return x, y

    data = rows().map(counted).cache()
    assert items(data) == items(data)
    assert sorted(made) == [0, 2, 4, 6, 8]


def test_it_goes_on_where_it_was() -> None:
    def made() -> Pipeline:
        return rows(20, shuffle=True, seed=5).shuffle(9, seed=1).map(lambda x, y: (x, -y)).take(8)

    data = made()
    items(data)
    stream = iter(data)
    for _ in range(2):
        next(stream)
    place, rest = data.get_state(), items(stream)
    again = made()
    again.set_state(place)
    assert items(again) == rest
    assert items(again) == items(data)  # the pass behind it


def test_models_take_them() -> None:
    def take(r: Any) -> Any:
        return np.ones((np.size(r), 3), "float32"), np.ones((np.size(r), 1), "float32")

    model = kgraph.Sequential([kgraph.Input((3,)), kgraph.layers.Dense(1)])
    model.compile("sgd", "mse")
    data = RowDataset(16, take, 8).map(lambda x, y: (2 * x, y))
    model.fit(data.repeat(), steps_per_epoch=2, epochs=2, verbose=0, validation_data=data)
    assert model.predict(data.map(lambda x, y: x), verbose=0).shape == (16, 1)


def test_what_cannot_be_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="needs a function"):
        rows().map(3)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="skip comes before filter"):
        rows().filter(lambda x, y: True).skip(1)
    with pytest.raises(DataError, match="batch_size"):
        rows().batch(0)
    monkeypatch.setitem(sys.modules, "grain", None)
    with pytest.raises(ConfigError, match=r"need grain[\s\S]*kgraph-jax\[data\]"):
        rows().map(lambda x, y: x)
