"""Saves under fire: kills, failing system calls, full disks, writers and readers at once.

Whatever happens, the old file or the new one is there, whole; and who was told "saved" has it.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import shutil
import signal
import time
from collections import Counter

import pytest
import saving_child
from faults import (
    THOROUGH,
    Children,
    end_of,
    failing_call,
    little_disk,
    log_of,
    needs_strace,
    traced,
    until,
)
from saving_child import model_of, value_of

from kgraph import saving
from kgraph.errors import ModelFileError


@pytest.fixture(scope="module")
def children():
    found = Children(saving_child)
    yield found
    found.close()


def until_warm(path):
    until(lambda: "warm" in log_of(path), "the process does not begin")


def litter_of(path):
    names = os.listdir(path.parent)
    return [n for n in names if n != path.name and not n.endswith(".log") and n != "go"]


def _kills(children, path, trials):
    """Kills savers at random moments; what they said to have saved, or later, is there."""
    seed = random.randrange(10**9)
    rng = random.Random(seed)
    target = f"{path}/" if path.name == "folder" else path
    struck = 0
    for trial in range(trials):
        pid = children.start(target, values=list(range(1, 10**4)))
        before = len(log_of(path))
        until(lambda before=before: len(log_of(path)) > before, "nothing is saved")
        time.sleep(rng.uniform(0, 0.1))
        os.kill(pid, signal.SIGKILL)
        end_of(pid, path)
        said = int(log_of(path)[-1].split()[1])
        value = value_of(saving.load_model(path))
        assert value in (said, said + 1), f"seed {seed}, trial {trial}: {value} after {said}"
        struck += bool(litter_of(path))
    return struck


def test_a_kill_at_any_moment_leaves_a_whole_file(tmp_path, children):
    path = tmp_path / "m.kgraph"
    _kills(children, path, 5)
    model_of(7).save(path)
    assert litter_of(path) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["m.kgraph", "folder"])
def test_many_kills(name, tmp_path, children):
    path = tmp_path / name
    struck = _kills(children, path, 200 if THOROUGH else 20)
    assert struck or name == "folder", "no kill fell into a save"
    model_of(7).save(f"{path}/" if name == "folder" else path)
    assert litter_of(path) == []
    assert not [n for n in os.listdir(path if path.is_dir() else tmp_path) if n[0] == "."]


FORMS = (
    "m.kgraph", "folder", "m.keras", "m.weights.h5", "m.safetensors", "m.stablehlo", "steps",
    "log.csv", "log.jsonl", "events",
)  # fmt: skip
CALLS = (
    "openat", "write", "lseek", "fsync", "rename", "flock", "close", "mkdir", "unlink", "pwrite64",
    "ftruncate",
)  # fmt: skip
"""System calls by which saves change something."""
FAULTS = ("error=ENOSPC", "error=EIO", "error=EINTR", "signal=KILL")


def _save_under(children, folder, call, fault, position, name):
    """Saves 2 over 1 with one fault; returns what the saver said."""
    path = folder / name
    go = folder / "go"
    pid = children.start(f"{path}/" if name == "folder" else path, values=[2], go=str(go))
    until_warm(path)
    with failing_call(pid, go, call, fault, position):
        end_of(pid, path)
    return " ".join(log_of(path)[2:])  # after "saved 1" and "warm"


def _outcome(children, first, folder, call, fault, position, name):
    """Tries one fault, and returns whether it was "saved", "failed" or "killed"."""
    shutil.copytree(first, folder)
    said = _save_under(children, folder, call, fault, position, name)
    where = f"{name}: {call}, {fault}, {position}: {said}"
    outcome = said.split()[0] if said else "killed"
    value = saving_child.read(folder / name)
    assert value in (1, 2), where
    if outcome == "saved":
        assert value == 2, where
    elif outcome == "failed":
        assert "OSError" in said or "ModelFileError" in said or "Error:" in said, where
        assert str(folder) in said, where
        assert ".kgraph-saving" not in said, where
        assert "another writer" not in said, where
        if "No space left" in said and call in ("write", "pwrite64"):
            assert "bytes" in said, where
    else:  # a fault in what the child says itself
        assert fault == "signal=KILL" or call in ("openat", "write", "close"), where
    return outcome


def _moments(children, first, folder, name):
    """Yields each system call of a save, as many times as one of its threads makes it."""
    shutil.copytree(first, folder)
    go, trace = folder / "go", folder / "trace"
    path = folder / name
    pid = children.start(f"{path}/" if name == "folder" else path, values=[2], go=str(go))
    until_warm(path)
    with traced(pid, go, ["-o", str(trace), "-e", f"trace={','.join(CALLS)}"]):
        end_of(pid, path)
    threads = Counter(re.findall(r"^(\d+) +(\w+)\(", trace.read_text(), re.MULTILINE))
    for call in CALLS:
        for position in range(max((n for (_, c), n in threads.items() if c == call), default=0)):
            yield call, position + 1


@pytest.mark.slow
@needs_strace
@pytest.mark.parametrize("name", FORMS)
def test_a_system_call_that_fails_spoils_nothing(name, tmp_path, children):
    """One fault in one save: of each call one, or each fault in each call of all."""
    outcomes = Counter()
    first = tmp_path / "first"
    first.mkdir()
    children.run(f"{first / name}/" if name == "folder" else first / name, values=[1])
    moments = list(_moments(children, first, tmp_path / "traced", name))
    for number, (call, places) in enumerate(itertools.groupby(moments, lambda moment: moment[0])):
        turn = number + FORMS.index(name)
        known = list(places)
        usual = [(FAULTS[turn % len(FAULTS)], known[turn % len(known)][1])]
        all_of = [(fault, position) for _, position in known for fault in FAULTS]
        for fault, position in all_of if THOROUGH else usual:
            folder = tmp_path / f"{call}-{fault}-{position}"
            outcomes[_outcome(children, first, folder, call, fault, position, name)] += 1
            shutil.rmtree(folder)
    print(name, outcomes)
    assert outcomes["failed"] or outcomes["saved"], outcomes


@needs_strace
def test_all_is_on_the_disk_before_it_has_its_name(tmp_path, children):
    path, go, trace = tmp_path / "m.kgraph", tmp_path / "go", tmp_path / "trace.log"
    pid = children.start(path, values=[1], go=str(go))
    until_warm(path)
    options = ["-y", "-o", str(trace), "-e", "trace=fsync,rename,write"]
    with traced(pid, go, options):
        end_of(pid, path)
    calls = [line for line in trace.read_text().splitlines() if str(tmp_path) in line]
    calls = [line.split(maxsplit=1)[1] for line in calls if ".log>" not in line]
    renamed = next(i for i, call in enumerate(calls) if call.startswith("rename"))
    assert calls[renamed - 1].startswith("fsync(")
    assert "/new>" in calls[renamed - 1]
    assert not [call for call in calls[renamed:] if call.startswith("write")]
    assert calls[renamed + 1].startswith("fsync(")
    assert f"<{tmp_path}>" in calls[renamed + 1]


def test_a_full_disk_leaves_the_old_file(tmp_path, children):
    path = tmp_path / "m.kgraph"
    log = children.run(path, values=[1])
    before = path.read_bytes()
    limits = [1, 100, 4000, 100_000, len(before) - 1]
    for limit in limits:
        log = children.run(path, values=[2], limit=limit)
        assert "failed OSError" in log[-1]
        assert "m.kgraph" in log[-1]
        assert path.read_bytes() == before
    assert children.run(path, values=[2])[-1] == "saved 2"
    assert value_of(saving.load_model(path)) == 2
    assert litter_of(path) == []


@pytest.mark.slow
def test_a_small_file_system_that_is_full(tmp_path):
    with little_disk(tmp_path / "disk", "size=1m") as disk:
        model_of(1).save(disk / "a.kgraph")
        for target in (disk / "b.kgraph", f"{disk}/folder/", disk / "a.kgraph"):
            (disk / "ballast").write_bytes(bytes(500_000))
            with pytest.raises(OSError, match="No space left on device"):
                model_of(2).save(target)
            assert value_of(saving.load_model(disk / "a.kgraph")) == 1
            os.unlink(disk / "ballast")
        shutil.rmtree(disk / "folder")
        model_of(3).save(disk / "a.kgraph")
        assert value_of(saving.load_model(disk / "a.kgraph")) == 3


def _race(children, path, saves, loads):
    target = f"{path}/" if path.name == "folder" else path
    children.run(target, values=[1])
    savers = [children.start(target, values=list(range(1, saves))) for _ in range(2)]
    for _ in range(loads):
        assert value_of(saving.load_model(path)) in range(1, saves)
    for pid in savers:
        end_of(pid, path)
    return [line for line in log_of(path) if not line.startswith("saved")]


def test_a_reader_beside_two_writers_sees_whole_files(tmp_path, children):
    assert _race(children, tmp_path / "m.kgraph", 15, 15) == []


@pytest.mark.slow
def test_a_reader_beside_two_writers_for_long(tmp_path, children):
    assert _race(children, tmp_path / "m.kgraph", 100, 200) == []


@pytest.mark.slow
def test_two_writers_in_one_folder_take_turns_or_are_refused(tmp_path, children):
    refused = _race(children, tmp_path / "folder", 40, 60)
    others = [line for line in refused if "being written by another writer" not in line]
    assert others == []


def test_odd_places_are_errors_before_anything_is_written(tmp_path):
    model = model_of(1)
    (tmp_path / "dangling").symlink_to(tmp_path / "none" / "m.kgraph")
    with pytest.raises(ModelFileError, match="its folder does not exist"):
        model.save(tmp_path / "dangling")
    with pytest.raises((OSError, ModelFileError), match=r"x{60}"):
        model.save(tmp_path / ("x" * 300))
    path = tmp_path / "read only.kgraph"
    model.save(path)
    path.chmod(0o444)  # a rename replaces it all the same
    model_of(2).save(path)
    assert value_of(saving.load_model(path)) == 2
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelFileError, match="no regular file"):
        model.save(tmp_path / "pipe")
    with pytest.raises(ModelFileError, match="no regular file"):
        saving.load_model(tmp_path / "pipe")
