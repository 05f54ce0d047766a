"""SIGTERM at one of two processes: both save the same step, and the same command goes on."""

from __future__ import annotations

import json

import pytest
import resume_child
from jobs import THOROUGH, Ended, run_job

from kgraph.saving.checkpoints import Checkpoint

pytestmark = pytest.mark.slow


def reached(ended: list[Ended]) -> list[dict]:
    assert [process.status for process in ended] == [0, 0], ended[1].log[-3000:]
    return [json.loads(process.out.splitlines()[-1]) for process in ended]


@pytest.mark.parametrize("where", [0, 1] if THOROUGH else [1])
def test_the_same_command_goes_on_to_the_same_end(where, tmp_path):
    whole = reached(run_job(resume_child.__file__, tmp_path / "whole", 0, "1h"))
    told = [{"LAST": "7" if index == where else "0"} for index in (0, 1)]
    ended = run_job(resume_child.__file__, tmp_path / "run", "LAST", "1h", variables=told)
    assert [process.status for process in ended] == [75, 75], ended[where].log[-3000:]
    (step,) = Checkpoint(tmp_path / "run").steps()
    assert 7 <= step < resume_child.BATCHES  # JAX looks once a second whether the signal has come
    again = reached(run_job(resume_child.__file__, tmp_path / "run", 0, "1h"))
    for process, other in zip(again, whole, strict=True):
        assert process["batches"] == resume_child.BATCHES - step
        assert process["history"] == other["history"]
        assert process["weights"] == other["weights"]


def test_a_save_that_is_due_by_time_is_made_by_both(tmp_path):
    first, second = reached(run_job(resume_child.__file__, tmp_path / "run", 0, "0.1s"))
    assert first == second
    steps = Checkpoint(tmp_path / "run").steps()
    assert steps[-1] == resume_child.BATCHES
    assert len(steps) > 1


def test_other_processes_than_before_are_refused_by_name(tmp_path):
    told = [{"LAST": "7"}, {"LAST": "0"}]
    ended = run_job(resume_child.__file__, tmp_path / "run", "LAST", "1h", variables=told)
    assert [process.status for process in ended] == [75, 75]
    ended = run_job(
        resume_child.__file__, tmp_path / "run", 0, "1h", count=1, variables=[{"PROCESSES": "1"}]
    )
    assert ended[0].status == 1
    assert "places of processes that each read rows of their own" in ended[0].log
    assert "expected  2 processes" in ended[0].log
