"""Where a save may go, and that the old file survives whatever goes wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import numpy as np
import pytest
from faults import little_disk
from saved_models import assert_same_weights, dense, litter

from kgraph import callbacks, saving
from kgraph.errors import ConfigError, ModelFileError
from kgraph.saving import paths
from kgraph.saving.checkpoints import Checkpoint
from kgraph.saving.files import atomic
from kgraph.saving.kgraph_format import content


@pytest.mark.parametrize("name", ["m.h5", "m.weights.h5", "m.v2", "m.safetensors"])
def test_formats_that_are_not_written_say_what_to_use(name, tmp_path):
    with pytest.raises(ConfigError, match=r"does not write models[\s\S]*save as '.*\.kgraph'"):
        dense().save(f"{tmp_path}/{name}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["m.h5", "m.keras", "m.v2", "folder/"])
def test_formats_that_are_not_written_for_weights_say_what_to_use(name, tmp_path):
    with pytest.raises(ConfigError, match=r"does not write weights[\s\S]*\.safetensors, \.weights"):
        dense().save_weights(f"{tmp_path}/{name}")
    assert list(tmp_path.iterdir()) == []


def test_either_kind_of_name_is_known_where_it_is_not_known_which():
    for name in ("m.kgraph", "m", "m.keras", "m.safetensors", "m.weights.h5"):
        paths.check_suffix(name)
    with pytest.raises(ConfigError, match="models or weights"):
        paths.check_suffix("m.h5")


def test_what_is_in_the_way_is_named(tmp_path):
    model = dense()
    with pytest.raises(ModelFileError, match="it is a folder"):
        model.save(tmp_path)
    with pytest.raises(ModelFileError, match=r"its folder does not exist[\s\S]*mkdir"):
        model.save(tmp_path / "no" / "m.kgraph")
    model.save(tmp_path / "m.kgraph")
    with pytest.raises(ModelFileError, match=r"exists already[\s\S]*overwrite=True"):
        model.save(tmp_path / "m.kgraph", overwrite=False)
    with pytest.raises(ModelFileError, match="exists already"):
        model.save_weights(tmp_path / "m.kgraph", overwrite=False)


def test_odd_names_and_links_work(tmp_path):
    model = dense()
    for name in ("mit Leerzeichen é.kgraph", "x" * 240 + ".kgraph"):
        model.save(tmp_path / name)
        assert_same_weights(model, saving.load_model(tmp_path / name))
    (tmp_path / "link.kgraph").symlink_to(tmp_path / "target.kgraph")
    model.save(tmp_path / "link.kgraph")
    assert (tmp_path / "link.kgraph").is_symlink()
    assert_same_weights(model, saving.load_model(tmp_path / "target.kgraph"))


@pytest.mark.parametrize("step", ["workshop", "write_zip", "put_in_place"])
def test_the_old_file_stays_whole_when_a_save_fails(step, tmp_path, monkeypatch):
    old, new = dense(), dense()
    old.save(tmp_path / "m.kgraph")
    before = (tmp_path / "m.kgraph").read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(content if step == "write_zip" else atomic, step, fail)
    with pytest.raises(
        OSError, match=r"No space left on device: it needs [\d,]+ bytes: '.*m\.kgraph'"
    ):
        new.save(tmp_path / "m.kgraph")
    assert (tmp_path / "m.kgraph").read_bytes() == before
    assert os.listdir(tmp_path) == ["m.kgraph"]


def test_what_a_killed_save_left_is_taken_away_by_the_next(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(60)
    dead = tmp_path / f".kgraph-saving-{atomic._host()}-{ended.pid}-abc"
    alive = tmp_path / f".kgraph-saving-{atomic._host()}-{os.getppid()}-abc"
    other = tmp_path / f".kgraph-saving-00000000-{ended.pid}-abc"
    ours = tmp_path / f".kgraph-saving-{atomic._host()}-{os.getpid()}-abc"
    for folder in (dead, alive, other, ours):
        folder.mkdir()
    dense().save(tmp_path / "m.kgraph")
    assert sorted(litter(tmp_path)) == sorted([alive.name, other.name])


def test_bytes_are_durable_before_the_name_and_the_name_before_the_return(tmp_path, monkeypatch):
    seen = []
    for call in ("fsync", "replace"):
        real = getattr(os, call)

        def noting(*args, call=call, real=real):
            seen.append(call)
            return real(*args)

        monkeypatch.setattr(atomic.os, call, noting)
    (tmp_path / "new").write_bytes(b"x")
    atomic.put_in_place(tmp_path / "new", tmp_path / "target")
    assert seen == ["fsync", "replace", "fsync"]


def one_step() -> tuple[np.ndarray, np.ndarray]:
    return np.ones((2, 4), "float32"), np.ones((2, 2), "float32")


def test_a_folder_that_is_read_only_is_named_and_before_the_first_step(tmp_path):
    with little_disk(tmp_path / "disk", "ro") as disk:
        model = dense()
        for save in (model.save, model.save_weights):
            with pytest.raises(OSError, match=r"Read-only file system.*disk"):
                save(disk / "m.kgraph")
        for target in (f"{disk}/m/", f"{disk}/new/m/"):
            with pytest.raises((OSError, ModelFileError), match=r"disk"):
                model.save(target)
        with pytest.raises(OSError, match=r"Read-only file system.*disk"):
            model.save(f"{disk}/m/", wait=False)
        model.compile("sgd", "mse")
        for options in (
            {"callbacks": [callbacks.ModelCheckpoint(f"{disk}/{{epoch}}.kgraph")]},
            {"callbacks": [callbacks.ModelCheckpoint(f"{disk}/in/{{epoch}}.kgraph")]},
            {"checkpoint": Checkpoint(disk / "run")},
        ):
            with pytest.raises(OSError, match=r"disk"):
                model.fit(*one_step(), verbose=0, **options)
        assert (
            model._kgraph.trainer.state() is None or int(model._kgraph.trainer.state()["step"]) == 0
        )
        assert not os.listdir(disk)


def test_other_folders_for_temporary_files_are_not_used(tmp_path, monkeypatch):
    with little_disk(tmp_path / "disk", "size=4m") as disk:
        # A folder that is not there, and one on another file system.
        for step, place in enumerate(("/nowhere", str(disk))):
            monkeypatch.setenv("TMPDIR", place)
            monkeypatch.setattr(tempfile, "tempdir", place)
            model = dense()
            model.save(tmp_path / "m.kgraph")
            model.save(f"{tmp_path}/m/")
            model.save(tmp_path / "m.keras")
            model.save_weights(tmp_path / "m.safetensors")
            with Checkpoint(tmp_path / "run") as checkpoint:
                checkpoint.save(step, {"w": np.ones(3)}, {})
            assert_same_weights(model, saving.load_model(tmp_path / "m"))
            assert_same_weights(model, saving.load_model(tmp_path / "m.kgraph"))
            assert not os.listdir(disk)


def test_a_folder_may_have_any_name(tmp_path):
    model = dense()
    for name in ("mit Leerzeichen \u00e9", "x" * 250, "a.kgraph"):
        model.save(f"{tmp_path}/{name}/")
        assert_same_weights(model, saving.load_model(tmp_path / name))
    (tmp_path / "link").symlink_to(tmp_path / "target")
    model.save(f"{tmp_path}/link/")
    assert_same_weights(model, saving.load_model(tmp_path / "target"))
