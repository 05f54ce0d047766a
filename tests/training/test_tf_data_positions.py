"""tf.data with TensorFlow itself: right numbers, and training goes on where it was."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_runs import LABELS, InterruptAt, Interrupted, X, assert_same, compiled, fitted, trained

from kgraph.data import mapped, tensorflow_iterator
from kgraph.errors import DataError
from kgraph.saving.checkpoints import Checkpoint

tf: Any = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")


def rows() -> Any:
    return tf.data.Dataset.from_tensor_slices((X, LABELS))


def shuffled() -> Any:
    return rows().shuffle(9, seed=3).batch(4).prefetch(2)


def endless() -> Any:
    return rows().shuffle(9, seed=3).repeat().batch(4)


def in_threads() -> Any:
    def negated(x: Any, y: Any) -> Any:
        return -x, y

    return rows().cache().shuffle(9, seed=3).map(negated, num_parallel_calls=2).batch(4)


@pytest.mark.parametrize(
    ("make", "step", "share"),
    [(shuffled, 3, 1), (shuffled, 6, 1), (in_threads, 8, 1), (endless, 8, 0), (endless, 8, 1e9)],
)
def test_training_goes_on_in_the_same_order(
    make: Any, step: int, share: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorflow_iterator, "_SHARE", share)
    options: dict[str, Any] = {"steps_per_epoch": 5} if make is endless else {}
    history, weights = fitted(make(), **options)
    with pytest.raises(Interrupted):
        fitted(make(), tmp_path, callbacks=[InterruptAt(step)], **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is said of reading again
        again, after = fitted(make(), tmp_path, **options)
    assert again == history
    for one, two in zip(after, weights, strict=True):
        np.testing.assert_array_equal(one, two)


def test_numbers_are_those_of_arrays() -> None:
    run, by_arrays = trained(compiled(), rows().batch(4)), trained(compiled(), shuffle=False)
    assert_same(run, by_arrays)


@pytest.mark.parametrize("wrapped", [False, True])
def test_places_are_written_down_only_for_a_checkpoint(
    wrapped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    write = tf.train.Checkpoint.write

    def counted(checkpoint: Any, path: str, *rest: Any) -> Any:
        written.append(path)
        return write(checkpoint, path, *rest)

    monkeypatch.setattr(tf.train.Checkpoint, "write", counted)
    data = mapped(shuffled(), lambda x, y: (x, y)) if wrapped else shuffled()
    model = compiled()
    model.fit(data, epochs=2, verbose=0, validation_data=data)
    model.evaluate(data, verbose=0)
    model.predict(data, verbose=0)
    assert written == []
    model.fit(data, epochs=2, verbose=0, validation_data=data, checkpoint=Checkpoint(tmp_path))
    assert len(written) == 2  # the passes of training


def test_a_shuffle_without_a_seed_is_named(tmp_path: Path) -> None:
    tf.random.set_seed(None)  # that of the process would do
    data = rows().shuffle(9).batch(4)
    fitted(data)  # nobody wants to go on
    with pytest.warns(UserWarning, match=r"shuffles without a seed[\s\S]*seed=1"):
        fitted(data, tmp_path)


def test_functions_in_python_cannot_be_written_down(tmp_path: Path) -> None:
    def make() -> Any:
        signature = (tf.TensorSpec(X.shape[1:], tf.float32), tf.TensorSpec((), LABELS.dtype))
        return tf.data.Dataset.from_generator(lambda: zip(X, LABELS), output_signature=signature)

    history, _ = fitted(make().batch(4))
    with pytest.raises(Interrupted):
        fitted(make().batch(4), tmp_path, callbacks=[InterruptAt(6)])
    with pytest.warns(UserWarning, match="cannot tell its position"):
        again, _ = fitted(make().batch(4), tmp_path)
    assert again == history  # it gives the same batches


def test_a_large_buffer_is_not_saved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tensorflow_iterator, "_SHARE", 0)
    monkeypatch.setattr(tensorflow_iterator, "_LARGEST", 0)
    iterator = tensorflow_iterator.iterator_of(endless())
    assert isinstance(iterator, tensorflow_iterator.TensorFlowIterator)
    first = iterator.get_state()["iterator"]
    next(iterator)
    assert iterator.get_state() == {"iterator": first, "batches": 1}


def test_a_place_in_other_data_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        fitted(shuffled(), tmp_path, callbacks=[InterruptAt(6)])
    with pytest.raises(DataError, match="cannot go on where it was"):
        fitted(rows().batch(4), tmp_path)
