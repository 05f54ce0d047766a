"""Gives one reader damaged files, in a process of its own, for libraries in C may crash.

Arguments: the reader, how many files, a folder. Hypothesis chooses the damage, and makes it small
when it finds something: what is not refused with the one error of the reader, and is not what the
good file holds, is a fault. So is what takes a GiB of memory, or ten seconds.
"""

from __future__ import annotations

import faulthandler
import io
import json
import os
import resource
import shutil
import signal
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis.strategies as st
import jax
import numpy as np
from hypothesis import HealthCheck, example, given, settings

import kgraph
from kgraph.errors import DataError, ModelFileError
from kgraph.saving import load_model
from kgraph.utils.archives import extract_archive

SECONDS = 10
NUMBERS = (b"\0", b"\xff", b"\xff" * 4, b"\xff" * 8, b"\0" * 8, b"\0\0\0\x80", b"\x7f" * 8)


class Edit(NamedTuple):
    """A change of the bytes of a file.

    Fields:
        file: which of the files, if there are several.
        place: where, as a part of the size; below 0 from the end, in bytes.
        size: how many bytes.
        action: what becomes of them.
        data: what stands there in their place.
    """

    file: int
    place: float
    size: int
    action: str
    data: bytes


EDITS = st.lists(
    st.builds(
        Edit,
        st.integers(0, 9),
        st.one_of(st.floats(0, 1), st.integers(-400, -1)),
        st.sampled_from((1, 1, 2, 4, 8, 64)),
        st.sampled_from(("write", "write", "write", "delete", "double", "cut", "swap")),
        st.one_of(st.sampled_from(NUMBERS), st.binary(min_size=1, max_size=12)),
    ),
    min_size=1,
    max_size=4,
)
CORPUS = (
    [Edit(0, 0.0, 1, "cut", b"")],
    [Edit(0, -1, 1, "delete", b"")],
    [Edit(0, -22, 22, "double", b"")],  # a second end of a zip
    [Edit(0, -18, 4, "write", b"\xff" * 4)],  # counts of a zip
    [Edit(0, 0.0, 8, "write", b"\xff" * 8)],  # the length of a header
    [Edit(0, 0.5, 64, "swap", b"")],
    [Edit(9, 0.5, 1, "write", b"\0")],
)
"""Damage that any reader meets, whatever is drawn."""


def damaged(data: bytes, edit: Edit) -> bytes:
    """Returns the bytes with one change."""
    found = bytearray(data)
    at = int(edit.place * len(found)) if edit.place >= 0 else max(0, len(found) + int(edit.place))
    match edit.action:
        case "write":
            found[at : at + len(edit.data)] = edit.data
        case "delete":
            del found[at : at + edit.size]
        case "double":
            found[at:at] = found[at : at + edit.size]
        case "cut":
            del found[at:]
        case "swap":
            found[at : at + edit.size], found[: edit.size] = (
                found[: edit.size], found[at : at + edit.size],
            )  # fmt: skip
    return bytes(found)


# --- the readers ---------------------------------------------------------------------------------


def model() -> Any:
    """Returns a small model with an optimizer's state."""
    x = kgraph.Input((4,), name="x")
    h = kgraph.layers.BatchNormalization(name="norm")(kgraph.layers.Dense(4, name="hidden")(x))
    made = kgraph.Model(x, kgraph.layers.Dense(2, name="head")(h), name="good")
    made.compile("adam", "mse")
    made.set_weights([np.full(w.shape, i + 1, "float32") for i, w in enumerate(made.weights)])
    made.train_on_batch(np.ones((2, 4), "float32"), np.ones((2, 2), "float32"))
    return made


def bits(tree: Any) -> Any:
    """Returns all that arrays hold, to compare."""
    return [(np.shape(a), np.asarray(a).tobytes()) for a in jax.tree.leaves(tree)]


def all_of(loaded: Any) -> Any:
    return loaded.graph.content_hash, bits(loaded.get_weights())


@cache
def reader() -> Any:
    return model()


def weights_from(path: Path) -> Any:
    loaded = reader()
    loaded.set_weights([np.zeros_like(w) for w in loaded.get_weights()])
    loaded.load_weights(path)
    return bits(loaded.get_weights())


def exported(path: Path) -> Any:
    found = kgraph.export.load(path)
    return found.stablehlo, bits(dict(found.weights))


def save_steps(path: Path) -> None:
    with kgraph.Checkpoint(path) as checkpoint:
        checkpoint.save(1, {"w": np.arange(64.0), "step": np.int32(1)}, {"epoch": 1})


def restored(path: Path) -> Any:
    arrays, meta = kgraph.Checkpoint(path).restore()
    return bits(arrays), json.dumps(meta)


def pack(path: Path) -> None:
    names = {"a/one.txt": b"one" * 50, "a/b/two.txt": b"two" * 50}
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in names.items():
                archive.writestr(name, data)
        return
    with tarfile.open(path, f"w:{path.suffix[1:].replace('tar', '')}") as archive:
        for name, data in names.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def unpacked(path: Path) -> None:
    """Extracts an archive; whatever it holds, nothing is written outside of its folder."""
    outside = path.parent / "outside"
    target = outside / "target"
    shutil.rmtree(outside, ignore_errors=True)
    target.mkdir(parents=True)
    try:
        extract_archive(path, target)
    finally:
        assert os.listdir(outside) == ["target"]
        assert not [p for p in target.rglob("*") if p.is_symlink()]


Reader = tuple[str, Callable[[Path], object], Callable[[Path], Any]]

READERS: dict[str, Reader] = {
    "kgraph": ("m.kgraph", lambda p: model().save(p), lambda p: all_of(load_model(p))),
    "keras": ("m.keras", lambda p: model().save(p), lambda p: all_of(load_model(p))),
    "safetensors": ("m.safetensors", lambda p: model().save_weights(p), weights_from),
    "weights.h5": ("m.weights.h5", lambda p: model().save_weights(p), weights_from),
    "stablehlo": ("m.stablehlo", lambda p: model().export(p, platforms=["cpu"]), exported),
    "checkpoint": ("steps", save_steps, restored),
    "zip": ("a.zip", pack, unpacked),
    "tar": ("a.tar", pack, unpacked),
    "tar.gz": ("a.tar.gz", pack, unpacked),
}


def files_of(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(p for p in path.rglob("*") if p.is_file() and p.stat().st_size)


def fuzz(name: str, count: int, folder: Path) -> dict[str, int]:
    """Reads so many damaged files; returns how many were refused, and how many the same."""
    ending, make, read = READERS[name]
    good, bad = folder / ending, folder / "bad" / ending
    make(good)
    expected, outcomes = read(good), Counter({"refused": 0, "the same": 0})

    def trial(edits: Sequence[Edit]) -> None:
        shutil.rmtree(bad.parent, ignore_errors=True)
        bad.parent.mkdir()
        (shutil.copytree if good.is_dir() else shutil.copy)(good, bad)
        files = files_of(bad)
        for edit in edits:
            file = files[edit.file % len(files)]
            file.write_bytes(damaged(file.read_bytes(), edit))
        print(f"{name} {edits}", file=sys.stderr, flush=True)
        refusal = DataError if read is unpacked else ModelFileError
        found, text = None, None
        signal.alarm(SECONDS)
        try:
            found = read(bad)
        except refusal as error:
            text = str(error)
        signal.alarm(0)
        if text is None:
            assert found == expected, "damage went unnoticed"
        else:
            assert len(text) <= 1000 if read is unpacked else len(text) <= 500, text
            assert all(line.isprintable() for line in text.split("\n")), repr(text)
        outcomes["the same" if text is None else "refused"] += 1

    run = given(edits=EDITS)(trial)
    for edits in CORPUS:
        run = example(edits=edits)(run)
    checks = list(HealthCheck)
    settings(max_examples=count, deadline=None, database=None, suppress_health_check=checks)(run)()
    return dict(outcomes)


def main() -> None:
    faulthandler.enable()
    name, count, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    model()  # threads and caches of JAX are there before memory is limited
    base = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (base + 4 * 2**30,) * 2)
    print(fuzz(name, count, folder))


if __name__ == "__main__":
    main()
