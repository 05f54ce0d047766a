"""Processes find each other: by arguments, by the environment, as a cluster tells them."""

from __future__ import annotations

import random

import jax
import join_child
import pytest
from jobs import free_address, run_job

from kgraph import distribution
from kgraph.distribution import processes
from kgraph.errors import ConfigError, StateError


@pytest.fixture
def joined(monkeypatch):
    """What JAX is asked for; nothing is joined."""
    asked = []
    monkeypatch.setattr(processes, "watch_the_end", lambda: None)
    monkeypatch.setattr(jax.distributed, "initialize", lambda *args, **_: asked.append(args))
    for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID"):
        monkeypatch.delenv(f"KERAS_DISTRIBUTION_{name}", raising=False)
    return asked


def test_the_environment_says_what_arguments_do_not(joined, monkeypatch):
    monkeypatch.setenv("KERAS_DISTRIBUTION_JOB_ADDRESSES", "10.0.0.1:1234, 10.0.0.2:1234")
    monkeypatch.setenv("KERAS_DISTRIBUTION_PROCESS_ID", "1")
    distribution.initialize()
    distribution.initialize("10.0.0.9:99", 3, 2)
    monkeypatch.setenv("KERAS_DISTRIBUTION_NUM_PROCESSES", "5")
    distribution.initialize()
    assert joined == [
        ("10.0.0.1:1234", 2, 1), ("10.0.0.9:99", 3, 2), ("10.0.0.1:1234", 5, 1)
    ]  # fmt: skip
    monkeypatch.setenv("KERAS_DISTRIBUTION_PROCESS_ID", "first")
    with pytest.raises(ConfigError, match="PROCESS_ID in the environment is no whole number"):
        distribution.initialize()


def test_without_any_word_jax_asks_the_cluster(joined):
    distribution.initialize()
    assert joined == [(None, None, None)]


def test_a_process_that_finds_nobody_is_told_once(monkeypatch):
    def alone(*_, **__):
        raise RuntimeError("DEADLINE_EXCEEDED: Barrier timed out\nmany lines")

    monkeypatch.setattr(jax.distributed, "initialize", alone)
    with pytest.raises(
        StateError, match=r"cannot join the others\n  received  DEADLINE_EXC.*out\n"
    ):
        distribution.initialize("127.0.0.1:1", 2, 0)


def test_silence_ends_the_others_within_a_minute():
    assert processes.HEARTBEAT_SECONDS < 60


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["keras", "slurm"])
def test_real_processes_join_and_share_the_seed_of_the_first(kind):
    job = str(random.randrange(10**6))
    address = free_address()
    variables = {
        "keras": lambda i: {
            "KERAS_DISTRIBUTION_JOB_ADDRESSES": address, "KERAS_DISTRIBUTION_PROCESS_ID": str(i),
            "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
        },
        "slurm": lambda i: {
            "SLURM_JOB_ID": job, "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "2",
            "SLURM_PROCID": str(i), "SLURM_LOCALID": str(i), "SLURM_STEP_NUM_NODES": "1",
        },
    }[kind]  # fmt: skip
    ended = run_job(
        join_child.__file__,
        devices=2,
        variables=[{**variables(i), "SEED": f"4{i}"} for i in (0, 1)],
    )
    assert [process.status for process in ended] == [0, 0], ended[1].log[-2000:]
    said = {process.out.splitlines()[-1] for process in ended}
    assert len(said) == 1
    assert said.pop().startswith("['40', '41'] (4,)")
