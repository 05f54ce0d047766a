"""Several forecasts beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kgraph.forecast.display import duration
from kgraph.tables import Table, Tabular, readable

if TYPE_CHECKING:
    from kgraph.forecast.report import Forecast


@dataclass(frozen=True, repr=False)
class Comparison(Tabular):
    """Forecasts to choose from; shown as a table.

    Fields:
        forecasts: a row for each.
    """

    forecasts: tuple[Forecast, ...]

    def _kgraph_table(self) -> Table:
        return Table("Steps beside each other", table_rows(self.forecasts), right=range(1, 9))


def table_rows(forecasts: Sequence[Forecast]) -> list[tuple[str, ...]]:
    """Returns the cells of a table of forecasts, its header first."""
    rows = [
        ("topology", "batch", "layout", "remat", "on each", "fits", "step", "rows/s", "of peak")
    ]
    for one in forecasts:
        options, seconds = one.options, one.step_seconds if one.fits else None
        used = one.flops_utilization if one.fits else None
        rows.append((
            one.where.name, str(options.batch_size), options.layout, str(options.remat or ""),
            readable(one.bytes_per_chip.total), "yes" if one.fits else "NO",
            "" if seconds is None else duration(seconds),
            "" if seconds is None else f"{options.batch_size / seconds:,.0f}",
            "" if used is None else f"{used:.1%}",
        ))  # fmt: skip
    return rows
