"""Weights are born where they lie: no process is ever much larger than what it holds of them."""

from __future__ import annotations

import json

import memory_child
import pytest
from jobs import run_job

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("count", [1, 2])
def test_first_values_need_a_tenth_more_than_what_is_held(count):
    ended = run_job(
        memory_child.__file__, count, count=count, devices=8 // count,
        variables=[{"JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo"}] * count,
    )  # fmt: skip
    assert [process.status for process in ended] == [0] * count, ended[0].log[-3000:]
    whole = 4 * memory_child.BLOCKS * memory_child.WIDTH * (memory_child.WIDTH + 1)
    for process in ended:
        told = json.loads(process.out.splitlines()[-1])["weights"]
        assert told["held"] == whole // count
        assert told["most"] < 1.1 * told["held"] + 8 * memory_child.MB, told
