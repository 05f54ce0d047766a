"""Interleaved timing: every contender runs in every round, and ratios are taken within rounds.

Amounts that do not vary, such as bytes, stand in the same table.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from kgraph.forecast.display import metric

Run = Callable[[], object]


@dataclass(frozen=True)
class Result:
    """One contender's times (seconds for each unit) and ratios to the baseline of its round.

    Of amounts (`is_time=False`) the numbers are of the unit itself, and there is one of each.
    """

    benchmark: str
    contender: str
    unit: str
    median: float
    low: float
    high: float
    ratio: float
    ratio_low: float
    ratio_high: float
    is_time: bool = True

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def race(
    benchmark: str,
    contenders: Mapping[str, Run],
    units: int = 1,
    unit: str = "run",
    rounds: int = 5,
    before: Run = lambda: None,
) -> list[Result]:
    """Times the contenders in turn, `rounds` times; the first of them is the baseline.

    Args:
        benchmark: name for the table.
        contenders: what to run, warmed up already (compiled, cached).
        units: how many units (steps, say) one run does.
        unit: what a unit is called.
        rounds: how often each runs.
        before: what is done before each run, and not timed.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for i in range(rounds):
        order = list(contenders)
        for name in order[i % len(order) :] + order[: i % len(order)]:
            before()
            start = time.perf_counter()
            contenders[name]()
            times[name].append((time.perf_counter() - start) / units)
    return summarize(benchmark, times, unit)


def summarize(benchmark: str, times: Mapping[str, list[float]], unit: str) -> list[Result]:
    """Returns a result for each contender; ratios are to the first, round by round."""
    baseline = next(iter(times.values()))
    results = []
    for name, own in times.items():
        ratios = [mine / base for mine, base in zip(own, baseline, strict=True)]
        results.append(
            Result(
                benchmark, name, unit, statistics.median(own), min(own), max(own),
                statistics.median(ratios), min(ratios), max(ratios),
            )
        )  # fmt: skip
    return results


def amounts(benchmark: str, sizes: Mapping[str, float], unit: str) -> list[Result]:
    """Returns a result for each contender; ratios are to the first."""
    first = next(iter(sizes.values()))
    return [
        Result(benchmark, name, unit, *(size,) * 3, *(size / first,) * 3, is_time=False)
        for name, size in sizes.items()
    ]


def table(results: list[Result]) -> str:
    """Returns the results as a Markdown table."""
    lines = [
        "| benchmark | contender | median | spread | ratio | spread |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for r in results:
        if not r.is_time:
            shown = metric(r.median, r.unit)
            lines.append(f"| {r.benchmark} | {r.contender} | {shown} | | {r.ratio:.2f} | |")
            continue
        spread = f"{show(r.low)} to {show(r.high)}"
        ratios = f"{r.ratio_low:.2f} to {r.ratio_high:.2f}"
        lines.append(
            f"| {r.benchmark} | {r.contender} | {show(r.median)} / {r.unit} | {spread} "
            f"| {r.ratio:.2f} | {ratios} |"
        )
    return "\n".join(lines)


def show(seconds: float) -> str:
    """Returns a time with a fitting unit."""
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= factor:
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
