"""Models in folders: arrays on several devices, saves in the background, and what comes of both."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import team_child
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from saved_models import assert_same_weights, dense

import kgraph
from kgraph import callbacks, layers, saving
from kgraph.errors import ConfigError, ModelFileError
from kgraph.layers.base.tree import named_weights
from kgraph.saving import save as save_module
from kgraph.saving.files import pending
from kgraph.saving.kgraph_format import folder as folder_module
from kgraph.saving.kgraph_format.parts import Part

ROOT = Path(kgraph.__file__).parents[1]


def spread(*axes: str | None) -> NamedSharding:
    """Returns a sharding over 4 by 2 devices: `"rows"` and `"columns"` name the axes."""
    mesh = Mesh(np.array(jax.devices()[:8]).reshape(4, 2), ("rows", "columns"))
    return NamedSharding(mesh, PartitionSpec(*axes))


def spread_model() -> Any:
    """Returns a model whose weights are spread: in 8 shards, in 2 (each on 4 devices), and not."""
    x = kgraph.Input((8,), name="x")
    model = kgraph.Model(x, layers.Dense(4, name="b")(layers.Dense(6, name="a")(x)), name="m")
    for weight, axes in zip(model.weights, [("rows", "columns"), ("columns",), (None,), ()]):
        numbers = np.random.default_rng(3).normal(size=weight.shape).astype("float32")
        weight.assign(jax.device_put(numbers, spread(*axes)))
    return model


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "m"
    spread_model().save(f"{path}/")
    return path


def manifest_of(path: Path) -> Any:
    return json.loads((path / "manifest.json").read_text())


def test_shards_are_stored_as_the_devices_hold_them(good: Path):
    rows = {row[0]: row for row in manifest_of(good)["arrays"]}
    kernel = rows["weights/a/kernel"]
    assert [shard[:2] for shard in kernel[4]] == [
        [[r, c], [2, 3]] for r in (0, 2, 4, 6) for c in (0, 3)
    ]
    assert len({shard[2] for shard in kernel[4]}) == 8
    assert [shard[:2] for shard in rows["weights/a/bias"][4]] == [[[0], [3]], [[3], [3]]]
    assert len(rows["weights/b/kernel"]) == len(rows["weights/b/bias"]) == 4


def test_a_folder_of_shards_loads_on_one_device_and_on_others(good: Path, monkeypatch):
    model = spread_model()
    loaded = saving.load_model(good)
    assert_same_weights(model, loaded)
    assert {len(w.value.sharding.device_set) for w in loaded.weights} == {1}

    read: list[str] = []
    real = Part.read_array
    monkeypatch.setattr(
        Part, "read_array", lambda self, at, spec: (read.append(spec.name), real(self, at, spec))[1]
    )
    asked: dict[str, tuple[int, ...]] = {}

    def across(path: str, shape: tuple[int, ...]) -> NamedSharding:
        asked[path] = shape
        return spread(None, "rows") if shape == (6, 4) else spread("columns")

    other = saving.load_model(good, shardings=across)
    assert_same_weights(model, other)
    assert asked["weights/a/kernel"] == (8, 6)
    assert other.weights[0].value.sharding == spread("columns")
    assert len(read) == len(set(read)) == 8 + 2 + 2, "each shard is read once"


def test_weights_stay_spread_when_others_are_read_into_them(good: Path):
    model = spread_model()
    before = [w.value.sharding for w in model.weights]
    model.set_weights([np.zeros(w.shape, "float32") for w in model.weights])
    model = spread_model()
    for weight in model.weights:
        weight.assign(weight.value * 0)
    model.load_weights(good)
    assert_same_weights(spread_model(), model)
    for sharding, weight in zip(before, model.weights, strict=True):
        assert weight.value.sharding.is_equivalent_to(sharding, len(weight.shape))


def test_spread_arrays_in_one_file_are_gathered(tmp_path: Path):
    spread_model().save(tmp_path / "m.kgraph")
    assert_same_weights(spread_model(), saving.load_model(tmp_path / "m.kgraph"))
    spread_model().save_weights(tmp_path / "m.safetensors")
    fresh = saving.load_model(tmp_path / "m.kgraph")
    fresh.load_weights(tmp_path / "m.safetensors")
    assert_same_weights(spread_model(), fresh)


def test_the_same_shards_give_the_same_bytes_and_old_parts_go(good: Path, tmp_path: Path):
    path = tmp_path / "m"
    other = spread_model()
    other.set_weights([np.ones(w.shape, "float32") for w in other.weights])
    other.save(f"{path}/")
    spread_model().save(f"{path}/")
    assert {p.name: p.read_bytes() for p in path.iterdir()} == {
        p.name: p.read_bytes() for p in good.iterdir()
    }


def test_a_training_state_that_is_spread_goes_on(tmp_path: Path):
    model = spread_model()
    model.compile(kgraph.optimizers.SGD(0.1, momentum=0.9), "mse")
    rows = np.ones((8, 8), "float32"), np.ones((8, 4), "float32")
    model.train_on_batch(*rows)
    model.save(f"{tmp_path}/m/")
    loaded = saving.load_model(tmp_path / "m")
    assert loaded._kgraph.trainer.state()["step"] == 1
    for one, two in zip(
        *map(jax.tree.leaves, (model._kgraph.trainer.state(), loaded._kgraph.trainer.state()))
    ):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(two))
    assert np.isfinite(loaded.train_on_batch(*rows))


def test_a_flipped_bit_in_a_shard_is_named(good: Path, tmp_path: Path):
    path = tmp_path / "m"
    path.mkdir()
    for part in good.iterdir():
        (path / part.name).write_bytes(part.read_bytes())
    arrays = next(path.glob("arrays-*"))
    data = bytearray(arrays.read_bytes())
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    name = "weights/a/kernel[2:4,3:6]"
    data[8 + size + header[name]["data_offsets"][0]] ^= 1
    arrays.write_bytes(data)
    with pytest.raises(ModelFileError, match=r"is damaged[\s\S]*kernel\[2:4,3:6\]") as caught:
        saving.load_model(path)
    assert caught.value.json_path == name
    with pytest.raises(ModelFileError, match=r"kernel\[2:4,3:6\]"):
        saving.load_model(path, shardings=lambda *_: spread())


HOSTILE = {
    "a gap": lambda shards: shards.pop(3),
    "twice": lambda shards: shards.append(shards[0]),
    "an overlap": lambda shards: shards[0].__setitem__(1, [8, 3]),
    "beyond the end": lambda shards: shards[-1].__setitem__(0, [2**30, 3]),
    "another rank": lambda shards: shards[0].__setitem__(0, [0]),
    "negative": lambda shards: shards[0].__setitem__(0, [-2, 0]),
    "another part": lambda shards: shards[0].__setitem__(3, 7),
    "a part too many": lambda shards: shards[0].__setitem__(3, 10**6),
    "a digest": lambda shards: shards[0].__setitem__(2, "0" * 64),
    "no shards": lambda shards: shards.clear(),
    "a text": lambda shards: shards.__setitem__(0, "x"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_shards_that_do_not_make_up_their_array_are_refused(case: str, good: Path, tmp_path: Path):
    from kgraph.saving.kgraph_format.manifest import manifest_digest

    manifest = manifest_of(good)
    row = next(r for r in manifest["arrays"] if r[0] == "weights/a/kernel")
    HOSTILE[case](row[4])
    manifest["sha256"] = manifest_digest(manifest)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    for part in good.iterdir():
        if part.name != "manifest.json":
            (tmp_path / part.name).symlink_to(part)
    with pytest.raises(ModelFileError) as caught:
        saving.load_model(tmp_path)
    assert caught.value.member == "manifest.json"
    assert len(str(caught.value)) <= 500


# --- in the background ---------------------------------------------------------------------------


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Holds back what is written until it is set."""
    event = threading.Event()
    for name in (
        "kgraph.saving.kgraph_format.folder.workshop",
        "kgraph.saving.files.atomic.workshop",
    ):
        module, _, attribute = name.rpartition(".")
        real = getattr(sys.modules[module], attribute)

        def held(*args: Any, real: Any = real) -> Any:
            event.wait(30)
            return real(*args)

        monkeypatch.setattr(name, held)
    return event


@pytest.mark.parametrize("name", ["m/", "m.kgraph"])
def test_what_is_saved_later_is_what_was_there_at_the_call(name: str, tmp_path: Path, gate):
    model = dense()
    model.compile("adam", "mse")
    rows = np.ones((4, 4), "float32"), np.ones((4, 2), "float32")
    model.fit(*rows, verbose=0)
    before = [w.numpy() for w in model.weights]
    save = model.save(f"{tmp_path}/{name}", wait=False)
    assert not save.done
    assert os.listdir(tmp_path / "m" if name == "m/" else tmp_path) in ([], ["writer.lock"])
    model.fit(*rows, epochs=3, verbose=0)  # which donates the arrays
    gate.set()
    loaded = saving.load_model(tmp_path / name.rstrip("/"))  # waits
    assert save.done
    for weight, array in zip(loaded.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), array)
    save.wait()
    assert not pending._pending


def test_a_save_looks_at_arrays_that_nobody_reuses(
    tmp_path: Path, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = dense()
    model.compile("adam", "mse")
    rows = np.ones((4, 4), "float32"), np.ones((4, 2), "float32")
    taken: list[dict[str, Any]] = []
    real = save_module.snapshot
    monkeypatch.setattr(save_module, "snapshot", lambda *a: taken.append(real(*a)) or taken[-1])
    values: list[dict[str, np.ndarray]] = []

    def save(*_: Any) -> None:
        values.append({p: w.numpy() for p, w in named_weights(model)})
        model.save(f"{tmp_path}/{len(values)}/", wait=False)

    during = callbacks.LambdaCallback(on_train_batch_end=save)
    model.fit(*rows, epochs=2, verbose=0, callbacks=[during])
    save()
    for path, weight in named_weights(model):
        assert np.shares_memory(taken[-1]["weights/" + path], np.asarray(weight.value))
        jax.jit(lambda a: a - a, donate_argnums=0)(weight.value)  # as a loop of one's own might
    model.fit(*rows, epochs=2, verbose=0)
    gate.set()
    for number, expected in enumerate(values, 1):
        loaded = saving.load_model(tmp_path / str(number))
        for path, weight in named_weights(loaded):
            np.testing.assert_array_equal(weight.numpy(), expected[path], f"{number} {path}")


def test_a_failure_in_the_background_reaches_whoever_comes_next(tmp_path: Path, monkeypatch):
    model = dense()
    model.save(f"{tmp_path}/m/")
    old = (tmp_path / "m" / "manifest.json").read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    def failing() -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(folder_module, "_write_part", full)
            save = model.save(f"{tmp_path}/m/", wait=False)
            while not save.done:
                pass
        return save

    message = r"No space left on device: it needs 1,296 bytes: '.*m'"
    save = failing()
    with pytest.raises(OSError, match=message):
        save.wait()
    save.wait()  # told once
    failing()
    with pytest.raises(OSError, match=message):
        model.save(f"{tmp_path}/m/")
    failing()
    with pytest.raises(OSError, match=message):
        saving.load_model(tmp_path / "m")
    assert (tmp_path / "m" / "manifest.json").read_bytes() == old
    assert_same_weights(model, saving.load_model(tmp_path / "m"))
    model.save(f"{tmp_path}/m/")


def test_a_failure_in_the_background_reaches_whoever_uses_the_model_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, other = dense(), dense()
    for each in (model, other):
        each.compile("sgd", "mse")
    rows = np.ones((4, 4), "float32"), np.ones((4, 2), "float32")
    other.save_weights(tmp_path / "w")

    def fail() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(folder_module, "_write_part", lambda *_: os.stat("/missing/file"))
            save = model.save(f"{tmp_path}/m/", wait=False)
            while not save.done:
                pass

    for use in (
        lambda: model.fit(*rows, verbose=0),
        lambda: model.save(tmp_path / "other.kgraph"),
        lambda: model.save(tmp_path / "other.keras"),
        lambda: model.save_weights(tmp_path / "w2"),
        lambda: model.load_weights(tmp_path / "w"),
    ):
        fail()
        other.fit(*rows, verbose=0)  # is none of its business
        with pytest.raises(FileNotFoundError, match="/missing/file"):
            use()
        use()  # told once


@pytest.mark.slow
def test_a_forked_process_leaves_failures_to_its_parent(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKING], capture_output=True, text=True, cwd=ROOT, check=True,
        timeout=120,
    )  # fmt: skip
    assert done.stdout == "0\n"


FORKING = """
import os, pathlib, sys
from kgraph.saving.files.background import Background
work = Background(sys, pathlib.Path("/missing"))
work.start(lambda: open("/missing/file"), "work")
work.finish()
if os.fork() == 0:
    work.wait()
    sys.exit(0)
print(os.waitstatus_to_exitcode(os.wait()[1]))
try:
    work.wait()
except FileNotFoundError:
    sys.exit(0)
sys.exit("the parent must hear of it")
"""


def test_files_of_keras_are_not_written_in_the_background(tmp_path: Path):
    with pytest.raises(ConfigError, match="before `save` returns"):
        dense().save(tmp_path / "m.keras", wait=False)


ENDING = """
import sys, kgraph
from kgraph.saving.kgraph_format import folder
if sys.argv[2] == "broken":
    folder._write_part = lambda *_: open("/missing/file")
x = kgraph.Input((4,))
model = kgraph.Model(x, kgraph.layers.Dense(2)(x))
model.save(sys.argv[1] + "/m/", wait=False)
"""


@pytest.mark.slow
@pytest.mark.parametrize("case", ["whole", "broken"])
def test_a_program_that_ends_finishes_its_save(case: str, tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", ENDING, str(tmp_path), case],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=120,
    )  # fmt: skip
    assert done.returncode == (1 if case == "broken" else 0)
    assert (tmp_path / "m" / "manifest.json").exists() == (case == "whole"), done.stderr
    assert ("No such file or directory" in done.stderr) == (case == "broken"), done.stderr


# --- several processes ---------------------------------------------------------------------------


def run_team(path: Path, fault: str) -> list[str]:
    """Runs two processes that save together; returns what each said."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    environment["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
    team = [
        subprocess.Popen(
            [sys.executable, team_child.__file__, address, str(index), str(path), fault],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )
        for index in (0, 1)
    ]  # fmt: skip
    try:
        done = [process.communicate(timeout=60) for process in team]
    finally:
        for process in team:
            process.kill()
    for out, errors in done if fault != "kill" else done[:1]:
        assert out, f"{errors[-2000:]}\n\n{done[1][1][-2000:]}"
    lines = [out.splitlines(keepends=True) for out, _ in done]
    return ["".join(line for line in own if "peer ranks" not in line) for own in lines]


@pytest.mark.slow
def test_two_processes_write_their_parts_of_one_folder(tmp_path: Path):
    path = tmp_path / "m"
    for said in run_team(path, "nothing"):
        assert said.startswith("saved\n"), said
        assert "'weights/d/kernel' is spread over several processes" in said
    parts = sorted(name for name in os.listdir(path) if name.startswith("arrays"))
    assert [name.rpartition("-")[0] for name in parts] == ["arrays-00001", "arrays"]
    assert_same_weights(team_child.team_model(), saving.load_model(path))


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["write", "kill"])
def test_a_process_that_fails_leaves_the_old_save(fault: str, tmp_path: Path):
    path = tmp_path / "m"
    model = team_child.team_model()
    model.set_weights([np.ones(w.shape, "float32") for w in model.weights])
    model.save(f"{path}/")
    before = sorted(os.listdir(path))
    first, second = run_team(path, fault)
    reason = {"write": "No space left on device", "kill": "has not done its part"}[fault]
    assert first.startswith("failed"), first
    assert reason in first
    assert str(path) in first
    assert second.startswith("failed") == (fault == "write")
    assert sorted(set(os.listdir(path)) - {"writer.lock"}) == before
    assert_same_weights(model, saving.load_model(path))
