"""What a job tells of its time, and the trace of its steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
from event_reader import events

import kgraph
from kgraph.callbacks import CallbackList, JobMetrics, JSONLogger, TensorBoard
from kgraph.distribution.chips import CHIPS, peak_flops
from kgraph.errors import ConfigError, StateError
from kgraph.training import job as job_module
from kgraph.training.engine import Engine
from kgraph.training.job import Job, Meter
from kgraph.training.pace import Throttle

L = kgraph.layers
IDS = np.random.default_rng(0).integers(0, 9, (22, 6)).astype("int32")
TARGETS = IDS[..., None].astype("float32")
LOST = {"compile_seconds", "save_seconds", "restore_seconds", "restart_seconds", "goodput"}
RATES = {"step_seconds", "examples_per_second", "tokens_per_second", "flops_per_second"}
KNOWN = LOST | RATES | {"data_wait"}


def model(length: int | None = 6, **options: Any) -> Any:
    inputs = kgraph.Input((length,), dtype="int32")
    found = kgraph.Model(inputs, L.Dense(1, name="head")(L.Embedding(9, 4, name="words")(inputs)))
    found.compile("sgd", "mse", **options)
    return found


def run(folder: Path, *callbacks: Any, epochs: int = 2, **options: Any) -> list[Any]:
    """Returns the lines of a training's JSON log."""
    logger = JSONLogger(folder / "log", options.pop("update_freq", "epoch"))
    of = options.pop("of", None) or model()
    given = options.pop("data", (IDS, TARGETS))
    of.fit(
        *given, batch_size=options.pop("batch_size", 8), epochs=epochs, verbose=0,
        callbacks=[*callbacks, logger], **options,
    )  # fmt: skip
    return [json.loads(line) for line in (folder / "log").read_text().splitlines()]


# --- a clock --------------------------------------------------------------------------------------


class Clock:
    """A clock that moves when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += seconds


def played(clock: Clock) -> Job:
    """Returns a job of four steps of 8 rows with 6 ids: 10 s, of which 2 waited for data."""
    job = Job(clock)
    job.is_told = True
    clock.spend(1)
    with job.spending("steps"):
        clock.spend(5)
        with job.spending("data"):
            clock.spend(2)
        clock.spend(7)
        job.compiled(4.0)
    with job.spending("save"):
        clock.spend(3)
    job.handed_over(4, 32, (((6,), "int32"), ((2,), "float32")))
    return job


def test_each_moment_belongs_to_one_activity():
    clock = Clock()
    seconds = played(clock).totals().seconds
    assert seconds == {
        "steps": 8.0, "data": 2.0, "compile": 4.0, "save": 3.0, "restore": 0.0, "restart": 0.0,
        "other": 1.0,
    }  # fmt: skip
    assert sum(seconds.values()) == clock.now


def test_numbers_are_those_since_the_last_reading(monkeypatch):
    clock = Clock()
    meter = Meter(Job(clock))
    assert meter.read() == {}  # nobody wants them
    job = meter._job = played(clock)
    job.flops = lambda form: 50.0
    numbers = meter.read()
    expected = {
        "step_seconds": 2.5, "examples_per_second": 3.2, "tokens_per_second": 19.2,
        "flops_per_second": 160.0, "data_wait": 0.2, "compile_seconds": 4.0, "save_seconds": 3.0,
        "restore_seconds": 0.0, "restart_seconds": 0.0, "goodput": 11 / 18,
    }  # fmt: skip
    assert numbers == pytest.approx(expected)
    chip = SimpleNamespace(
        device_kind="TPU v5e", process_index=jax.process_index(),
        memory_stats=lambda: {"peak_bytes_in_use": 5},
    )  # fmt: skip
    far = SimpleNamespace(device_kind="TPU v5e", process_index=7)  # tells its own process alone
    job.devices = [chip, far]
    with job.spending("steps"):
        clock.spend(1)
    job.handed_over(2, 16, (((6,), "float32"),))
    numbers = meter.read()
    assert numbers["peak_share"] == pytest.approx(16 * 50 / (2 * 197e12))
    assert (numbers["step_seconds"], numbers["peak_bytes"]) == (0.5, 5)
    assert "tokens_per_second" not in numbers
    job.flops = lambda form: None
    job.handed_over(1, 8, ())
    clock.spend(1)
    numbers = meter.read()
    assert numbers.keys() == LOST | {"peak_bytes"}  # no step has been timed
    assert numbers["compile_seconds"] == 4.0  # since the job began


def test_the_peak_of_a_device_is_that_of_its_chip_or_of_its_core():
    def of(kind: str, **more: Any) -> float | None:
        return peak_flops(SimpleNamespace(device_kind=kind, **more))

    assert of("TPU v5e") == CHIPS["v5e"].flops
    assert of("TPU v4", num_cores=2) == 2 * CHIPS["v4"].flops  # both cores are one device
    assert of("TPU v3", num_cores=1) == CHIPS["v3"].flops
    assert of("TPU v5p", num_cores=2) == CHIPS["v5p"].flops
    assert of("cpu") is None


def test_a_restart_costs_the_time_since_the_save(monkeypatch):
    moment = SimpleNamespace(time=lambda: 1000.0, perf_counter=job_module.time.perf_counter)
    monkeypatch.setattr(job_module, "time", moment)
    first = played(Clock())
    saved, over = first.saved(ended=False), first.saved(ended=True)
    moment.time = lambda: 1060.0
    second, third = Job(Clock()), Job(Clock())
    second.resume(json.loads(json.dumps(saved)))
    seconds = second.totals().seconds
    assert (seconds["restart"], seconds["save"], seconds["steps"]) == (60.0, 3.0, 8.0)
    third.resume(over)  # whoever trains a finished model further has lost nothing
    assert third.totals().seconds["restart"] == 0.0
    moment.time = lambda: 900.0  # the clock was set back
    fourth = Job(Clock())
    fourth.resume(saved)
    assert fourth.totals().seconds["restart"] == 0.0


# --- in fit ---------------------------------------------------------------------------------------


def test_a_log_tells_of_the_job_if_there_is_a_checkpoint(tmp_path):
    assert "job" not in run(tmp_path / "plain")[0]
    board, saved = TensorBoard(tmp_path / "b"), kgraph.Checkpoint(tmp_path / "c")
    of = model()
    lines = run(tmp_path, board, of=of, checkpoint=saved)
    assert [line["job"].keys() for line in lines] == [KNOWN, KNOWN]
    assert of.history.history.keys() == {"loss"}
    first, second = (line["job"] for line in lines)
    assert first["compile_seconds"] > 0 == first["save_seconds"] < second["save_seconds"]
    assert 0 < second["goodput"] < 1
    (_, shown) = events(tmp_path / "b" / "train")[-1]
    assert {tag for tag in shown if tag.startswith("job/")} == {f"job/{name}" for name in KNOWN}
    # Gone on with at its end: nothing was lost, and what it had taken is known.
    (*_, third) = run(tmp_path, board, epochs=3, checkpoint=saved)
    assert third["job"]["compile_seconds"] >= second["compile_seconds"]
    assert third["job"]["restart_seconds"] == 0 < third["job"]["restore_seconds"]


def test_several_devices_are_told_of_as_well(tmp_path):
    spread = kgraph.distribution.DataParallel()
    (line, _) = run(tmp_path, of=model(distribution=spread))
    assert line["job"].keys() == KNOWN  # virtual devices know no peak, and no bytes


def test_a_training_that_was_killed_counts_the_time_until_it_goes_on(tmp_path):
    class Killed(Exception):
        pass

    def die(epoch: int, logs: Any) -> None:
        if epoch == 1:
            raise Killed

    dying = kgraph.callbacks.LambdaCallback(on_epoch_end=die)
    with pytest.raises(Killed):
        run(tmp_path, dying, checkpoint=kgraph.Checkpoint(tmp_path / "c"))
    (_, line) = run(tmp_path, checkpoint=kgraph.Checkpoint(tmp_path / "c"))
    assert line["epoch"] == 1
    assert line["job"]["restart_seconds"] > 0


def rows_of(totals: Any) -> dict[Any, int]:
    return {tuple(shape for shape, _ in form): rows for form, rows in totals.rows.items()}


def test_rows_are_counted_as_the_data_have_them(tmp_path):
    jobs: list[Job] = []

    def counted(data: Any, of: Any, **options: Any) -> Any:
        def end(logs: Any) -> None:
            jobs.append(of._kgraph.trainer.job)

        keep = kgraph.callbacks.LambdaCallback(on_train_end=end)
        run(tmp_path, JobMetrics(), keep, data=data, of=of, **options)
        totals = jobs[-1].totals()
        return totals.steps, rows_of(totals)

    assert counted((IDS, TARGETS), model()) == (6, {((6,),): 44})  # 8, 8 and 6, which are padded
    stream = [(IDS[:8], TARGETS[:8]), (IDS[8:13], TARGETS[8:13])]
    assert counted((stream,), model(), batch_size=None) == (4, {((6,),): 26})
    mixed = [(IDS[:8, :4], TARGETS[:8, :4]), (IDS[:8], TARGETS[:8])]
    of = model(None)
    assert counted((mixed,), of, batch_size=None) == (4, {((4,),): 16, ((6,),): 16})
    for length in (4, 6):
        assert jobs[-1].flops((((length,), np.dtype("int32")),)) == model(length).cost().total.flops


def test_costs_that_cannot_be_counted_end_no_training(tmp_path):
    class Own(L.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs

        def count_flops(self, inputs: Any, outputs: Any) -> Any:
            raise RuntimeError("not today")

    inputs = kgraph.Input((3,))
    of = kgraph.Model(inputs, L.Dense(1)(Own()(inputs)))
    of.compile("sgd", "mse")
    rows = np.ones((8, 3), "float32")
    (line, _) = run(tmp_path, JobMetrics(), of=of, data=(rows, rows[:, :1]))
    assert line["job"].keys() == KNOWN - {"flops_per_second", "tokens_per_second"}


def test_lines_of_batches_have_the_numbers_since_the_one_before(tmp_path):
    lines = run(tmp_path, JobMetrics(), update_freq=1)
    assert ["batch" in line for line in lines] == [True, True, True, False] * 2
    assert all(line["job"].keys() >= RATES for line in lines)


def test_measuring_waits_for_nothing(tmp_path, monkeypatch):
    counts = {"fetch": 0, "wait": 0}

    def counting(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            counts[name] += 1
            return method(*args)

        return call

    monkeypatch.setattr(Engine, "logs", counting("fetch", Engine.logs))
    monkeypatch.setattr(Throttle, "wait", counting("wait", Throttle.wait))
    of = model(steps_per_execution=2)
    run(tmp_path, of=of)
    without = dict(counts)
    counts.update(fetch=0, wait=0)
    job = JobMetrics()
    run(tmp_path, job, of=of)
    assert counts == without
    assert [line["epoch"] for line in job.epochs] == [0, 1]
    assert job.epochs[0].keys() == KNOWN | {"epoch"}


def test_a_loop_of_ones_own_is_not_measured(tmp_path):
    made = model()
    for _ in range(2):
        told = CallbackList(JobMetrics(), model=made)
        with pytest.raises(StateError, match="JobMetrics measures `fit`"):
            told.on_train_begin()
        with pytest.raises(ConfigError, match=r"traced by `fit` alone[\s\S]*jax.profiler"):
            CallbackList(TensorBoard(tmp_path, profile_batch=1), model=made).on_train_begin()
        made.fit(IDS, TARGETS, verbose=0)  # which ends with its job


# --- traces ---------------------------------------------------------------------------------------


def trace(folder: Path) -> bytes:
    (path,) = folder.glob("plugins/profile/*/*.xplane.pb")
    return path.read_bytes()


@pytest.mark.parametrize(
    ("make", "blocks"),
    [
        (lambda folder: JobMetrics(profile=(2, 5), profile_dir=folder), [1, 2, 2, 1]),
        (lambda folder: TensorBoard(folder, profile_batch=(2, 5)), [1, 2, 2, 1]),
        (lambda folder: TensorBoard(folder, profile_batch=3), [2, 1, 3]),
        (lambda folder: JobMetrics(profile=(5, 50), profile_dir=folder), [3, 1, 2]),
    ],
    ids=["JobMetrics", "TensorBoard", "one step", "until the end"],
)
def test_a_trace_of_some_steps_names_the_layers(tmp_path, monkeypatch, make, blocks):
    found, told = [], []
    original = Job.handed_over

    def handed_over(self: Job, steps: int, rows: int, form: Any) -> None:
        found.append(steps)
        original(self, steps, rows, form)

    monkeypatch.setattr(Job, "handed_over", handed_over)
    for name in ("start_trace", "stop_trace"):
        method = getattr(jax.profiler, name)

        def call(*args: Any, _method: Any = method, _name: str = name) -> None:
            told.append((_name, sum(found)))
            _method(*args)

        monkeypatch.setattr(jax.profiler, name, call)
    run(tmp_path, make(tmp_path / "t"), of=model(steps_per_execution=8))
    assert found == blocks
    assert [name for name, _ in told] == ["start_trace", "stop_trace"]
    text = trace(tmp_path / "t")
    assert b"jvp(head)" in text
    assert b"transpose(jvp(words))" in text


def test_a_training_that_fails_leaves_no_trace_running(tmp_path):
    class Failed(Exception):
        pass

    def fail(epoch: int, logs: Any) -> None:
        raise Failed

    failing = kgraph.callbacks.LambdaCallback(on_epoch_end=fail)
    for name in "ab":
        with pytest.raises(Failed):
            run(tmp_path, JobMetrics((2, 50), tmp_path / name), failing)
        assert b"jvp(head)" in trace(tmp_path / name)


@pytest.mark.parametrize("steps", [0, (0, 2), (3, 2), (1, 2, 3), "2,3", True, 1.5])
def test_steps_that_are_none_are_refused(steps):
    with pytest.raises(ConfigError, match=r"JobMetrics[\s\S]*`profile`[\s\S]*\(10, 15\)"):
        JobMetrics(profile=steps)
    if steps not in (0, True):
        with pytest.raises(ConfigError, match=r"TensorBoard[\s\S]*`profile_batch`"):
            TensorBoard(profile_batch=steps)


def test_a_trace_that_never_begins_is_warned_of(tmp_path):
    with pytest.warns(UserWarning, match=r"No trace was written.*step 9, and .*had 6"):
        run(tmp_path, JobMetrics((9, 12), tmp_path / "t"))
    assert not (tmp_path / "t").exists()


def test_one_fit_writes_one_trace(tmp_path):
    with pytest.raises(ConfigError, match="A `fit` writes one trace"):
        run(tmp_path, JobMetrics((1, 2), tmp_path), TensorBoard(tmp_path, profile_batch=2))
