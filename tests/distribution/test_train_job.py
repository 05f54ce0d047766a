"""The job beside the notebooks, as two processes: killed and started again, it ends the same."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jobs import LIMIT, ROOT, Ended, end_job, start_job

from kgraph.models import load_model
from kgraph.saving.checkpoints import Checkpoint

pytest.importorskip("grain", reason="grain is not installed: pip install 'kgraph-jax[data]'")
pytestmark = pytest.mark.slow

PROGRAM = ROOT / "notebooks" / "train_job.py"
SIZES = "--epochs 2 --steps 12 --rows 16 --length 16 --width 128 --blocks 2 --heads 2"
SIZES += " --every 3 --dropout 0"


def start(folder: Path, *more: str, count: int = 2) -> list[subprocess.Popen[str]]:
    given = ["--text", str(ROOT / "README.md"), "--run", str(folder), *SIZES.split(), *more]
    return start_job(PROGRAM, *given, count=count, devices=8 // count, by_environment=True)


def run(folder: Path, *more: str, count: int = 2) -> list[Ended]:
    ended = end_job(start(folder, *more, count=count))
    assert [process.status for process in ended] == [0] * count, ended[0].log[-3000:]
    return ended


def kill_after(folder: Path, step: int, sent: signal.Signals) -> list[Ended]:
    """Starts the job and sends it a signal when a step of its checkpoint is there."""
    processes = start(folder)
    end = time.monotonic() + LIMIT
    while max(Checkpoint(folder / "steps").steps(), default=0) < step:
        assert time.monotonic() < end
        assert all(process.poll() is None for process in processes)
        time.sleep(0.01)
    for process in processes:
        os.kill(process.pid, sent)
    return end_job(processes)


def log(folder: Path) -> list[dict[str, Any]]:
    """Returns the lines of the log, without what depends on clocks, of which there is something."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert all(line.pop("job")["tokens_per_second"] > 0 for line in lines)
    return lines


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in log(folder)]


def weights(folder: Path) -> list[np.ndarray]:
    own = {"Positions": runpy.run_path(str(PROGRAM))["Positions"]}
    return load_model(folder / "model", custom_objects=own).get_weights()


def test_the_job_goes_on_to_the_same_end(tmp_path: Path) -> None:
    run(tmp_path / "whole")
    lines, expected = log(tmp_path / "whole"), weights(tmp_path / "whole")

    killed = kill_after(tmp_path / "run", 6, signal.SIGKILL)
    assert [process.status for process in killed] == [-9, -9]
    shutil.copytree(tmp_path / "run", tmp_path / "alone")
    told = kill_after(tmp_path / "run", 15, signal.SIGTERM)
    assert {process.status for process in told} <= {0, 75}
    run(tmp_path / "run")
    assert log(tmp_path / "run") == lines
    for ours, theirs in zip(weights(tmp_path / "run"), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)

    (ended,) = end_job(start(tmp_path / "alone", "--alone", "--rows", "32", count=1))
    assert ended.status == 1
    assert "All processes together read 32 rows for a step, and 16 before" in ended.log
    run(tmp_path / "alone", "--alone", count=1)
    ours, theirs = (losses(tmp_path / name) for name in ("alone", "whole"))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)  # rows in another order
