"""Arrays are made and read where they lie: no process is ever much larger than what it holds."""

from __future__ import annotations

import json
from pathlib import Path

import memory_child
import pytest
from jobs import THOROUGH, run_job

pytestmark = pytest.mark.slow

WHOLE = 4 * memory_child.BLOCKS * memory_child.WIDTH * (memory_child.WIDTH + 1)
HELD = {
    "weights": 1, "optimizer": 2, "checkpoint": 1, "file": 1, "folder": 1, "Keras' weights": 1,
    "Keras' model": 1,
}  # fmt: skip
"""How many times the weights each of them holds."""


@pytest.mark.parametrize("count", [1, 2] if THOROUGH else [2])
def test_making_and_reading_need_a_tenth_more_than_what_is_held(count: int, tmp_path: Path):
    variables = {
        "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
        "MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536",  # what is freed is gone
    }  # fmt: skip
    ended = run_job(
        memory_child.__file__, count, tmp_path, count=count, devices=8 // count,
        variables=[variables] * count,
    )  # fmt: skip
    assert [process.status for process in ended] == [0] * count, ended[0].log[-3000:]
    for process in ended:
        told = json.loads(process.out.splitlines()[-1])
        assert told.keys() == HELD.keys()
        for name, times in HELD.items():
            held, most = told[name]["held"], told[name]["most"]
            assert times * WHOLE <= held * count <= times * WHOLE + 1024, name
            cache = 64 * memory_child.MB if name == "checkpoint" else 0  # of TensorStore
            assert most < 1.1 * held + 8 * memory_child.MB + cache, (name, told[name])
