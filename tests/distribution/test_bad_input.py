"""What two processes are given cannot be right: both end with one clear error, nothing is lost."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from pathlib import Path

import pytest
import resume_child
from jobs import THOROUGH, Ended, end_job, free_address, run_job, start_job

from kgraph.saving.checkpoints import Checkpoint

pytestmark = pytest.mark.slow

PROGRAM = resume_child.__file__


@pytest.fixture(scope="module")
def half(tmp_path_factory) -> Path:
    """The checkpoint of a training in two processes, of which one had to leave."""
    folder = tmp_path_factory.mktemp("half") / "run"
    told = [{"LAST": "7"}, {"LAST": "0"}]
    ended = run_job(PROGRAM, folder, "LAST", "1h", variables=told)
    assert [process.status for process in ended] == [75, 75], ended[0].log[-3000:]
    return folder


@pytest.fixture
def folder(half, tmp_path) -> Path:
    """The same, to go on with."""
    return shutil.copytree(half, tmp_path / "run")


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.name != "writer.lock"
    }


def assert_both_say(ended: list[Ended], *texts: str) -> None:
    for index, process in enumerate(ended):
        assert process.status == 1, process.log[-3000:]
        for text in texts:
            assert text in process.log.lower(), f"process {index}: {process.log[-3000:]}"


@pytest.mark.parametrize(
    ("variable", "value", "what"),
    [("BUILD", "mlp", "model"), ("OPTIMIZER", "sgd", "kind of optimizer")],
)
def test_a_step_of_another_training_is_refused(variable, value, what, folder):
    before = contents(folder)
    ended = run_job(PROGRAM, folder, 0, "1h", variables=[{variable: value}] * 2)
    assert_both_say(ended, f"belongs to a training that differs in its {what}")
    assert contents(folder) == before


@pytest.mark.parametrize("left_over", [False, True] if THOROUGH else [True])
def test_a_folder_that_one_does_not_see_is_named(left_over, folder, tmp_path):
    before = contents(folder)
    if left_over:  # that of an earlier job, on a disk of its own
        shutil.copytree(folder, tmp_path / "other")
    own = [{"FOLDER": str(folder)}, {"FOLDER": str(tmp_path / "other")}]
    ended = run_job(PROGRAM, "FOLDER", 0, "1h", variables=own)
    assert_both_say(ended, "process 1 does not see the folder of the checkpoint")
    assert contents(folder) == before


def test_a_folder_that_a_second_job_writes_is_refused(folder):
    before = contents(folder)
    with Checkpoint(folder):
        ended = run_job(PROGRAM, folder, 0, "1h")
    assert_both_say(ended, "is being written by another writer", "process 0")
    assert contents(folder) == before


def test_a_clock_that_jumps_changes_nothing(tmp_path):
    ended = run_job(PROGRAM, tmp_path, 0, "0.5s", variables=[{"JUMPS": "1"}] * 2)
    assert [process.status for process in ended] == [0, 0], ended[0].log[-3000:]
    first, second = [json.loads(one.out.splitlines()[-1]) for one in ended]
    assert first == second
    assert Checkpoint(tmp_path).latest() == resume_child.BATCHES


def test_a_process_that_comes_late_is_waited_for(tmp_path):
    address = free_address()
    first = start_job(PROGRAM, tmp_path, 0, "1h", count=1, at=(address, 0))
    time.sleep(5)
    second = start_job(PROGRAM, tmp_path, 0, "1h", count=1, at=(address, 1))
    assert [process.status for process in end_job([*first, *second])] == [0, 0]


def test_a_process_that_starts_anew_ends_the_job_and_loses_nothing(tmp_path):
    folder, address = tmp_path / "run", free_address()
    running = start_job(PROGRAM, folder, 0, 5, at=(address, 0))
    while not Checkpoint(folder).steps():
        assert running[0].poll() is None
        time.sleep(0.05)
    again = start_job(PROGRAM, folder, 0, 5, count=1, at=(address, 1))
    ended = end_job(running)
    again[0].kill()  # JAX lets it wait for the others for five minutes
    end_job(again)
    for process in ended:
        assert process.status not in (0, -9)
        assert "1 unexpectedly tried to connect with a different incarnation" in process.log
    assert Checkpoint(folder).steps()
    assert [one.status for one in run_job(PROGRAM, folder, 0, 5)] == [0, 0]
