"""The real PyTorch: its loaders give the right numbers, and go on where they were or say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_runs import LABELS, InterruptAt, Interrupted, X, assert_same, compiled, fitted, trained

from kgraph.errors import DataError

torch = pytest.importorskip("torch", reason="torch is not installed")
data = torch.utils.data


def dataset() -> Any:
    return data.TensorDataset(torch.from_numpy(X), torch.from_numpy(LABELS))


def loader(**options: Any) -> Any:
    return data.DataLoader(dataset(), batch_size=4, **options)


def stateful() -> Any:
    loaders = pytest.importorskip("torchdata.stateful_dataloader")
    sampler = data.RandomSampler(dataset(), generator=torch.Generator().manual_seed(3))
    return loaders.StatefulDataLoader(dataset(), batch_size=4, sampler=sampler)


def test_a_loader_gives_the_numbers_of_arrays() -> None:
    run, by_arrays = trained(compiled(), loader()), trained(compiled(), shuffle=False)
    assert_same(run, by_arrays)
    model, whole = run.model, by_arrays.model
    np.testing.assert_allclose(
        model.evaluate(loader(), verbose=0), whole.evaluate(X, LABELS, 4, verbose=0), rtol=1e-6
    )
    alone = data.DataLoader(data.TensorDataset(torch.from_numpy(X)), batch_size=4)
    np.testing.assert_allclose(
        model.predict(alone, verbose=0), whole.predict(X, 4, verbose=0), rtol=1e-5
    )


@pytest.mark.filterwarnings("ignore:.*set_vital")  # torchdata's own
@pytest.mark.parametrize("batch", [2, 4])  # in later passes torchdata 0.11 repeats rows itself
def test_a_stateful_loader_goes_on_exactly(batch: int, tmp_path: Path) -> None:
    history, weights = fitted(stateful())
    with pytest.raises(Interrupted):
        fitted(stateful(), tmp_path, callbacks=[InterruptAt(batch)])
    again, after = fitted(stateful(), tmp_path)
    assert again == history
    for one, two in zip(after, weights, strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_loader_without_a_place_is_read_again_with_a_warning(tmp_path: Path) -> None:
    history, weights = fitted(loader())
    with pytest.raises(Interrupted):
        fitted(loader(), tmp_path, callbacks=[InterruptAt(6)])
    with pytest.warns(UserWarning, match="cannot tell its position"):
        again, after = fitted(loader(), tmp_path)
    assert again == history
    for one, two in zip(after, weights, strict=True):
        np.testing.assert_array_equal(one, two)


def test_single_rows_are_refused() -> None:
    with pytest.raises(DataError, match="torch dataset of single rows"):
        compiled().fit(dataset(), verbose=0)
