"""Loads damaged `.keras` files in a process of its own, for the HDF5 library may crash.

Arguments: seed, number of files, a folder. Each file is a good one whose bytes were changed: as a
whole, or in one member, with the checksum of the zip repaired. What is neither a `ModelFileError`
nor a model of the good file's shapes ends the process with the number of the trial.
"""

from __future__ import annotations

import faulthandler
import io
import random
import resource
import signal
import sys
import zipfile
from pathlib import Path

import numpy as np

import kgraph
from kgraph.errors import ModelFileError

SECONDS = 10


def good_file(path: Path) -> None:
    """Saves a model with a shared layer, state and an optimizer."""
    x = kgraph.Input((5,), name="x")
    shared = kgraph.layers.Dense(5, activation="relu", name="shared")
    h = kgraph.layers.BatchNormalization(name="norm")(shared(shared(x)))
    model = kgraph.Model(x, kgraph.layers.Dense(2, name="head")(h), name="good")
    model.compile("adam", "mse")
    model.train_on_batch(np.ones((2, 5), "float32"), np.ones((2, 2), "float32"))
    model.save(path)


def damaged(whole: bytes, rng: random.Random) -> bytes:
    """Returns a file whose bytes were changed somewhere."""
    if rng.random() < 0.2:
        return changed(whole, rng)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice([*members, "model.weights.h5", "model.weights.h5", "config.json"])
    members[name] = changed(members[name], rng)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return made.getvalue()


def changed(data: bytes, rng: random.Random) -> bytes:
    """Returns bytes with one to four places overwritten, deleted, doubled or cut off."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at, size = rng.randrange(len(found) or 1), rng.choice((1, 1, 4, 8, 64))
        match rng.randrange(5):
            case 0 | 1:
                found[at : at + size] = rng.randbytes(size)
            case 2:
                found[at : at + size] = rng.choice((b"\xff", b"\0", b"\x7f")) * size
            case 3:
                found[at:at] = found[at : at + size]
            case 4 if rng.random() < 0.1:
                del found[at:]
    return bytes(found)


def main() -> None:
    seed, count, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    faulthandler.enable()
    good_file(folder / "good.keras")
    whole, path = (folder / "good.keras").read_bytes(), folder / "bad.keras"
    shapes = [(w.shape, w.dtype) for w in kgraph.models.load_model(folder / "good.keras").weights]
    base = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (base + 2**30,) * 2)
    rng = random.Random(seed)
    outcomes = {"loaded": 0, "refused": 0}
    for trial in range(count):
        print(f"trial {trial}", file=sys.stderr, flush=True)
        path.write_bytes(damaged(whole, rng))
        signal.alarm(SECONDS)
        model, text = None, ""
        try:
            model = kgraph.models.load_model(path)
        except ModelFileError as error:
            text = str(error)
        outcomes["refused" if model is None else "loaded"] += 1
        assert len(text) <= 500, text
        assert all(line.isprintable() for line in text.split("\n")), repr(text)
        if model is not None and model.name == "good" and len(model.weights) == len(shapes):
            assert [(w.shape, w.dtype) for w in model.weights] == shapes
        assert model is None or all(w.numpy().shape == w.shape for w in model.weights)
        signal.alarm(0)
    assert sorted(p.name for p in folder.iterdir()) == ["bad.keras", "good.keras"]
    print(outcomes)


if __name__ == "__main__":
    main()
