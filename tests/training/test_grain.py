"""The real grain: its datasets and loaders give the right numbers, and go on where they were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_runs import LABELS, InterruptAt, Interrupted, X, assert_same, compiled, fitted, trained

from kgraph.data import make_source, mapped
from kgraph.errors import DataError
from kgraph.saving.checkpoints import Checkpoint

grain = pytest.importorskip(
    "grain", reason="grain is not installed: pip install 'kgraph-jax[data]'"
)

EPOCHS = 3


class Rows:
    """The rows of the tests by number, as grain wants a source."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: Any) -> Any:
        return X[index], LABELS[index]

    def __repr__(self) -> str:
        return "Rows()"


def noisy(row: Any, random: np.random.Generator) -> Any:
    x, label = row
    return x + random.normal(size=x.shape).astype("float32"), label


def shuffled() -> Any:
    return grain.MapDataset.source(Rows()).seed(3).shuffle().random_map(noisy)


def loader(seed: int = 3) -> Any:
    sampler = grain.samplers.IndexSampler(
        len(X), grain.sharding.NoSharding(), shuffle=True, num_epochs=1, seed=seed
    )
    return grain.DataLoader(
        data_source=Rows(), sampler=sampler, operations=[grain.transforms.Batch(4)], worker_count=0
    )


def windowed() -> Any:
    rows = grain.MapDataset.source(Rows()).to_iter_dataset()
    return grain.experimental.WindowShuffleIterDataset(rows, window_size=5, seed=1).batch(4)


def elastic() -> Any:
    rows = grain.MapDataset.source(Rows()).seed(3).shuffle().repeat(9)
    return grain.experimental.ElasticIterator(rows, 4, grain.sharding.NoSharding())


def twice(x: Any, y: Any) -> Any:
    return 2 * x, y


KINDS: dict[str, Any] = {
    "MapDataset": (lambda: shuffled().batch(4), {}),
    "MapDataset of 9 passes": (lambda: shuffled().repeat(9).batch(4), {"steps_per_epoch": 3}),
    "IterDataset": (lambda: shuffled().to_iter_dataset().batch(4), {}),
    "IterDataset by parts": (
        lambda: shuffled().to_iter_dataset().batch(4), {"steps_per_epoch": 3},
    ),
    "filtered": (
        lambda: shuffled().filter(lambda row: row[1] > 0).to_iter_dataset().batch(2), {},
    ),
    "windowed": (windowed, {}),
    "DataLoader": (loader, {}),
    "iterator": (lambda: iter(shuffled().repeat(9).batch(4)), {"steps_per_epoch": 4}),
    "elastic": (elastic, {"steps_per_epoch": 3}),
    "mapped": (lambda: mapped(shuffled().batch(4), twice), {}),
}  # fmt: skip
"""What makes each, and with which arguments of fit."""


def fit(kind: str, folder: Path | None = None, **more: Any) -> tuple[Any, Any]:
    make, options = KINDS[kind]
    return fitted(make(), folder, EPOCHS, **options, **more)


@pytest.mark.parametrize("make", [
    lambda: grain.MapDataset.source(Rows()).batch(4),
    lambda: grain.MapDataset.source(Rows()).to_iter_dataset().batch(4),
    lambda: grain.DataLoader(
        data_source=Rows(), operations=[grain.transforms.Batch(4)], worker_count=0,
        sampler=grain.samplers.SequentialSampler(len(X), grain.sharding.NoSharding()),
    ),
], ids=["MapDataset", "IterDataset", "DataLoader"])  # fmt: skip
def test_grain_gives_the_numbers_of_arrays(make: Any) -> None:
    run, by_arrays = trained(compiled(), make()), trained(compiled(), shuffle=False)
    assert_same(run, by_arrays)
    model, whole = run.model, by_arrays.model
    np.testing.assert_allclose(
        model.evaluate(make(), verbose=0), whole.evaluate(X, LABELS, 4, verbose=0), rtol=1e-6
    )
    np.testing.assert_allclose(
        model.predict(make(), verbose=0), whole.predict(X, 4, verbose=0), rtol=1e-5
    )


QUICK = [("IterDataset", (4,)), ("DataLoader", (2,))]
"""Kinds and batches that the quick run tries: at the end of an epoch, and in its middle."""
CASES = [pytest.param(*case, id=f"few {case[0]}") for case in QUICK]
CASES += [pytest.param(kind, (2, 6), id=kind, marks=pytest.mark.slow) for kind in KINDS]


@pytest.mark.filterwarnings("ignore:The data ran out in epoch")
@pytest.mark.parametrize(("kind", "batches"), CASES)
def test_interrupted_at_any_batch_it_goes_on_exactly(
    kind: str, batches: tuple[int, ...], tmp_path: Path
) -> None:
    expected = fit(kind)
    for batch in batches:
        folder = tmp_path / str(batch)
        with pytest.raises(Interrupted):
            fit(kind, folder, callbacks=[InterruptAt(batch)])
        history, weights = fit(kind, folder)
        assert history == expected[0], batch
        for ours, theirs in zip(weights, expected[1], strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_position_reads_nothing_again() -> None:
    read: list[int] = []

    class Noted(Rows):
        def __getitem__(self, index: Any) -> Any:
            read.append(index)
            return super().__getitem__(index)

    def noted() -> Any:
        return make_source(grain.MapDataset.source(Noted()).to_iter_dataset(
            grain.ReadOptions(num_threads=0)).batch(4))  # fmt: skip

    source = noted()
    batches = source.epoch(0)
    next(batches), next(batches)
    position = source.get_position()
    batches.close()
    read.clear()
    later = noted()
    later.set_position(position, 2)
    next(later.epoch(0, 2))
    assert sorted(read) == [8, 9, 10, 11]


def test_another_loader_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        fit("DataLoader", tmp_path, callbacks=[InterruptAt(2)])
    text = r"DataLoader cannot go on where it was[\s\S]*seed=3[\s\S]*in the same way"
    with pytest.raises(DataError, match=text):
        compiled().fit(
            loader(seed=4), epochs=EPOCHS, verbose=0, checkpoint=Checkpoint(tmp_path, every=1)
        )


def test_the_error_of_a_source_arrives_as_it_is() -> None:
    def wrong(row: Any) -> Any:
        raise ValueError("the row is wrong")

    data = grain.MapDataset.source(Rows()).map(wrong).batch(4)
    with pytest.raises(ValueError, match="the row is wrong"):
        compiled().fit(data, verbose=0)


def rows_of(batches: Iterator[Any]) -> list[int]:
    return [int(label) for batch in batches for label in batch[1]]


def test_shards_of_processes_make_up_each_batch() -> None:
    class Numbers:
        def __len__(self) -> int:
            return 16

        def __getitem__(self, index: Any) -> Any:
            return np.zeros(2, "float32"), index

    def part(index: int, count: int) -> list[int]:
        cut = grain.sharding.ShardOptions(index, count, drop_remainder=True)
        data = grain.MapDataset.source(Numbers()).shuffle(seed=2)
        source = make_source(grain.experimental.ElasticIterator(data, 4, cut))
        return rows_of(source.epoch(0))

    whole = part(0, 1)
    first, second = part(0, 2), part(1, 2)
    for step in range(4):
        both = {*first[2 * step : 2 * step + 2], *second[2 * step : 2 * step + 2]}
        assert both == set(whole[4 * step : 4 * step + 4])
