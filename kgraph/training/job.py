"""Job: where the time of a training goes, and how much is done in it."""

from __future__ import annotations

import contextlib
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import jax
import numpy as np

from kgraph.distribution.chips import peak_flops
from kgraph.errors import ConfigError
from kgraph.training.placement import Placement
from kgraph.training.profiling import Profile
from kgraph.training.step import Batch

Activity: TypeAlias = Literal["steps", "data", "compile", "save", "restore", "restart", "other"]
LOST: tuple[Activity, ...] = ("compile", "save", "restore", "restart")
Form: TypeAlias = tuple[tuple[tuple[int, ...], np.dtype[Any]], ...]
"""Shape (without the rows) and dtype of each input of a batch."""


def form_of(batch: Batch) -> Form:
    """Returns what the inputs of a batch look like, apart from the number of rows."""
    return tuple((leaf.shape[1:], leaf.dtype) for leaf in jax.tree.leaves(batch.inputs))


@dataclass(frozen=True)
class Totals:
    """What a job has come to.

    Fields:
        seconds: by what they went into. All of them together are the time since it began.
        steps: how many were handed over in this run.
        rows: of these steps, by what the inputs looked like.
    """

    seconds: Mapping[Activity, float]
    steps: int
    rows: Counter[Form]


class Job:
    """What a training, over all its runs, does with its time; a look at a clock for each block.

    Each moment belongs to one activity. What the device does while the host waits for data, say, is
    not asked: to wait for its answer would cost more than the rest.

    Attributes:
        is_told: whether loggers write about it.
        profile: the steps that a callback wants a trace of.
        devices: on which it runs, those of other processes included.
        flops: of one row of a training step, by what the inputs look like; None if unknown.

    Args:
        clock: returns seconds; for tests.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.is_told = False
        self.profile: Profile | None = None
        self.devices: Sequence[Any] = ()
        self.flops: Callable[[Form], float | None] = lambda form: None
        self._clock, self._since, self._began = clock, clock(), time.time()
        self._doing: Activity = "other"
        every: tuple[Activity, ...] = ("steps", "data", *LOST, "other")
        self._seconds = dict.fromkeys(every, 0.0)
        self._steps, self._rows = 0, Counter[Form]()

    def runs_on(
        self, placement: Placement | None, flops: Callable[[Form], float | None], is_saved: bool
    ) -> None:
        """Takes what it has: devices, what a row takes, whether there is a checkpoint."""
        if placement is None:
            self.devices = jax.local_devices()[:1]
        else:
            self.devices = list(placement.distribution.device_mesh.backend_mesh.devices.flat)
        self.flops, self.is_told = flops, is_saved or len(self.devices) > 1

    @contextlib.contextmanager
    def spending(self, activity: Activity) -> Iterator[None]:
        """Says what the time of the block goes into, but for that of a block within it."""
        before = self._turn_to(activity)
        try:
            yield
        finally:
            self._turn_to(before)

    def _turn_to(self, activity: Activity) -> Activity:
        now = self._clock()
        self._seconds[self._doing] += now - self._since
        before, self._doing, self._since = self._doing, activity, now
        return before

    def compiled(self, seconds: float) -> None:
        """Takes in that so much of what just went by was the compiler's."""
        self._seconds[self._doing] -= seconds
        self._seconds["compile"] += seconds

    def handed_over(self, steps: int, rows: int, form: Form) -> None:
        """Takes in that so many steps, of so many rows in all, have been handed over."""
        self._steps += steps
        self._rows[form] += rows

    def totals(self) -> Totals:
        """Returns what it has come to by now."""
        self._turn_to(self._doing)
        return Totals(dict(self._seconds), self._steps, Counter(self._rows))

    # --- over several runs -----------------------------------------------------------------------

    def saved(self, ended: bool) -> dict[str, Any]:
        """Returns what a checkpoint keeps of it.

        Args:
            ended: whether the training is over, so that nothing is lost until it is gone on with.
        """
        return {"seconds": self.totals().seconds, "time": None if ended else time.time()}

    def resume(self, saved: Mapping[str, Any]) -> None:
        """Goes on from what `saved` returned: the time since then is lost, with what was done."""
        for activity, seconds in saved["seconds"].items():
            self._seconds[activity] += seconds
        if saved["time"] is not None:  # clocks may be set back
            self._seconds["restart"] += max(0.0, self._began - saved["time"])


class Meter:
    """Reads what a job has done since the last reading.

    Args:
        job: None for a loop that tells of none.
    """

    def __init__(self, job: Job | None) -> None:
        self._job = job
        self._before = None if job is None else job.totals()

    def read(self) -> dict[str, float]:
        """Returns the numbers that `JobMetrics` describes; none of a job that is not told of."""
        job, before = self._job, self._before
        if job is None or before is None or not job.is_told:
            return {}
        now = self._before = job.totals()
        waited = now.seconds["data"] - before.seconds["data"]
        seconds = now.seconds["steps"] - before.seconds["steps"] + waited
        steps = now.steps - before.steps
        found: dict[str, float] = {}
        if steps > 0 and seconds > 0:
            rows = now.rows - before.rows
            found = {"step_seconds": seconds / steps} | _rates(job, rows, seconds)
            found["data_wait"] = waited / seconds
        if peak := max(map(_peak_bytes, job.devices), default=0):
            found["peak_bytes"] = peak
        lost = {name: now.seconds[name] for name in LOST}
        found |= {f"{name}_seconds": value for name, value in lost.items()}
        found["goodput"] = 1 - sum(lost.values()) / sum(now.seconds.values())
        return found


def meter_of(model: Any) -> Meter:
    """Returns what reads the job of a model's training; nothing, in a loop that is not `fit`."""
    return Meter(job_of(model))


def job_of(model: Any) -> Job | None:
    """Returns the job of the `fit` that a model is in."""
    record = getattr(model, "_kgraph", None)
    return getattr(getattr(record, "trainer", None), "job", None)


def begin_profile(model: Any, profile: Profile | None) -> None:
    """Has the `fit` that a model is in write a trace.

    Raises:
        ConfigError: it writes one already; or the loop is not `fit`.
    """
    if profile is None:
        return
    job = job_of(model)
    if job is None or job.profile is not None:
        raise ConfigError(
            "Steps can be traced by `fit` alone" if job is None else "A `fit` writes one trace",
            received=f"steps {profile.first} to {profile.last} for {profile.folder!r}",
            hint="with jax.profiler.trace(folder): ..." if job is None else None,
        )
    job.profile = profile


def _peak_bytes(device: Any) -> int:
    """Returns the most bytes of a device that were in use at once; 0 where it does not say."""
    if device.process_index != jax.process_index():
        return 0
    return (device.memory_stats() or {}).get("peak_bytes_in_use", 0)


def _rates(job: Job, rows: Counter[Form], seconds: float) -> dict[str, float]:
    """Returns how much is done in a second."""
    found = {"examples_per_second": rows.total() / seconds}
    if tokens := sum(number * _tokens(form) for form, number in rows.items()):
        found["tokens_per_second"] = tokens / seconds
    flops = [number * (job.flops(form) or math.nan) for form, number in rows.items()]
    if not math.isnan(rate := sum(flops) / seconds):
        found["flops_per_second"] = rate
        if job.devices and (peak := peak_flops(job.devices[0])):
            found["peak_share"] = rate / (peak * len(job.devices))
    return found


def _tokens(form: Form) -> int:
    """Returns how many ids of words a row has: of integer inputs with steps, the longest."""
    steps = [
        shape[0] for shape, dtype in form if len(shape) == 1 and np.issubdtype(dtype, np.integer)
    ]
    return max(steps, default=0)
