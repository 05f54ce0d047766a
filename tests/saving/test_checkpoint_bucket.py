"""Checkpoints in a bucket: what a folder promises, and what comes of its faults.

The bucket is one of `bucket_server`; Orbax writes to it by TensorStore and gcsfs, as to a real one.
"""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import checkpoint_processes as together
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bucket_server import QUICK, BucketServer, serving
from faults import THOROUGH

import kgraph
from kgraph import callbacks
from kgraph.errors import StateError
from kgraph.saving.checkpoints import Checkpoint, DamagedStepError
from kgraph.saving.files import bucket, lease
from kgraph.saving.files.lock import Owner

# Or it asks each bucket for its kind, by another service than the one that is served here.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
gcsfs = pytest.importorskip("gcsfs")

RUN = "gs://bucket/run"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BucketServer]:
    """A bucket of which Orbax and gcsfs do not ask for long either."""
    from orbax.checkpoint._src.serialization import tensorstore_utils

    for name in ("_BASE_TS_CONTEXT", "_DEFAULT_OCDBT_TS_CONTEXT"):
        context = getattr(tensorstore_utils, name)
        monkeypatch.setattr(tensorstore_utils, name, {**context, "gcs_request_retries": QUICK})
    monkeypatch.setattr(gcsfs.GCSFileSystem, "retries", 1)
    gcsfs.GCSFileSystem.clear_instance_cache()
    with serving(monkeypatch) as found:
        yield found
    gcsfs.GCSFileSystem.clear_instance_cache()


def tree(step: int) -> dict[str, Any]:
    return {
        "params": {"w": jnp.full((40, 30), step, jnp.bfloat16), "b": np.arange(3.0) * step},
        "key": jax.random.key(step), "none": np.zeros((0, 2)),
    }  # fmt: skip


def assert_tree(found: Any, step: int) -> None:
    expected = tree(step)
    for one in (found, expected):
        one["key"] = jax.random.key_data(one["key"])
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def save(steps: list[int], **options: Any) -> Checkpoint:
    with Checkpoint(RUN, **options) as checkpoint:
        if checkpoint.latest() is not None:
            checkpoint.restore()
        for step in steps:
            checkpoint.save(step, tree(step), {"step": step}, {"loss": abs(step - 2)})
    return checkpoint


def test_steps_are_saved_read_and_removed_whole(server: BucketServer) -> None:
    checkpoint = save([1, 2, 3, 4], keep=1, best="loss")
    assert checkpoint.steps() == [2, 4]
    assert checkpoint.best_step() == 2
    assert {name.split("/")[2] for name in server.names()} == {
        "step_000000002", "step_000000004", "writer.lock",
    }  # fmt: skip
    for step in (2, 4):
        found, meta = Checkpoint(RUN).restore(step)
        assert meta == {"step": step}
        assert_tree(found, step)
    sharding = jax.sharding.NamedSharding(
        jax.sharding.Mesh(np.array(jax.devices()[:2]), ("rows",)),
        jax.sharding.PartitionSpec("rows"),
    )
    template = tree(4)
    template["params"]["w"] = jax.ShapeDtypeStruct((40, 30), jnp.bfloat16, sharding=sharding)
    placed, _ = Checkpoint(RUN).restore(4, template)
    assert placed["params"]["w"].sharding == sharding
    assert_tree(placed, 4)


def test_a_step_is_written_again_and_those_behind_it_go(server: BucketServer) -> None:
    save([1, 2, 3])
    with Checkpoint(RUN) as checkpoint:
        checkpoint.restore(1)
        checkpoint.save(2, tree(7), {})
    assert checkpoint.steps() == [1, 2]
    assert_tree(checkpoint.restore()[0], 7)
    checkpoint.clear()
    assert server.names() == []


def test_plain_orbax_reads_a_step(server: BucketServer) -> None:
    import orbax.checkpoint as ocp

    save([3])
    with ocp.StandardCheckpointer() as reader:
        found = reader.restore(f"{RUN}/step_000000003/arrays")
    np.testing.assert_array_equal(found["params"]["b"], np.arange(3.0) * 3)


@pytest.mark.parametrize("mark", [None, b"draft 1234"])
def test_a_step_that_is_not_said_to_be_whole_is_none_and_goes(
    server: BucketServer, mark: bytes | None
) -> None:
    save([1, 2])
    generation, _ = server.objects.pop("bucket/run/step_000000002/whole")
    if mark is not None:
        server.objects["bucket/run/step_000000002/whole"] = generation, mark
    assert Checkpoint(RUN).latest() == 1
    Checkpoint(RUN).open().close()
    assert not [name for name in server.names() if "step_000000002" in name]
    assert save([2]).steps() == [1, 2]


@pytest.mark.parametrize("lost", ["meta.json", "arrays/_METADATA", "arrays/d/"])
def test_a_damaged_step_is_named(server: BucketServer, lost: str) -> None:
    save([1, 2])
    where = f"bucket/run/step_000000002/{lost}"
    name = next(name for name in server.names() if name.startswith(where))
    generation, content = server.objects[name]
    server.objects[name] = generation, content[:-1] + bytes([content[-1] ^ 1])
    with pytest.raises(DamagedStepError, match="Step 2 of the checkpoint 'gs://bucket/run'"):
        Checkpoint(RUN).restore()
    del server.objects[name]
    with pytest.raises(DamagedStepError, match="no such file"):
        Checkpoint(RUN).restore()
    with pytest.warns(UserWarning, match="a step before it is used"):
        assert_tree(Checkpoint(RUN, fallback=True).restore()[0], 1)


FAULTS = ["/d/", "arrays/_METADATA", "commit_success.txt", "meta.json", "manifest.json", "/whole"]
"""Objects of a step that cannot be written."""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("where", "status"),
    [
        *((where, 403) for where in FAULTS), ("/d/", 503), ("/whole", 503),
        ("/whole", 412), pytest.param("_METADATA", 503, marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_a_bucket_that_fails_leaves_the_steps_before(
    server: BucketServer, where: str, status: int
) -> None:
    checkpoint = save([1]).open()
    checkpoint.restore()
    server.fault = lambda method, name: (
        status if method in ("POST", "PUT") and where in name else None
    )
    start = time.monotonic()
    with pytest.raises(OSError, match=r"Step 2 could not be saved: .* before are as"):
        checkpoint.save(2, tree(2), {}, wait=True)
    assert time.monotonic() - start < 60
    server.fault = lambda method, name: None
    assert checkpoint.steps() == [1]
    assert not [name for name in server.names() if "step_000000002" in name]
    checkpoint.save(2, tree(2), {}, wait=True)  # and saving goes on
    checkpoint.close()
    assert_tree(Checkpoint(RUN).restore()[0], 2)


def test_a_lock_that_is_lost_ends_the_saving(server: BucketServer) -> None:
    first = save([1]).open()
    first.restore()
    (first._steps.path / "writer.lock").write_bytes(Owner.new("another").encode().encode())
    with pytest.raises(OSError, match=r"Step 2 could not be saved: The lock .* was .* taken by"):
        first.save(2, tree(2), {}, wait=True)
    assert Checkpoint(RUN).steps() == [1]


def test_who_has_lost_the_lock_makes_no_step_of_what_is_left(server: BucketServer) -> None:
    first, place = save([1]).open(), "bucket/run/step_000000002"
    first.restore()

    def taken(method: str, name: str) -> None:
        """Comes after the lock has been looked at: another writer has removed what is torn."""
        if (
            method == "POST"
            and name.endswith("2/whole")
            and f"{place}/manifest.json" in server.objects
        ):
            for torn in [name for name in server.names() if name.startswith(place)]:
                del server.objects[torn]

    server.fault = taken
    with pytest.raises(OSError, match="Step 2 could not be saved: Another writer has removed"):
        first.save(2, tree(2), {}, wait=True)
    assert Checkpoint(RUN).steps() == [1]
    assert not [name for name in server.names() if name.startswith(place)]


def test_a_request_that_arrives_late_makes_no_step(
    server: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, go, late = save([1]).open(), threading.Event(), threading.Event()
    first.restore()
    monkeypatch.setattr(bucket, "_SECONDS", 0.5)

    def slow(method: str, name: str) -> None:
        wrote = "bucket/run/step_000000002/manifest.json" in server.objects
        if method == "POST" and name.endswith("2/whole") and wrote:
            go.wait(20)
            late.set()

    server.fault = slow
    with pytest.raises(OSError, match=r"Step 2 could not be saved: .*Timeout"):
        first.save(2, tree(2), {}, wait=True)
    go.set()
    assert late.wait(20)
    time.sleep(0.3)
    monkeypatch.setattr(bucket, "_SECONDS", 60.0)
    assert Checkpoint(RUN).steps() == [1]
    first.close()
    Checkpoint(RUN).open().close()
    assert not [name for name in server.names() if "step_000000002" in name]


def test_fit_goes_on_in_a_bucket(server: BucketServer) -> None:
    def train(epochs: int, **options: Any) -> Any:
        kgraph.utils.set_random_seed(4)
        return together.train(together.compiled(None), epochs, options.pop("at", None), **options)

    whole = train(3)
    train(2, at=Checkpoint(RUN))
    assert train(3, at=Checkpoint(RUN)) == whole  # bit for bit
    own = [
        callbacks.BackupAndRestore("gs://bucket/backup", delete_checkpoint=False),
        callbacks.OrbaxCheckpoint("gs://bucket/orbax"),
    ]
    assert train(3, callbacks=own) == whole
    model = together.compiled(None)
    assert own[1].restore(model) == 2
    np.testing.assert_array_equal(
        model.predict(together.ROWS, batch_size=16, verbose=0), np.float32(whole[1])
    )
    assert train(3, callbacks=[callbacks.BackupAndRestore("gs://bucket/gone")]) == whole
    assert not [name for name in server.names() if "gone" in name]


# --- processes -----------------------------------------------------------------------------------


def test_two_processes_write_one_step(server: BucketServer) -> None:
    for process in together.run_together(RUN, "arrays"):
        assert process.told == [{"steps": [3, 4], "meta": {"step": 4}}], process.errors[-3000:]
    found, _ = Checkpoint(RUN).restore()
    jax.tree.map(np.testing.assert_array_equal, found, together.whole_tree(4))
    assert not [name for name in server.names() if "note-" in name]


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault", ["full digests 1", "full arrays 0", "kill digests 1", "kill manifest 0"]
)
def test_a_process_that_fails_takes_the_other_along(server: BucketServer, fault: str) -> None:
    together.run_together(RUN, "fault", "full digests 1")
    done = together.run_together(RUN, "fault", fault, limit=60)
    for process in done:
        assert process.status != 0 or "Step 2 could not be saved" in str(process.told)
    assert Checkpoint(RUN).steps() == [1]
    done = together.run_together(RUN, "fault", "full digests 7")
    assert [process.told for process in done] == [["saved"], ["saved"]], done[0].errors[-3000:]
    assert Checkpoint(RUN).steps() == [1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
def test_kills_at_any_moment_lose_no_step(server: BucketServer, count: int) -> None:
    seed = int(time.time())
    chance = random.Random(seed)
    for kill in range(40 if THOROUGH else 2):
        running = together.start_together(RUN, "ever", count=count)
        assert running[0].stdout is not None
        begun = itertools.islice((x for x in running[0].stdout if x.startswith(">")), 2)
        steps = [int(line[1:]) for line in begun]
        assert len(steps) == 2, running[0].communicate(timeout=30)[1][-3000:]
        time.sleep(chance.random() / 2)
        for process in chance.choice(([0], [count - 1], range(count))):
            running[process].kill()
        together.wait_for(running, 60)
        where = f"seed {seed}, kill {kill}"
        latest = Checkpoint(RUN).latest()
        assert (latest or 0) >= steps[0], where
        found, meta = Checkpoint(RUN).restore()
        jax.tree.map(np.testing.assert_array_equal, found, together.whole_tree(meta["step"]))


@pytest.mark.slow
def test_a_second_job_is_refused(server: BucketServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "TURN", 0.05)
    running = together.start_together(RUN, "ever", count=1)
    try:
        assert running[0].stdout is not None
        next(line for line in running[0].stdout if line.startswith(">"))
        with (
            pytest.warns(UserWarning, match="is locked by process"),
            pytest.raises(StateError, match=rf"another writer[\s\S]*process {running[0].pid}"),
        ):
            Checkpoint(RUN).open()
    finally:
        running[0].kill()
        together.wait_for(running)
    Checkpoint(RUN).open().close()  # it is dead, which is known on its machine
