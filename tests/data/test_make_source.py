"""What datasets refuse, and exceptions inside of them."""

from __future__ import annotations

import threading
import traceback

import numpy as np
import pytest
from numbered import Numbered, Reiterable, batch, numbers

from kgraph.data import (
    make_source,
)
from kgraph.errors import DataError


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"y": np.zeros(2)}, "^`y` cannot be given with a dataset"),
        ({"sample_weight": np.zeros(2)}, "^`sample_weight` cannot"),
        ({"y": [0, 1], "sample_weight": [1.0, 1.0]}, "^`y` and `sample_weight` cannot"),
        ({"batch_size": 8}, "^`batch_size` cannot"),
        ({"batch_size": 0}, "^`batch_size` cannot"),
    ],
)
def test_options_of_arrays_are_refused(options, text):
    for dataset in (Numbered(), iter([batch(0)]), Reiterable(2), lambda: iter([batch(0)])):
        with pytest.raises(DataError, match=text):
            make_source(dataset, **options)


class Breaking(Numbered):
    def __init__(self, at, **options):
        super().__init__(**options)
        self.at, self.error = at, OSError("disk")

    def __getitem__(self, index):
        if index == self.at:
            raise self.error
        return batch(index)


@pytest.mark.parametrize("at", [0, 1, 2, 4])
@pytest.mark.parametrize("form", ["generator", "PyDataset", "threads"])
def test_an_exception_in_the_data_arrives_unchanged(at, form):
    dataset = Breaking(at, workers=3 if form == "threads" else 1)
    before = threading.active_count()
    source = make_source(iter(dataset) if form == "generator" else dataset, shuffle=False)
    seen = []
    with pytest.raises(OSError, match="disk") as caught:
        seen.extend(source.epoch(0))
    assert caught.value is dataset.error
    assert "raise self.error" in "".join(traceback.format_exception(caught.value))
    assert numbers(seen) == list(range(at))
    assert threading.active_count() == before


def test_threads_end_when_an_epoch_is_left_in_the_middle():
    before = threading.active_count()
    epoch = make_source(Numbered(50, workers=3)).epoch(0)
    next(epoch)
    assert threading.active_count() > before
    epoch.close()
    assert threading.active_count() == before
