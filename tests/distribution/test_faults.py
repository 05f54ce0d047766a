"""Something goes wrong in one of two processes: both end, with an error that names it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import fault_child
import pytest
from fault_child import STEPS
from jobs import THOROUGH, Ended, run_job

FAULTS = {
    "callback": "ValueError: the callback is wrong",
    "epoch callback": "ValueError: the callback is wrong",
    "data": "OSError: the file is gone",
    "fewer batches": f"ended after {STEPS - 1} batches, and others have more",
    "program": "OSError: the file is gone",
    "save": "OSError: No space left on device",
}
"""What a process does, and what both logs say of it."""


def run(what: str, where: int, folder: Path) -> list[Ended]:
    return run_job(fault_child.__file__, what, where, folder)


def reached(ended: list[Ended]) -> list[dict]:
    """Returns what each process printed at its end."""
    assert [process.status for process in ended] == [0, 0], ended[0].log[-2000:] + ended[1].log
    return [json.loads(process.out.splitlines()[-1]) for process in ended]


def test_one_process_stops_both_after_the_same_step_and_one_writes(tmp_path):
    first, second = reached(run("stop", 1, tmp_path))
    assert first == second
    assert 6 <= first["step"] <= 8 < STEPS  # it is heard within a block or two
    with open(tmp_path / "log.csv") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0"]
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 1
    assert len(list((tmp_path / "board" / "train").iterdir())) == 1
    left = {"log.csv", "log.jsonl", "board", "best.kgraph", "w.safetensors"}
    assert {path.name for path in tmp_path.iterdir()} == left


@pytest.mark.slow
def test_the_first_process_alone_speaks(tmp_path):
    ended = run("stop after an epoch", 1, tmp_path)
    first, second = reached(ended)
    assert first == second
    assert first["step"] == STEPS
    lines = [line for line in ended[1].out.splitlines() if "peer ranks" not in line]  # Gloo's
    assert len(lines) == 1, "the second process printed more than its result"
    assert "saving to" in ended[0].out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "where"),
    [
        (what, where)
        for number, what in enumerate(FAULTS)
        for where in ((0, 1) if THOROUGH else (1 - number % 2,))
        if (what, where) != ("save", 1)  # the first process is the one that writes
    ],
)
def test_both_logs_name_the_process_and_the_cause(what, where, tmp_path):
    ended = run(what, where, tmp_path)
    assert [process.status for process in ended] == [1, 1]
    for index, process in enumerate(ended):
        assert FAULTS[what] in process.log, process.log[-2000:]
        if index != where and what != "fewer batches":
            assert f"ProcessError: Process {where} has failed in " in process.log
        assert f"process {where}" in process.log.lower()


@pytest.mark.slow
@pytest.mark.parametrize("where", [0, 1])
def test_sigterm_at_one_process_ends_both_after_the_same_step(where, tmp_path):
    ended = run("sigterm", where, tmp_path)
    assert [process.status for process in ended] == [143, 143], ended[where].log[-2000:]


@pytest.mark.slow
@pytest.mark.parametrize("where", [0, 1])
@pytest.mark.parametrize("what", ["kill", "exit"])
def test_nobody_waits_for_a_process_that_is_gone(what, where, tmp_path):
    ended = run(what, where, tmp_path)
    assert ended[where].status == {"kill": -9, "exit": 3}[what]
    other = ended[1 - where]
    assert other.status not in (0, -9)
    named = ["leader", "task:0", "process 0"] if where == 0 else ["\n1\n", "task:1", "process 1"]
    assert any(name in other.log for name in named), other.log[-3000:]
