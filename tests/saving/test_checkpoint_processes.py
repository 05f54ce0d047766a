"""Checkpoints that several processes write together, and what reads them."""

from __future__ import annotations

import itertools
import random
import re
import shutil
import textwrap
import time
import warnings
from collections.abc import Iterator
from typing import Any

import checkpoint_processes as together
import jax
import numpy as np
import pytest
from faults import THOROUGH, failing_call, needs_strace
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import kgraph
from kgraph.saving.checkpoints import Checkpoint


def test_two_processes_write_the_steps_that_any_number_of_devices_reads(tmp_path):
    done = together.run_together(tmp_path / "run", "arrays")
    for process in done:
        assert process.told == [{"steps": [3, 4], "meta": {"step": 4}}], process.errors[-3000:]
    checkpoint = Checkpoint(tmp_path / "run")
    found, _ = checkpoint.restore()
    jax.tree.map(np.testing.assert_array_equal, found, together.whole_tree(4))
    mesh = Mesh(np.array(jax.devices()[:3]), ("rows",))
    otherwise = NamedSharding(mesh, PartitionSpec(None, None))
    cut = jax.ShapeDtypeStruct(
        (8, 8),
        np.float32,
        sharding=NamedSharding(
            Mesh(np.array(jax.devices()).reshape(4, 2), ("a", "b")), PartitionSpec("b", "a")
        ),
    )
    template = together.whole_tree(0)
    template["params"] |= {
        "cut": cut, "columns": jax.ShapeDtypeStruct((3, 8), np.float32, sharding=otherwise),
    }  # fmt: skip
    placed, _ = checkpoint.restore(3, template)
    assert placed["params"]["cut"].sharding == cut.sharding
    jax.tree.map(np.testing.assert_array_equal, placed, together.whole_tree(3))


@pytest.mark.slow
def test_a_training_of_two_processes_goes_on_anywhere(tmp_path):
    first, second = together.run_together(tmp_path, "train")
    assert first.told == second.told, first.errors[-3000:]
    whole, resumed = first.told
    assert whole == resumed  # bit for bit
    for devices in (8, 2, 1):
        shutil.copytree(tmp_path / "half", tmp_path / str(devices))
        spread = None
        if devices > 1:
            mesh = kgraph.distribution.DeviceMesh((devices,), ("batch",), jax.devices()[:devices])
            spread = kgraph.distribution.DataParallel(mesh)
        model = together.compiled(spread)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            history, predicted = together.train(model, 4, Checkpoint(tmp_path / str(devices)))
        told = [str(one.message) for one in caught if "checkpoint" in str(one.message)]
        assert len(told) == 1
        assert "differs in its devices" in told[0]
        np.testing.assert_allclose(predicted, whole[1], rtol=2e-6)  # sums in another order
        np.testing.assert_allclose(history["loss"], whole[0]["loss"], rtol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    ["full digests 1", "full arrays 1", "full begin 1", "full manifest 0", "full rename 0",
     "full arrays 0"],
)  # fmt: skip
def test_a_process_that_fails_takes_the_others_along(tmp_path, fault):
    together.run_together(tmp_path / "run", "fault", "full digests 1")
    done = together.run_together(tmp_path / "run", "fault", fault)
    whose = int(fault[-1])
    for index, process in enumerate(done):
        (told,) = process.told
        assert "Step 2 could not be saved" in told, process.errors[-3000:]
        assert "No space left on device" in told
        assert (f"process {whose}: OSError" in told) == (index != whose)
    assert Checkpoint(tmp_path / "run").steps() == [1]
    done = together.run_together(tmp_path / "run", "fault", "full digests 7")
    assert [process.told for process in done] == [["saved"], ["saved"]]
    assert Checkpoint(tmp_path / "run").steps() == [1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["kill digests 1", "kill begin 1", "kill manifest 0"])
def test_a_process_that_is_killed_leaves_the_steps_before(tmp_path, fault):
    together.run_together(tmp_path / "run", "fault", "full digests 1")
    done = together.run_together(tmp_path / "run", "fault", fault, limit=60)
    killed, other = done[int(fault[-1])], done[1 - int(fault[-1])]
    assert killed.status == -9
    assert other.status != 0 or "could not be saved" in str(other.told)
    assert Checkpoint(tmp_path / "run").steps() == [1]
    done = together.run_together(tmp_path / "run", "fault", "full digests 7")
    assert [process.told for process in done] == [["saved"], ["saved"]]


@pytest.mark.slow
def test_callbacks_of_two_processes_save_once(tmp_path):
    first, second = together.run_together(tmp_path, "callbacks")
    assert first.told == second.told, first.errors[-3000:]
    predicted, left = first.told
    assert left is None
    assert not (tmp_path / "backup").exists()
    model = together.compiled(None)
    assert kgraph.callbacks.OrbaxCheckpoint(tmp_path / "orbax").restore(model) == 1
    for one in (model, kgraph.models.load_model(tmp_path / "model")):
        found = one.predict(together.ROWS, batch_size=16, verbose=0)
        np.testing.assert_allclose(found, predicted, rtol=2e-6)


@pytest.mark.slow
def test_kills_at_any_moment_lose_no_step(tmp_path):
    seed = int(time.time())
    chance = random.Random(seed)
    folder = tmp_path / "run"
    for kill in range(100 if THOROUGH else 3):
        running = together.start_together(folder, "ever")
        assert running[0].stdout is not None
        begun = itertools.islice((x for x in running[0].stdout if x.startswith(">")), 2)
        steps = [int(line[1:]) for line in begun]
        assert len(steps) == 2, running[0].communicate(timeout=30)[1][-3000:]
        time.sleep(chance.random() / 2)
        for process in chance.choice(([0], [1], [0, 1])):
            running[process].kill()
        together.wait_for(running, 60)
        where = f"seed {seed}, kill {kill}"
        checkpoint = Checkpoint(folder)
        assert checkpoint.latest() >= steps[0], where
        found, meta = checkpoint.restore()
        jax.tree.map(np.testing.assert_array_equal, found, together.whole_tree(meta["step"]))


def test_plain_orbax_reads_a_step_as_the_readme_says(tmp_path):
    model = together.compiled(None)
    together.train(model, 1, Checkpoint(tmp_path))
    (lines,) = re.findall(
        r"( +import orbax.*?)\n +```", (together.ROOT / "README.md").read_text(), re.DOTALL
    )
    names: dict[str, Any] = {}
    code = textwrap.dedent(lines).replace("/data/run/step_000000900", f"{tmp_path}/step_000000003")
    exec(code.replace('"dense"', '"up"'), names)
    np.testing.assert_array_equal(names["kernel"], model.get_layer("up").kernel)
    assert {"metrics", "optimizer", "params", "key", "step"} <= set(names["tree"]["state"])


CALLS = {"fsync": 8, "rename": 8, "mkdir": 6, "openat": 24}
"""How many times one thread of a process makes each call in a save, about.

Without `write`, by which threads of gRPC wake each other as well: that never fails elsewhere.
"""

FAULTS = {"error=EIO": (1,), "error=ENOSPC": (2,)}
"""What happens instead of the call, and at which of a thread's calls."""


def failing_calls() -> Iterator[tuple[str, str, int, int]]:
    """Yields call, fault, position and process."""
    if not THOROUGH:
        yield from [("fsync", "error=EIO", 1, 1), ("rename", "error=ENOSPC", 2, 0)]
        return
    for call, most in CALLS.items():
        for fault in FAULTS:
            for position in range(1, most + 1):
                yield from ((call, fault, position, where) for where in (0, 1))


@needs_strace
@pytest.mark.slow
@pytest.mark.parametrize(("call", "fault", "position", "where"), list(failing_calls()))
def test_a_system_call_that_fails_in_one_process_ends_both(tmp_path, call, fault, position, where):
    folder, go = tmp_path / "run", tmp_path / "go"
    together.run_together(folder, "fault", "full digests 1")
    running = together.start_together(folder, "told", str(go))
    said = [next(line for line in one.stdout or () if line.startswith(">")) for one in running]
    with failing_call(int(said[where][1:]), go, call, fault, position):
        done = together.wait_for(running, 60)  # nobody stands still
    checkpoint, told = Checkpoint(folder), [process.told for process in done]
    if told == [["saved"], ["saved"]]:  # it did without the call
        assert checkpoint.steps() == [1, 2]
    else:
        assert all(process.status or "could not be saved" in str(process.told) for process in done)
    for step in checkpoint.steps():
        jax.tree.map(
            np.testing.assert_array_equal, checkpoint.restore(step)[0], together.whole_tree(step)
        )
    latest = checkpoint.latest()
    assert latest in (1, 2)
    done = together.run_together(folder, "fault", "full digests 7")  # the same command goes on
    assert [process.told for process in done] == [["saved"], ["saved"]]
    assert Checkpoint(folder).latest() == latest + 1
