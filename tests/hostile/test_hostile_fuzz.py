"""Random damage, with digests repaired so that deeper layers are reached: one kind of error."""

from __future__ import annotations

import ast
import copy
import io
import os
import random
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import keras_fuzz
import pytest
from drafts import Draft, good_model
from hypothesis import HealthCheck, given, settings
from watching import Calls, peak_memory, state, warm

import kgraph as keras
from kgraph import layers, saving
from kgraph.errors import ModelFileError

pytestmark = pytest.mark.slow
ROOT = Path(keras.__file__).parents[1]
THOROUGH = bool(os.environ.get("KGRAPH_THOROUGH"))
"""With this variable set there are as many trials as a release should stand."""

FUZZ = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    max_examples=5000 if THOROUGH else 250,
    database=None,
)
VALUES = (
    None, True, False, 0, 1, -1, 7, 2**31, 2**40, 2**53 - 1, 0.5, 1e300, "", "x", "batch", "Dense",
    "eval", "\x1b[31m", "x" * 2000, [], {}, [[]], [None], {"slot": 0}, {"slot": -1},
    {"tensor": ["a", 0]}, {"float": "nan"}, {"slice": [None, None, None]}, {"ellipsis": True},
    {"array": [1, 2], "dtype": "float32"}, {"kind": "activation", "function": "relu"},
)  # fmt: skip


@pytest.fixture(scope="module")
def draft(tmp_path_factory: pytest.TempPathFactory) -> Draft:
    path = tmp_path_factory.mktemp("good") / "good.kgraph"
    warm()
    good_model().save(path)
    saving.load_model(path)
    return Draft(path)


def load_or_refuse(path: Path) -> Any:
    """Returns the model, or None for a file that is refused as it should be."""
    before, memory, calls = state(), peak_memory(), Calls()
    model, text = None, ""
    try:
        with calls:
            model = saving.load_model(path)
    except ModelFileError as error:
        text = str(error)
    assert len(text) <= 500
    assert all(line.isprintable() for line in text.split("\n"))
    assert calls.count < 10**6
    assert peak_memory() - memory < 128 * 2**20
    assert state() == before
    return model


def places(data: Any) -> list[tuple[Any, Any]]:
    """Returns container and key of everything inside JSON data."""
    found, waiting = [], [data]
    while waiting:
        item = waiting.pop()
        keys = list(item) if isinstance(item, dict) else range(len(item))
        for key in keys:
            found.append((item, key))
            if isinstance(item[key], (dict, list)):
                waiting.append(item[key])
    return found


def mutate(data: Any, draw: Any) -> None:
    """Changes one place in JSON data: another value, deleted, doubled, or moved."""
    options = places(data)
    if not options:
        return
    container, key = options[draw(st.integers(0, len(options) - 1))]
    action = draw(st.sampled_from(("set", "set", "set", "delete", "double", "move")))
    if action == "set":
        container[key] = copy.deepcopy(draw(st.sampled_from(VALUES)))
    elif action == "delete":
        del container[key]
    elif action == "double" and isinstance(container, list):
        container.append(copy.deepcopy(container[key]))
    else:
        other, place = options[draw(st.integers(0, len(options) - 1))]
        if isinstance(other, dict) or place < len(other):
            container[key] = copy.deepcopy(other[place])


@FUZZ
@given(data=st.data())
def test_changed_json_is_refused_or_gives_a_model(draft, data, tmp_path_factory):
    changed = draft.copy()
    for _ in range(data.draw(st.integers(1, 3))):
        member = data.draw(st.sampled_from(("model", "model", "training", "manifest")))
        mutate(getattr(changed, member), data.draw)
    path = tmp_path_factory.getbasetemp() / "fuzz.kgraph"
    path.write_bytes(changed.bytes())
    model = load_or_refuse(path)
    if model is not None:
        assert model.graph is not None


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("seeds")
    x = keras.Input((3,), name="x")
    keras.Model(x, layers.Dense(2)(x), name="one").save(folder / "one")
    keras.Model(x, layers.LSTM(2)(layers.Reshape((3, 1))(x)), name="two").save(folder / "two")
    good_model().save(folder / "three")
    return [(folder / name).read_bytes() for name in ("one", "two", "three")]


def damaged(seeds: list[bytes], rng: random.Random) -> bytes:
    """Returns one of the files, its bytes changed in one of many ways."""
    data = bytearray(rng.choice(seeds))
    at, size = rng.randrange(len(data)), rng.choice((1, 4, 16, 200))
    match rng.randrange(6):
        case 0:
            data[at] = rng.randrange(256)
        case 1:
            del data[at : at + size]
        case 2:
            data[at:at] = data[at : at + size]
        case 3:
            other = rng.randrange(len(data))
            data[at : at + size], data[other : other + size] = (
                data[other : other + size], data[at : at + size],
            )  # fmt: skip
        case 4:
            del data[at:]
        case 5:
            data[at:] = seeds[rng.randrange(len(seeds))][at:]
    return bytes(data)


def test_changed_bytes_are_refused_or_change_nothing(seeds: list[bytes], tmp_path: Path):
    path = tmp_path / "fuzz.kgraph"
    originals = []
    for data in seeds:
        path.write_bytes(data)
        originals.append(saving.load_model(path))
    number = random.randrange(10**9)
    rng = random.Random(number)
    for trial in range(20_000 if THOROUGH else 800):
        path.write_bytes(damaged(seeds, rng))
        model = load_or_refuse(path)
        if model is None:
            continue
        where = f"seed {number}, trial {trial}"
        same = [o for o in originals if o.name == model.name]
        assert same, where
        assert model.graph == same[0].graph, where
        for one, two in zip(model.weights, same[0].weights, strict=True):
            assert one.numpy().tobytes() == two.numpy().tobytes(), where


@FUZZ
@given(data=st.data())
def test_changed_bytes_of_a_member_with_repaired_digests(draft, data, tmp_path_factory):
    changed = draft.copy()
    member = data.draw(st.sampled_from(("model.json", "training.json", "manifest.json", "arrays")))
    with zipfile.ZipFile(io.BytesIO(changed.bytes())) as archive:
        raw = bytearray(archive.read("arrays.safetensors" if member == "arrays" else member))
    at = data.draw(st.integers(0, min(len(raw), 4000) - 1))
    size = data.draw(st.sampled_from((0, 1, 5, 60)))
    raw[at : at + size] = data.draw(st.binary(max_size=12))
    if member == "arrays":
        changed.arrays = bytes(raw)
    else:
        changed.texts[member] = bytes(raw)
    path = tmp_path_factory.getbasetemp() / "fuzz.kgraph"
    path.write_bytes(changed.bytes())
    load_or_refuse(path)


def test_changed_bytes_of_files_of_keras(tmp_path: Path):
    number, count = random.randrange(10**9), 5000 if THOROUGH else 200
    done = subprocess.run(
        [sys.executable, keras_fuzz.__file__, str(number), str(count), str(tmp_path)],
        capture_output=True, text=True, timeout=3600 if THOROUGH else 300,
        env={**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert done.returncode == 0, f"seed {number}, code {done.returncode}: {done.stderr[-3000:]}"
    outcomes = ast.literal_eval(done.stdout.splitlines()[-1])
    assert min(outcomes.values()) > 10, outcomes
