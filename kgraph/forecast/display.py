"""A forecast as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kgraph.tables import Table, readable

if TYPE_CHECKING:
    from kgraph.forecast.report import Forecast

_ROWS = 30


def forecast_table(forecast: Forecast) -> Table:
    """Returns a forecast as a table of its layers."""
    options, where, took = forecast.options, forecast.where, forecast.compiled
    mesh = ", ".join(f"{name} {size}" for name, size in options.mesh.items())
    step = "A training step" if options.what == "train" else "A prediction"
    devices = f"{where.devices} device{'' if where.devices == 1 else 's'}"
    remat = "" if options.remat is None else f", remat={options.remat!r}"
    title = (
        f"{step} of {options.batch_size} rows on {where.name} ({devices}, mesh {mesh}), "
        f"{options.layout}{remat}"
    )
    if not forecast.fits:
        advice = "forecast.advice tries what would fit"
        return Table(title, [], above=(memory_text(forecast), advice))
    above = memory_text(forecast), *_amounts(forecast), *_exchange_lines(forecast)
    rows, below = ([], []) if forecast.step_seconds is None else _layer_rows(forecast)
    below.append(
        f"lowered in {took.lowering_seconds:.1f} s, compiled in {took.compiling_seconds:.1f} s"
    )
    return Table(title, rows, right=range(1, 5), above=above, below=below)


def memory_text(forecast: Forecast) -> str:
    """Returns one line on memory."""
    need = forecast.bytes_per_chip
    limit = "" if need.limit is None else f" of {readable(need.limit)}"
    if not forecast.fits:
        if need.limit is not None and need.total <= need.limit:  # the compiler does not say
            return f"does NOT fit: needs more than {readable(need.limit)} on each"
        return f"does NOT fit: needs about {readable(need.total)}{limit} on each"
    parts = f"{readable(need.arguments)} arguments, {readable(need.temporary)} temporary"
    return f"{readable(need.total)}{limit} on each: {parts}"


def _amounts(forecast: Forecast) -> Iterator[str]:
    seconds, used = forecast.step_seconds, forecast.flops_utilization
    if seconds is not None and used is not None:
        yield (
            f"at least {duration(seconds)} ({forecast.cycles / 1e6:,.1f} M cycles): at most "
            f"{used:.1%} of the chips' peak are the model's own FLOPs"
        )
    yield f"{metric(forecast.flops, 'FLOP')} and {metric(forecast.bytes_moved, 'B')} on each"
    kernels = forecast.profile.kernel_cycles
    if kernels:
        yield f"of the cycles {kernels / 1e6:,.1f} M are kernels, by what they state or by shapes"
    if forecast.step_seconds is not None and forecast.unknown:
        named = ", ".join(f"{n} x {kind}" for kind, n in forecast.unknown.most_common(5))
        yield f"without an estimate, and not counted: {named}"


def _exchange_lines(forecast: Forecast) -> Iterator[str]:
    calls: Counter[tuple[str, str]] = Counter()
    sizes: Counter[tuple[str, str]] = Counter()
    for one in forecast.collectives:
        key = one.kind, ", ".join(one.axes) or "no axis"
        calls[key] += one.times
        sizes[key] += one.times * one.bytes
    for key, moved in sizes.most_common():
        yield f"{calls[key]} x {key[0]} along {key[1]}: {metric(moved, 'B')}"


def _layer_rows(forecast: Forecast) -> tuple[list[tuple[str, ...]], list[str]]:
    """Returns the rows of the layers that take longest, and a line on the others."""
    clock = forecast.where.chip.clock
    layers = sorted(forecast.layers, key=lambda row: -row.cycles)
    shown = {id(row) for row in layers[:_ROWS]}
    rows: list[tuple[str, ...]] = [("layer", "forward", "again", "backward", "share")]
    for row in forecast.layers:
        if id(row) in shown:
            times = (row.forward, row.recomputed, row.backward)
            rows.append(
                (row.label, *(duration(n / clock) if n else "" for n in times), f"{row.share:.1%}")
            )
    if not any(row[2] for row in rows[1:]):
        rows = [(*row[:2], *row[3:]) for row in rows]
    rest = layers[_ROWS:]
    together = sum(row.share for row in rest)
    return rows, [f"and {len(rest)} more, {together:.1%} together"] if rest else []


def metric(number: float, unit: str) -> str:
    """Returns an amount in units of 1,000."""
    for prefix in ("", "k", "M", "G", "T"):
        if number < 1000:
            return f"{number:.3g} {prefix}{unit}"
        number /= 1000
    return f"{number:.3g} P{unit}"


def duration(seconds: float) -> str:
    """Returns a short time."""
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-4 else f"{seconds * 1e6:.3g} µs"
