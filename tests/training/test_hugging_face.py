"""The real library `datasets`: right numbers, and training goes on where it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_runs import LABELS, InterruptAt, Interrupted, X, assert_same, compiled, fitted, trained

from kgraph.data import from_hugging_face, mapped
from kgraph.errors import ConfigError, DataError

pytest.importorskip(  # a module of it: a folder of tests has the name of the whole
    "datasets.arrow_dataset", reason="datasets is not installed: pip install 'kgraph-jax[loaders]'"
)
import datasets


def rows() -> Any:
    return datasets.Dataset.from_dict({"x": X.tolist(), "label": LABELS.tolist()})


def by_number() -> Any:
    return from_hugging_face(rows(), "x", "label", batch_size=4, shuffle=True, seed=3)


def stream() -> Any:
    return from_hugging_face(rows().to_iterable_dataset(), "x", "label", batch_size=4)


def shuffled() -> Any:
    stream = rows().to_iterable_dataset(num_shards=2).shuffle(seed=1, buffer_size=5)
    return from_hugging_face(stream, "x", "label", batch_size=4)


def mapped_stream() -> Any:
    batches = rows().to_iterable_dataset().with_format("numpy").batch(4)
    return mapped(batches, lambda rows: (rows["x"], rows["label"]))


@pytest.mark.parametrize("make", [by_number, stream, shuffled, mapped_stream])
def test_training_goes_on_in_the_middle_of_an_epoch(make: Any, tmp_path: Path) -> None:
    history, weights = fitted(make())
    with pytest.raises(Interrupted):
        fitted(make(), tmp_path, callbacks=[InterruptAt(6)])
    again, after = fitted(make(), tmp_path)
    assert again == history
    for one, two in zip(after, weights, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("make", [
    lambda: from_hugging_face(rows(), "x", "label", batch_size=4), stream, mapped_stream,
])  # fmt: skip
def test_numbers_are_those_of_arrays(make: Any) -> None:
    run, by_arrays = trained(compiled(), make()), trained(compiled(), shuffle=False)
    assert_same(run, by_arrays)


def test_each_pass_over_a_shuffled_stream_has_an_order_of_its_own() -> None:
    data = shuffled()
    first, second = (np.concatenate([y for _, y in data]).tolist() for _ in range(2))
    assert sorted(first) == sorted(second) == sorted(LABELS.tolist())
    assert first != second


def test_several_columns_are_a_dict_by_name() -> None:
    dataset = datasets.Dataset.from_dict({"a": [[1.0], [2.0]], "b": [3.0, 4.0], "y": [0, 1]})
    ((x, y),) = from_hugging_face(dataset, ["a", "b"], ["y"], batch_size=8)
    assert x["a"].tolist() == [[1.0], [2.0]]
    assert x["b"].tolist() == [3.0, 4.0]
    assert y["y"].tolist() == [0, 1]
    ((x,),) = from_hugging_face(dataset, "b", batch_size=8)
    assert x.tolist() == [3.0, 4.0]


def test_bad_input() -> None:
    with pytest.raises(DataError, match="columns, and no x and y"):
        compiled().fit(rows(), verbose=0)
    with pytest.raises(DataError, match="columns, and no x and y"):
        compiled().predict(rows().to_iterable_dataset(), verbose=0)
    with pytest.raises(ConfigError, match="has no 'lable'") as error:
        from_hugging_face(rows(), "x", "lable")
    assert "label" in str(error.value)
    with pytest.raises(DataError, match=r"dataset\['train'\]"):
        from_hugging_face(datasets.DatasetDict({"train": rows()}), "x")
    with pytest.raises(DataError, match="shuffles itself"):
        from_hugging_face(rows().to_iterable_dataset(), "x", shuffle=True)
    with pytest.raises(DataError, match="takes a dataset of the library"):
        from_hugging_face(X, "x")
    with pytest.raises(DataError, match="batch_size"):
        from_hugging_face(rows().to_iterable_dataset(), "x", batch_size=0)
    texts = datasets.Dataset.from_dict({"x": ["a", "b"], "label": [0, 1]})
    with pytest.raises(DataError, match="does not hold numbers"):
        compiled().fit(from_hugging_face(texts, "x", "label"), verbose=0)
