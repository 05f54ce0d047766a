"""JobMetrics: what a training job does with its time, and a trace of some of its steps."""

from __future__ import annotations

import os

from kgraph.errors import StateError
from kgraph.training.callbacks.callback import Callback, Logs
from kgraph.training.job import begin_profile, job_of, meter_of
from kgraph.training.profiling import Profile


class JobMetrics(Callback):
    """Measures what a job does with its time, for JSONLogger and TensorBoard.

    They write these numbers without it as well, if there is a checkpoint or more than one device.
    No step waits for that. Each process measures itself; of several the first one writes.

    | number | meaning, for the steps of an epoch |
    |---|---|
    | `step_seconds` | of a step, with waits for data; without compiling, saving and validation |
    | `examples_per_second` | rows of all processes |
    | `tokens_per_second` | the steps of integer inputs `[rows, steps]`, where there are any |
    | `data_wait` | share of the time in which the loop waited for a batch |
    | `flops_per_second` | those of `model.cost`, on all devices together |
    | `peak_share` | share of what the devices can do at most; on TPUs |
    | `peak_bytes` | the most in use on a device so far, where it tells |

    | number | meaning, since the job began, over all its runs |
    |---|---|
    | `compile_seconds` | of tracing and compiling |
    | `save_seconds` | in which a save held the loop up |
    | `restore_seconds` | of reading what was saved |
    | `restart_seconds` | from the save that was gone on with to the `fit` that did |
    | `goodput` | share of the job's time that was not lost to these four |

    Args:
        profile: the first and the last step of which a trace is written by `jax.profiler`, counted
            from 1 over the epochs of this `fit`; one number for one step; None for no trace. Each
            operation in it has the name of its layer. The trace of step 1 has the compiler in it.
        profile_dir: where; `tensorboard --logdir` shows it under Profile (with the plugin
            `xprof`).

    Attributes:
        epochs: a dict of these numbers and `epoch` for each epoch of the last `fit`.

    Raises:
        ConfigError: `profile` is none of these; or, when `fit` begins, another callback wants a
            trace as well.
        StateError: the loop is not `fit`.

    >>> job = JobMetrics(profile=(10, 15), profile_dir="logs")
    """

    def __init__(
        self,
        profile: int | tuple[int, int] | None = None,
        profile_dir: str | os.PathLike[str] = "logs",
    ) -> None:
        self.profile, self.profile_dir = profile, profile_dir
        self.epochs: list[dict[str, float]] = []
        self._profile()  # complains now

    def _profile(self) -> Profile | None:
        if self.profile is None:
            return None
        return Profile(self.profile, self.profile_dir, ("JobMetrics", "profile"))

    def on_train_begin(self, logs: Logs | None = None) -> None:
        job = job_of(self.model)
        if job is None:
            raise StateError("JobMetrics measures `fit`, and this loop is another")
        job.is_told = True
        begin_profile(self.model, self._profile())
        self.epochs, self._meter = [], meter_of(self.model)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epochs.append({"epoch": epoch, **self._meter.read()})
