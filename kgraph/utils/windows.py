"""Windows that slide over a time series."""

from __future__ import annotations

from typing import Any

import numpy as np

from kgraph.config import next_seed
from kgraph.data import RowDataset
from kgraph.errors import ConfigError, DataError
from kgraph.utils.tensorflow_data import check_format, in_format


def timeseries_dataset_from_array(
    data: Any,
    targets: Any,
    sequence_length: int,
    sequence_stride: int = 1,
    sampling_rate: int = 1,
    batch_size: int | None = 128,
    shuffle: bool = False,
    seed: int | None = None,
    start_index: int | None = None,
    end_index: int | None = None,
    format: str | None = None,
) -> Any:
    """Returns a dataset of windows of a series, for `fit`, `evaluate` and `predict`.

    It has the methods of tf.data (`map`, `filter`, `take`, ...), which grain runs.

    Shapes: `[time, ...]` in; batches of `[batch, sequence_length, ...]` out, and of
    `[batch, ...]` of the targets. Windows are cut when a batch is asked for, so the series is in
    memory once.

    Args:
        data: the series; its first axis is the time.
        targets: `targets[i]` belongs to the window that starts at step i; None for none.
        sequence_length: steps of a window.
        sequence_stride: steps from the start of a window to that of the next.
        sampling_rate: steps between neighbours in a window.
        batch_size: windows per batch; None gives single windows.
        shuffle: whether windows are mixed, anew for each epoch, instead of in order of time.
        seed: of the shuffling.
        start_index, end_index: steps before and from here on are not used.
        format: "tf" for a `tf.data.Dataset`, by TensorFlow; None or "grain" for one of our own,
            in the middle of which training goes on.

    Raises:
        ConfigError: a number is out of range.
        DataError: the series is too short for one window.

    >>> series = np.arange(6)
    >>> x, y = timeseries_dataset_from_array(series, series[3:], 3, batch_size=2)[0]
    >>> x.tolist(), y.tolist()
    ([[0, 1, 2], [1, 2, 3]], [3, 4])
    """
    owner = "timeseries_dataset_from_array"
    check_format(owner, format)
    series = np.asarray(data)
    _check(series, sequence_length, sequence_stride, sampling_rate, start_index, end_index)
    first, stop = start_index or 0, len(series) if end_index is None else end_index
    series = series[first:stop]
    goals = None if targets is None else np.asarray(targets)[first:]
    places = len(series) - (sequence_length - 1) * sampling_rate
    if goals is not None:
        places = min(places, len(goals))
    if places < 1:
        raise DataError(
            "The series is too short for one window",
            expected=f"at least {(sequence_length - 1) * sampling_rate + 1} steps and a target",
            received=f"{len(series)} steps" + ("" if goals is None else f", {len(goals)} targets"),
        )
    starts = np.arange(0, places, sequence_stride)
    steps = np.arange(sequence_length) * sampling_rate

    def take(rows: Any) -> Any:
        windows = series[starts[rows][..., None] + steps]
        return windows if goals is None else (windows, goals[starts[rows]])

    seed = sum(next_seed()) if seed is None else seed
    return in_format(owner, format, RowDataset(len(starts), take, batch_size, shuffle, seed))


def _check(
    series: np.ndarray, length: Any, stride: Any, rate: Any, start: int | None, end: int | None
) -> None:
    most = len(series)
    ranges = {
        "sequence_length": (length, 1, most),
        "sequence_stride": (stride, 1, most - 1),
        "sampling_rate": (rate, 1, most - 1),
        "start_index": (start, 0, most - 1),
        "end_index": (end, (start or 0) + 1, most),
    }
    for name, (value, low, high) in ranges.items():
        if value is not None and not low <= value <= high:
            raise ConfigError(
                f"timeseries_dataset_from_array cannot use this `{name}`",
                expected=f"from {low} to {high} for a series of {most} steps",
                received=repr(value),
            )
