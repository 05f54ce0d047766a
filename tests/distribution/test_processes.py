"""Two processes that train one model together: the training of one device."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import process_child
import pytest
import spread_models as m

import kgraph
from kgraph import distribution
from kgraph.distribution import Distribution
from kgraph.distribution import base as base_module
from kgraph.errors import ConfigError, DataError
from kgraph.training import batch_placement
from kgraph.training.placement import Placement

ROOT = Path(kgraph.__file__).parent.parent


def run_team(folder: Path) -> list[Any]:
    """Returns what each of two processes, with two devices each, has reached."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    environment["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
    team = [
        subprocess.Popen(
            [sys.executable, process_child.__file__, address, str(index), str(folder)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )
        for index in (0, 1)
    ]  # fmt: skip
    try:
        done = [process.communicate(timeout=120) for process in team]
    finally:
        for process in team:
            process.kill()
    for out, errors in done:
        assert out.rstrip().endswith("]"), errors[-3000:]
    return [json.loads(out.splitlines()[-1]) for out, _ in done]


@pytest.mark.slow
def test_two_processes_reach_what_one_reaches(tmp_path):
    alone = []
    for run in (process_child.on_stream, process_child.on_arrays):
        kgraph.utils.set_random_seed(100)
        model = process_child.compiled(None)
        alone.append(run(model))
    first, second = run_team(tmp_path / "m")
    assert first == second
    shared, own, cut = first
    m.assert_close(shared, alone[0], 1e-5)
    m.assert_close(own, alone[0], 1e-5)
    m.assert_close(cut, alone[1], 1e-5)
    loaded = kgraph.models.load_model(tmp_path / "m")
    m.assert_close(loaded.get_weights(), model.get_weights(), 1e-5)


def test_what_processes_cannot_do_is_refused(monkeypatch):
    spread = distribution.DataParallel(auto_shard_dataset=False)
    monkeypatch.setattr(Distribution, "num_processes", 2)
    monkeypatch.setattr(batch_placement, "gather_numbers", lambda purpose, number: [number] * 2)
    monkeypatch.setattr(base_module, "agree_on_seed", lambda: None)
    placement = Placement(spread)
    assert placement.reading(True, 5) is placement
    assert [placement.block_size(n) for n in (None, 4)] == [1, 4]
    own = placement.reading(False, 5)
    assert (own.parts, own.agreed, own.rounded(3)) == (4, 8, 8)
    with pytest.raises(DataError, match=r"8 rows in each process\n  received  9 in process 0"):
        own.batch([m.X[:9]], 9)
    one_part = distribution.LayoutMap(distribution.DeviceMesh((1, 8), ("batch", "model")))
    cut = distribution.ModelParallel(layout_map=one_part, auto_shard_dataset=False)
    with pytest.raises(ConfigError, match=r"2 processes cannot each read[\s\S]*1 along 'batch'"):
        Placement(cut).reading(False, 5)
