"""Checkpoint: what is saved comes back, verified; when to save; which steps stay; one writer."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import traceback
import weakref
from datetime import timedelta
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from kgraph.errors import ConfigError, ModelFileError, StateError
from kgraph.saving.checkpoints import Checkpoint, DamagedStepError
from kgraph.saving.checkpoints import checkpoint as checkpoint_module
from kgraph.saving.checkpoints.spec import DTYPES
from kgraph.saving.files.digests import array_digests


class Moments(NamedTuple):
    count: object
    mean: object


def same(one, other):
    """Whether two trees have the same structure, dtypes and bits."""
    a, b = (jax.tree_util.tree_flatten(tree) for tree in (one, other))
    return a[1] == b[1] and all(map(same_array, a[0], b[0]))


def same_array(a, b):
    if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
        return a.dtype == b.dtype and same_array(jax.random.key_data(a), jax.random.key_data(b))
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def small(value=1.0):
    return {"w": np.full((2, 3), value, np.float32), "step": np.int32(value)}


def steps_with(folder, *steps, **options):
    with Checkpoint(folder, **options) as checkpoint:
        for step in steps:
            checkpoint.save(step, small(step), {"epoch": step})
    return checkpoint


# --- what comes back -----------------------------------------------------------------------------


def test_every_dtype_shape_and_structure_comes_back(tmp_path):
    plain = {
        name: np.arange(6).reshape(2, 3).astype(jnp.dtype(name)) for name in sorted(DTYPES)
    }  # the cheapest table of all dtypes
    keys = {kind: jax.random.key(3, impl=kind) for kind in ("threefry2x32", "rbg")}
    tree = {
        "plain": plain,
        "state": {},
        "nothing": None,
        "params": {"block/dense": {"kernel": np.arange(4.0, dtype=np.float32)}, "block": {}},
        "scalar": np.float32(0.1),
        "empty": np.zeros((0, 3), jnp.bfloat16),
        "nan": np.array([np.nan, -0.0, np.inf], np.float32),
        "transposed": np.arange(6.0, dtype=np.float32).reshape(2, 3).T,
        "foreign": np.arange(3, dtype=">i4"),
        "keys": {**keys, "many": jax.random.split(keys["rbg"], 3)},
        "device": jnp.ones((2,), jnp.bfloat16),
    }
    meta = {"history": {"loss": [1.5, float("nan"), float("inf")]}, "epoch": 3, "name": "ä"}
    with Checkpoint(tmp_path) as checkpoint:
        checkpoint.save(7, tree, meta)
    found, found_meta = Checkpoint(tmp_path).restore()
    expected = {**tree, "foreign": np.arange(3, dtype="i4"), "device": np.asarray(tree["device"])}
    assert same(found, expected)
    assert repr(found_meta) == repr(meta)
    assert repr(Checkpoint(tmp_path).read_meta(7)) == repr(meta)


def test_a_template_gives_its_structure_its_shardings_and_its_kinds_of_arrays(tmp_path):
    mesh = Mesh(np.array(jax.devices()[:8]).reshape(4, 2), ("x", "y"))
    sharding = NamedSharding(mesh, PartitionSpec("x", "y"))
    other = NamedSharding(mesh, PartitionSpec(None, "x"))
    w = jax.device_put(np.arange(64.0, dtype=np.float32).reshape(8, 8), sharding)
    keys = jax.random.split(jax.random.key(0), 4)
    tree = {
        "w": w,
        "optimizer": [Moments(np.int32(3), jnp.ones(3)), ()],
        "keys": keys,
        "seen": np.int64(2**40),
        "host": np.ones(2, np.float32),
    }
    with Checkpoint(tmp_path) as checkpoint:
        checkpoint.save(1, tree, {})
    template = {
        "w": jax.ShapeDtypeStruct((8, 8), jnp.float32, sharding=other),
        "optimizer": [Moments(jax.ShapeDtypeStruct((), jnp.int32), jnp.zeros(3)), ()],
        "keys": jax.ShapeDtypeStruct(
            (4,), keys.dtype, sharding=NamedSharding(mesh, PartitionSpec("x"))
        ),
        "seen": jax.ShapeDtypeStruct((), np.int64),
        "host": np.zeros(2, np.float32),
    }
    found, _ = checkpoint.restore(template=template)
    assert same(found, tree)
    assert found["w"].sharding == other
    assert len(found["keys"].sharding.device_set) == 8
    moments = found["optimizer"][0]
    assert isinstance(moments, Moments)
    assert isinstance(moments.count, jax.Array)
    assert isinstance(found["host"], np.ndarray)
    assert isinstance(found["seen"], np.ndarray)

    donated = jax.jit(lambda a: a + 1, donate_argnums=0)(moments.mean)  # restored arrays are owned
    np.testing.assert_array_equal(donated, np.full(3, 2.0))


def test_a_template_that_does_not_fit_is_refused_before_memory_is_taken(tmp_path, monkeypatch):
    tree = {"params": {f"w{i:02d}": np.ones(3, np.float32) for i in range(12)}, "step": np.int32(1)}
    with Checkpoint(tmp_path) as checkpoint:
        checkpoint.save(5, tree, {})
    monkeypatch.setattr("kgraph.saving.checkpoints.step_files.open_step", None)
    template = {
        "params": {"w00": np.ones((2, 2), np.float32), "extra": np.ones(3, np.float32)},
        "step": jax.random.key(0),
    }
    with pytest.raises(ModelFileError) as caught:
        checkpoint.restore(template=template)
    assert not isinstance(caught.value, DamagedStepError)  # so that no older step is tried
    text = str(caught.value)
    assert "Step 5" in text
    assert re.search(r"missing +params/extra  \[3\] float32", text)
    assert re.search(r"unexpected +params/w01  \[3\] float32", text)
    assert "and 3 more" in text
    assert "params/w00  [2, 2] float32 wanted, [3] float32 in the checkpoint" in text
    assert "step  [] threefry2x32 key wanted, [] int32 in the checkpoint" in text


def test_the_caller_may_change_and_donate_right_after_save(tmp_path, monkeypatch):
    begin = hold_writes(monkeypatch)
    double = jax.jit(lambda a: a * 2, donate_argnums=0)
    device, host = jnp.arange(1000.0), np.arange(3.0)
    with Checkpoint(tmp_path) as checkpoint:
        for step in (1, 2):  # the second save uses the memory of the first again
            begin.clear()
            expected = np.array(device), np.array(host)
            checkpoint.save(np.int32(step), {"device": device, "host": host}, {})
            for _ in range(3):
                device = double(device)
            host[:] = -step
            assert checkpoint.latest() == (step - 1 or None)  # nothing has been written yet
            begin.set()
            checkpoint.wait()
            found, _ = checkpoint.restore()
            np.testing.assert_array_equal(found["device"], expected[0])
            np.testing.assert_array_equal(found["host"], expected[1])


def hold_writes(monkeypatch):
    """Has each write wait for the returned event."""
    import threading

    begin, finish = threading.Event(), checkpoint_module.step_files.StepWriter.finish

    def held(*arguments):
        assert begin.wait(10)
        finish(*arguments)

    monkeypatch.setattr(checkpoint_module.step_files.StepWriter, "finish", held)
    return begin


@pytest.mark.parametrize(
    ("arrays", "meta", "text"),
    [
        ({"a": {"b": 1.0}}, {}, r"'a/b' cannot be kept[\s\S]*float"),
        ({"a": np.array(["x"])}, {}, r"'a' has a dtype[\s\S]*received +str"),
        ({"a": {1: np.ones(1)}}, {}, r"is no string[\s\S]*at +a\n"),
        ([np.ones(1), np.array(None)], {}, r"'1' has a dtype[\s\S]*object"),
        ({"a": np.ones(1)}, {"loss": [np.float32(1)]}, r"meta\['loss'\]\[0\][\s\S]*\(float32\)"),
        ({"a": np.ones(1)}, {"loss": {1: 2}}, r"at +meta\['loss'\]"),
    ],
    ids=["number", "text", "int-key", "object", "numpy-in-meta", "int-key-in-meta"],
)
def test_what_cannot_be_saved_is_named_and_nothing_is_written(tmp_path, arrays, meta, text):
    with Checkpoint(tmp_path) as checkpoint:
        with pytest.raises(ConfigError, match=text):
            checkpoint.save(1, arrays, meta)
        assert os.listdir(tmp_path) == ["writer.lock"]
        checkpoint.save(1, small(), {})  # and saving goes on
    assert checkpoint.steps() == [1]


# --- when ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("every", "due"),
    [
        (None, [(5, False, 1e9, False), (5, True, 0.0, True), (0, True, 0.0, False)]),
        (10, [(9, True, 1e9, False), (10, False, 0.0, True), (14, False, 0.0, True)]),
        ("10min", [(5, True, 599.0, False), (5, False, 600.0, True), (0, False, 700.0, False)]),
        ("1.5 h", [(5, True, 5399.0, False), (5, False, 5400.0, True)]),
        (timedelta(minutes=1), [(5, True, 59.0, False), (5, False, 60.0, True)]),
        (0.5, [(5, True, 0.4, False), (5, False, 0.5, True)]),
    ],
    ids=["epoch", "steps", "minutes", "hours", "timedelta", "seconds"],
)
def test_due(tmp_path, every, due):
    checkpoint = Checkpoint(tmp_path, every=every)
    checkpoint._saved_at = 50.0
    for step, epoch_end, elapsed, expected in due:
        for _ in range(2):  # asking changes nothing
            assert checkpoint.due(step, epoch_end, 50.0 + elapsed) is expected


def test_due_counts_from_the_step_saved_or_restored_last(tmp_path):
    with Checkpoint(tmp_path, every=10) as checkpoint:
        checkpoint.save(14, small(), {})
        assert [checkpoint.due(s, False, 0.0) for s in (14, 19, 20, 31)] == [
            False,
            False,
            True,
            True,
        ]
    again = Checkpoint(tmp_path, every=10)
    assert again.due(15, False, 0.0)
    again.restore()
    assert not again.due(15, False, 0.0)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"every": value}, r"`every`[\s\S]*10min[\s\S]*received +" + re.escape(repr(value)))
        for value in (0, -3, True, "10 minutes", "0s", float("nan"), timedelta(0), -1.0, [1])
    ]
    + [
        ({"keep": value}, r"`keep`[\s\S]*received +" + re.escape(repr(value)))
        for value in (0, True, 1.0, "all")
    ]
    + [
        ({"best": "custom"}, r"'custom' should rise or fall[\s\S]*mode='min'"),
        ({"best": "loss", "mode": "lowest"}, r"`mode`[\s\S]*'lowest'"),
    ],
    ids=lambda value: str(value).replace("nan", "not-a-number") if isinstance(value, dict) else "",
)
def test_bad_options_are_named(tmp_path, options, text):
    with pytest.raises(ConfigError, match=text):
        Checkpoint(tmp_path / "never", **options)
    assert not (tmp_path / "never").exists()


# --- which steps stay ----------------------------------------------------------------------------


def test_the_latest_steps_and_the_best_one_stay(tmp_path):
    values = {1: 0.5, 2: 0.1, 3: 0.1, 4: float("nan"), 5: 0.4, 6: None}
    for best, mode, kept in (
        ("val_loss", "auto", [2, 5, 6]),
        ("val_accuracy", "auto", [1, 5, 6]),
        ("custom", "max", [1, 5, 6]),
        (None, "auto", [5, 6]),
    ):
        folder = tmp_path / f"{best}"
        for step, value in values.items():  # a new object each time: the manifests remember
            metrics = {best: value, "matrix": np.ones((2, 2))} if best and value else None
            with Checkpoint(folder, keep=2, best=best, mode=mode) as checkpoint:
                checkpoint.save(step, {"a": np.zeros(0)}, {}, metrics)
        assert checkpoint.steps() == kept
        assert checkpoint.best_step() == (kept[0] if best else None)
        assert sorted(os.listdir(folder)) == [f"step_{s:09d}" for s in kept] + ["writer.lock"]
    assert steps_with(tmp_path / "all", 1, 2, 3, 4, keep=None).steps() == [1, 2, 3, 4]


def test_old_steps_go_only_when_the_new_one_is_there(tmp_path, monkeypatch):
    checkpoint = steps_with(tmp_path, 1, keep=1)
    sync = os.fsync
    seen = []

    def watching(descriptor):
        seen.append(checkpoint.steps())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", watching)
    with checkpoint:
        checkpoint.save(2, small(2), {}, wait=True)
    assert seen[0] == [1]
    assert seen[-1] == [1, 2]  # the sync of the folder, after the rename
    assert checkpoint.steps() == [2]


def test_everything_is_synced_before_the_step_gets_its_name(tmp_path, monkeypatch):
    synced, missed, order = set(), [], []
    sync, rename = os.fsync, os.rename

    def syncing(descriptor):
        status = os.fstat(descriptor)
        synced.add(status.st_ino)
        order.append(status.st_ino)
        sync(descriptor)

    def renaming(source, target):
        if os.path.basename(target).startswith("step_"):
            paths = [source, *source.rglob("*")]
            missed.extend(p for p in paths if os.stat(p).st_ino not in synced)
            order.append("named")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(os, "rename", renaming)
    checkpoint = Checkpoint(tmp_path / "new" / "run", asynchronous=False)
    with checkpoint:
        assert {os.stat(tmp_path).st_ino, os.stat(tmp_path / "new").st_ino} <= synced
        checkpoint.save(1, small(), {})
    assert not missed
    assert order[order.index("named") + 1 :] == [os.stat(checkpoint.directory).st_ino]


def test_steps_go_forward_unless_one_was_restored(tmp_path):
    steps_with(tmp_path, 1, 2, 3, keep=None)
    with Checkpoint(tmp_path, keep=None) as checkpoint:
        for step in (1, 3):
            with pytest.raises(StateError, match=rf"step after 3\n +received +step {step}"):
                checkpoint.save(step, small(), {})
        checkpoint.restore(step=2)
        with pytest.raises(StateError, match=r"step 2 or a later one\n +received +step 1"):
            checkpoint.save(1, small(), {})
        assert checkpoint.steps() == [1, 2, 3]
        checkpoint.save(2, small(20), {"again": 1}, wait=True)  # the same step, written again
        assert checkpoint.steps() == [1, 2]
        assert checkpoint.restore()[0]["step"] == 20
        checkpoint.save(2, small(21), {})
        checkpoint.save(4, small(4), {})
    assert checkpoint.steps() == [1, 2, 4]
    assert checkpoint.restore(2)[0]["step"] == 21
    names = [name for name in sorted(os.listdir(tmp_path)) if "lock" not in name]
    assert names == ["step_000000001", "step_000000002.2", "step_000000004"]


def test_steps_that_are_given_up_are_never_the_newest(tmp_path, monkeypatch):
    checkpoint = steps_with(tmp_path, 1, 2, 3).open()
    checkpoint.restore(1)
    monkeypatch.setattr(checkpoint_module.step_files, "ArraysWriter", lambda *_: 1 / 0)
    with pytest.raises(OSError, match="Step 2 could not be saved"):
        checkpoint.save(2, small(), {}, wait=True)
    assert checkpoint.steps() == [1, 2, 3]  # nothing goes before the new step is on the disk
    monkeypatch.undo()
    checkpoint.restore(1)

    names = []

    def killed_before_the_name(source, target):
        name = os.path.basename(target)
        if name == "gone" or name.startswith("step_"):
            names.append(name)
        if name.startswith("step_"):
            raise OSError(5, "killed")
        rename(source, target)

    rename = os.rename
    monkeypatch.setattr(os, "rename", killed_before_the_name)
    with pytest.raises(OSError, match="killed"):
        checkpoint.save(2, small(), {}, wait=True)
    assert names == ["gone", "gone", "step_000000002.1"]
    assert checkpoint.steps() == [1]
    checkpoint.close()


def test_there_is_nothing_to_restore(tmp_path):
    checkpoint = Checkpoint(tmp_path / "missing")
    assert (checkpoint.steps(), checkpoint.latest(), checkpoint.best_step()) == ([], None, None)
    with pytest.raises(ModelFileError, match="no step at all"):
        checkpoint.restore()
    steps_with(tmp_path, 1, 2)
    with pytest.raises(ModelFileError, match=r"step 7\n +received +1, 2"):
        Checkpoint(tmp_path).restore(7)
    assert not (tmp_path / "missing").exists()


def test_clear_removes_what_is_its_own(tmp_path):
    for folder, rest in ((tmp_path / "empty", []), (tmp_path / "more", ["notes.txt"])):
        checkpoint = steps_with(folder, 1, 2)
        for name in rest:
            (folder / name).write_text("mine")
        checkpoint.clear()
        assert not checkpoint.is_open
        assert folder.exists() == bool(rest)
        assert not rest or os.listdir(folder) == rest
        assert steps_with(folder, 1).steps() == [1]  # from the start again


# --- damage --------------------------------------------------------------------------------------


def flip(path, position=None):
    data = bytearray(path.read_bytes() or b"\0")  # a byte more, where there is none
    data[len(data) // 2 if position is None else position] ^= 4
    path.write_bytes(data)


def test_a_flipped_bit_in_any_file_is_noticed_and_named(tmp_path):
    steps_with(tmp_path, 1)
    folder = tmp_path / "step_000000001"
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    assert len(files) > 5
    for path in files:
        whole = path.read_bytes()
        name = path.relative_to(folder).as_posix()
        for damage in ("flip", "cut", "gone"):
            if damage == "flip":
                flip(path)
            elif damage == "cut":
                path.write_bytes(whole[:-1] or b"more")
            else:
                path.unlink()
            with pytest.raises(DamagedStepError, match=rf"Step 1 [\s\S]*{re.escape(name)}"):
                Checkpoint(tmp_path).restore()
            path.write_bytes(whole)
    (folder / "extra").write_bytes(b"")
    with pytest.raises(DamagedStepError, match="extra"):
        Checkpoint(tmp_path).restore()
    (folder / "extra").unlink()
    assert same(Checkpoint(tmp_path).restore()[0], small(1))


def test_damage_in_large_data_names_step_array_and_digests(tmp_path):
    tree = {"w": np.random.default_rng(0).standard_normal((200, 200)).astype(np.float32)}
    with Checkpoint(tmp_path) as checkpoint:
        checkpoint.save(3, tree, {})
    data = max((p for p in tmp_path.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    flip(data)
    digest = array_digests([tree["w"]])[0]
    with pytest.raises(DamagedStepError) as caught:
        Checkpoint(tmp_path).restore()
    assert re.search(rf"Step 3 [\s\S]*array +w[\s\S]*expected +SHA-256 {digest}", str(caught.value))
    assert len(str(caught.value)) < 700


def test_the_last_good_step_is_used_only_when_asked(tmp_path):
    steps_with(tmp_path, 1, 2, 3)
    for step in (2, 3):
        flip(tmp_path / f"step_{step:09d}" / "meta.json", 0)
    with pytest.raises(DamagedStepError, match="Step 3 "):
        Checkpoint(tmp_path).restore()
    checkpoint = Checkpoint(tmp_path, fallback=True)
    with pytest.raises(DamagedStepError, match="Step 2 "):
        checkpoint.restore(2)  # a step that is named is the one that is meant
    with pytest.warns(UserWarning, match="is damaged; a step before it is used") as caught:
        assert checkpoint.read_meta() == {"epoch": 1}  # of the step that `restore` will take
    assert [re.search(r"Step \d", str(w.message))[0] for w in caught] == ["Step 3", "Step 2"]
    arrays, meta = checkpoint.restore()  # which is known by now
    assert (meta, checkpoint.step) == ({"epoch": 1}, 1)
    assert same(arrays, small(1))
    with checkpoint:
        checkpoint.save(2, small(22), {})  # training goes on from step 1; the damaged steps go
    assert checkpoint.steps() == [1, 2]
    assert checkpoint.restore()[0]["step"] == 22
    flip(tmp_path / "step_000000001" / "manifest.json")
    flip(tmp_path / "step_000000002.1" / "manifest.json")
    with (
        pytest.raises(DamagedStepError, match="Step 2 "),
        pytest.warns(UserWarning, match="Step [12]"),
    ):
        Checkpoint(tmp_path, fallback=True).restore()


def test_steps_cannot_be_swapped_or_mixed(tmp_path):
    steps_with(tmp_path, 1, 2)
    one, two = tmp_path / "step_000000001", tmp_path / "step_000000002"
    meta = (two / "meta.json").read_bytes()
    (two / "meta.json").write_bytes((one / "meta.json").read_bytes())
    with pytest.raises(DamagedStepError, match=r"meta\.json"):
        Checkpoint(tmp_path).restore()
    (two / "meta.json").write_bytes(meta)
    one.rename(tmp_path / "aside")
    two.rename(one)
    with pytest.raises(DamagedStepError, match=r"expected +step 1\n +received +step 2"):
        Checkpoint(tmp_path).restore()


# --- failures of writing -------------------------------------------------------------------------


@pytest.mark.parametrize("surfaces", ["save", "wait", "close"])
def test_a_failure_in_the_background_surfaces_once(tmp_path, monkeypatch, surfaces):
    checkpoint = steps_with(tmp_path, 1).open()

    def full(source, target):
        raise OSError(28, "No space left on device", str(target))

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", full)
        checkpoint.save(2, small(2), {})
        checkpoint._background.finish()
    call = {"save": lambda: checkpoint.save(3, small(3), {})}.get(
        surfaces, getattr(checkpoint, surfaces)
    )
    with pytest.raises(OSError, match="Step 2 could not be saved: No space left on device") as e:
        call()
    assert e.value.errno == 28
    assert sorted(os.listdir(tmp_path)) == ["step_000000001", "writer.lock"]
    with checkpoint:  # once
        checkpoint.save(3, small(3), {})
    assert checkpoint.steps() == [1, 3]


@pytest.mark.parametrize("next_call", ["open", "restore"])
def test_a_failure_outlives_the_object_that_was_dropped(tmp_path, monkeypatch, next_call):
    steps_with(tmp_path, 1)

    def leave_behind():
        checkpoint = Checkpoint(tmp_path)
        checkpoint.restore()
        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", lambda *_: os.stat(tmp_path / "missing"))
            checkpoint.save(2, {"w": np.ones(10**5)}, {})
            checkpoint._background.finish()
            return weakref.ref(checkpoint)

    gone = leave_behind()
    assert gone() is None  # which also frees its lock, and the arrays
    Checkpoint(tmp_path / "elsewhere").open().close()
    later = Checkpoint(tmp_path)
    with pytest.raises(OSError, match="Step 2 could not be saved: No such file") as caught:
        getattr(later, next_call)()
    assert "in finish" in "".join(traceback.format_exception(caught.value))
    later.restore()
    later.open().close()


def test_what_ends_the_block_is_raised_and_the_failed_save_noted(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "rename", lambda *_: os.stat(tmp_path / "missing"))

    def train():
        with Checkpoint(tmp_path) as checkpoint:
            checkpoint.save(1, small(), {})
            raise KeyError("from training")

    with pytest.raises(KeyError, match="from training") as caught:
        train()
    assert "Step 1 could not be saved: No such file" in caught.value.__notes__[0]


@pytest.mark.parametrize("step", [-1, 1.0, True, "1"])
def test_a_step_is_a_whole_number(tmp_path, step):
    with pytest.raises(ConfigError, match=f"received +{re.escape(repr(step))}"):
        Checkpoint(tmp_path).save(step, small(), {})


def test_a_folder_that_cannot_be_written_to_is_refused_at_open(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match="checkpoint cannot be written to") as caught:
        Checkpoint(tmp_path / "file").open()
    assert "file" in str(caught.value)
    with pytest.raises(OSError, match="checkpoint cannot be written to"):
        Checkpoint(tmp_path / "file" / "below").open()


def test_what_a_killed_writer_left_is_removed(tmp_path):
    steps_with(tmp_path, 1)
    litter = tmp_path / ".kgraph-saving-00000000-1-abcd" / "step"  # of another host
    litter.mkdir(parents=True)
    (tmp_path / "step_000000002.1").mkdir()
    (tmp_path / "step_000000002").mkdir()
    with Checkpoint(tmp_path):
        names = sorted(os.listdir(tmp_path))
    assert names == ["step_000000001", "step_000000002.1", "writer.lock"]


# --- one writer ----------------------------------------------------------------------------------


def test_a_second_writer_is_refused_until_the_first_is_closed(tmp_path):
    first, second = steps_with(tmp_path, 1).open(), Checkpoint(tmp_path)
    with pytest.raises(StateError) as caught:
        second.save(2, small(), {})
    assert re.search(r"received +this process on .*, since \d{4}-\d\d-\d\dT", str(caught.value))
    assert "close()" in str(caught.value)
    assert second.restore()[0]["step"] == 1  # reading needs no lock
    first.close()
    with second:
        second.save(2, small(2), {})
    assert first.steps() == [1, 2]


HOLDER = """
    import os, sys, time
    from kgraph.saving.files.lock import FolderLock
    from pathlib import Path
    lock = FolderLock(Path(sys.argv[1]))
    lock.acquire()
    there, here = os.pipe()
    if os.fork() == 0:  # a worker that outlives its parent does not keep the lock
        os.write(here, b"!")
        time.sleep(30)
        os._exit(0)
    os.read(there, 1)
    print(os.getpid(), flush=True)
    time.sleep(30)
"""


def test_a_killed_writer_loses_its_lock(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLDER), str(tmp_path)],
        stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        pid = int(child.stdout.readline())
        with pytest.raises(StateError, match=rf"received +process {pid} on"):
            Checkpoint(tmp_path).open()
        child.kill()
        child.wait(60)
        with Checkpoint(tmp_path) as checkpoint:
            checkpoint.save(1, small(), {})
    finally:
        os.killpg(child.pid, 9)
        child.stdout.close()


def test_without_locks_of_the_file_system_the_named_process_counts(tmp_path, monkeypatch):
    import errno
    import platform

    def unsupported(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("kgraph.saving.files.lock.fcntl.flock", unsupported)
    owner = {"pid": os.getppid(), "host": platform.node(), "since": "2020-01-01T00:00:00"}
    lock = tmp_path / "writer.lock"
    for change, refused in (({}, True), ({"pid": 2**22 + 1}, False), ({"host": "else"}, True)):
        lock.write_text(json.dumps({**owner, **change}))
        checkpoint = Checkpoint(tmp_path)
        if refused:
            with pytest.raises(StateError, match="since 2020"):
                checkpoint.open()
        else:
            checkpoint.open().close()
