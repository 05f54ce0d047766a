"""What would fit: each thing is tried, by compiling it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from kgraph.distribution.fsdp import FSDP
from kgraph.errors import KGraphError, StateError
from kgraph.forecast.table import table_rows
from kgraph.tables import Table, Tabular

if TYPE_CHECKING:
    from kgraph.forecast.report import Forecast

_MOST_BATCHES = 5


@dataclass(frozen=True)
class Tried:
    """One thing that was tried.

    Fields:
        what: was changed, in words.
        forecast: what came of it.
    """

    what: str
    forecast: Forecast


@dataclass(frozen=True, repr=False)
class Advice(Tabular):
    """What was tried to make a step fit; shown as a table.

    Fields:
        tried: in this order.
        refused: what could not be tried, with the reason.
    """

    tried: tuple[Tried, ...]
    refused: tuple[tuple[str, str], ...]

    @property
    def fitting(self) -> tuple[Tried, ...]:
        """Those that fit."""
        return tuple(one for one in self.tried if one.forecast.fits)

    def _kgraph_table(self) -> Table:
        cells = table_rows([one.forecast for one in self.tried])
        names = ["change", *(one.what for one in self.tried)]
        rows = [(name, *row) for name, row in zip(names, cells)]
        refused = [f"not tried: {what}: {reason}" for what, reason in self.refused]
        return Table("What was tried", rows, right=range(2, 10), below=refused)


def advise(forecast: Forecast) -> Advice:
    """Returns what was tried for a step, fitting or not."""
    tried: list[Tried] = []
    refused: list[tuple[str, str]] = []
    for what, make in _attempts(forecast):
        try:
            tried.append(Tried(what, make()))
        except KGraphError as error:
            refused.append((what, error.what))
    return Advice(tuple(tried), tuple(refused))


def _attempts(forecast: Forecast) -> Iterator[tuple[str, Callable[[], Forecast]]]:
    for what, changes in _changes(forecast):
        yield what, partial(forecast.again, **changes)
    if forecast.bytes_per_chip.limit is not None:
        yield "largest batch", partial(_largest_batch, forecast)


def _changes(forecast: Forecast) -> Iterator[tuple[str, dict[str, Any]]]:
    options, where = forecast.options, forecast.where
    training = options.what == "train"
    remat = training and options.remat is None
    if remat:
        yield "remat", {"remat": "blocks"}
    if where.devices > 1 and options.layout == "DataParallel":
        yield "FSDP", {"distribution": FSDP()}
        if remat:
            yield "FSDP and remat", {"distribution": FSDP(), "remat": "blocks"}
    if where.larger is not None:
        yield "a larger slice", {"topology": where.larger.name}


def _largest_batch(forecast: Forecast) -> Forecast:
    """Returns the forecast for the largest batch that fits, in rows for every device; tried.

    Memory grows almost linearly with the batch: where the line through two measurements crosses the
    limit is tried next. A step that does not fit says what it would need, so it is a measurement.

    Raises:
        StateError: no batch fits.
    """
    limit, rows = forecast.bytes_per_chip.limit, forecast.options.batch_size
    parts = forecast.where.devices
    assert limit is not None, "without a limit there is no largest batch"
    known = {rows: forecast}
    guess = rows // 2 if not forecast.fits else 2 * rows
    for _ in range(_MOST_BATCHES):
        size = max(guess // parts, 1) * parts
        if size in known:
            break
        known[size] = forecast.again(batch_size=size)
        guess = _crossing({n: one.bytes_per_chip.total for n, one in known.items()}, limit)
    fitting = [one for one in known.values() if one.fits]
    if not fitting:
        raise StateError(f"a batch of {min(known)} rows does not fit either")
    return max(fitting, key=lambda one: one.options.batch_size)


def _crossing(known: dict[int, int], limit: int) -> int:
    """Returns where the line through the two measurements next to the limit crosses it."""
    (a, low), (b, high) = sorted(sorted(known.items(), key=lambda item: abs(item[1] - limit))[:2])
    slope = (high - low) / (b - a)
    return int(a + (limit - low) / slope) if slope > 0 else 2 * b
