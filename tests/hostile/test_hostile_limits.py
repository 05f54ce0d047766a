"""Limits: at each of them a file loads, one beyond it does not; and time grows with the file."""

from __future__ import annotations

import ast
import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from drafts import Draft, encode
from watching import Calls

import kgraph as keras
from kgraph import layers, registry, saving
from kgraph.custom_objects import get_registered_object
from kgraph.errors import ModelFileError
from kgraph.saving.files import strict_json
from kgraph.saving.files.misfit import Misfit
from kgraph.saving.kgraph_format.document_check import check_document

PACKAGE = Path(keras.__file__).parent
SAVING = PACKAGE / "saving"


def chain(length: int) -> dict[str, Any]:
    """Returns the description of so many ReLUs in a row."""
    x = keras.Input((4,), name="x")
    model = keras.Model(x, layers.ReLU(name="r")(x), name="m")
    document = json.loads(model.to_json())
    config = document["model"]["config"]
    relu, node = config["layers"].pop("r"), config["nodes"].pop()
    before = "x"
    for i in range(length):
        name = f"r{i}"
        config["layers"][name] = {**relu, "config": {**relu["config"], "name": name}}
        config["nodes"].append({**node, "name": name, "layer": name, "inputs": [[before, 0]]})
        before = name
    config["outputs"] = {"tensor": [before, 0]}
    return {"model": document["model"], "inputs": None}


BASE = chain(2)


def changed(*path: Any, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(BASE)
    place = document["model"]["config"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return document


def renamed(name: str) -> dict[str, Any]:
    return json.loads(json.dumps(BASE).replace('"r1"', json.dumps(name)))


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


def dims(*sizes: Any) -> dict[str, Any]:
    return changed("layers", "x", "config", "dims", value=["batch", *sizes])


LIMITS = {
    "name": (renamed("n" * 1024), renamed("n" * 1025)),
    "characters of a name": (renamed("größe ж"), renamed("a\tb")),
    "rank": (dims(*[1] * 31), dims(*[1] * 32)),
    "size": (dims(2**31 - 1), dims(2**31)),
    "slots": (BASE, changed("nodes", 0, "args", value=[{"slot": 1}])),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_description_at_the_limit_is_accepted_and_one_beyond_is_not(name: str):
    good, bad = LIMITS[name]
    check_document(good)
    with pytest.raises(Misfit):
        check_document(bad)


def test_json_at_the_limit_is_accepted_and_beyond_is_not(monkeypatch: pytest.MonkeyPatch):
    pairs = [
        (nested(64), nested(65)),
        (b"9007199254740991", b"9007199254740992"),
        (b"-9007199254740991", b"-9007199254740992"),
        (b"1.7e308", b"1.8e308"),
    ]
    for good, bad in pairs:
        strict_json.decode(good)
        with pytest.raises(ValueError, match=r"deeper|too large"):
            strict_json.decode(bad)
    monkeypatch.setattr(strict_json, "MAX_BYTES", 10)
    strict_json.decode(b" " * 9 + b"1")
    with pytest.raises(ValueError, match="more than 10 bytes"):
        strict_json.decode(b" " * 10 + b"1")


def test_numbers_of_nodes_and_edges(monkeypatch: pytest.MonkeyPatch):
    module = "kgraph.saving.kgraph_format.document_check"
    monkeypatch.setattr(f"{module}.MAX_NODES", 3)
    check_document(chain(2))
    with pytest.raises(Misfit, match="layers"):
        check_document(chain(3))
    monkeypatch.setattr(f"{module}.MAX_NODES", 100)
    monkeypatch.setattr(f"{module}.MAX_EDGES", 5)
    check_document(chain(5))
    with pytest.raises(Misfit, match="nodes"):
        check_document(chain(6))


def test_checking_takes_time_in_proportion():
    def calls(length: int) -> int:
        document = chain(length)
        with Calls() as found:
            check_document(document)
        return found.count

    assert calls(1_000) < 11 * calls(100)
    backwards = chain(1_000)
    backwards["model"]["config"]["nodes"].reverse()
    with Calls() as found, pytest.raises(Misfit, match=r"nodes\[0\]"):
        check_document(backwards)
    assert found.count < calls(1_000)


@pytest.mark.slow
def test_loading_takes_time_in_proportion(tmp_path: Path):
    def calls(length: int) -> int:
        text = json.dumps({"format": "kgraph model", "format_version": 1, **chain(length)})
        with Calls() as found:
            model = saving.model_from_json(text)
            model.graph.content_hash  # noqa: B018 - computed on first use
        return found.count

    calls(100)
    assert calls(4000) < 12 * calls(400)  # 100 times would be quadratic


def test_a_diamond_of_many_stages_is_no_matter(tmp_path: Path):
    tensor = x = keras.Input((4,))
    for _ in range(40):
        tensor = layers.add([tensor, tensor])
    keras.Model(x, tensor).save(tmp_path / "m.kgraph")
    with Calls() as found:
        saving.load_model(tmp_path / "m.kgraph")
    assert found.count < 10**6  # in two paths at each stage there would be 2**40


# --- the closed registry -------------------------------------------------------------------------

MODULES = (
    "builtins", "os", "subprocess", "numpy", "jax", "jax.numpy", "optax", "orbax.checkpoint",
    "kgraph", "shutil",
)  # fmt: skip
SLOTS = (
    "layer", "activation", "initializer", "regularizer", "constraint", "loss", "metric",
    "optimizer", "schedule",
)  # fmt: skip


def test_no_name_of_any_module_resolves_unless_it_is_in_the_list():
    names = {n for module in MODULES for n in dir(__import__(module, fromlist=["x"]))}
    names |= {f"{module}.{n}" for module in MODULES for n in list(names)[:50]}
    names |= {"Custom>Dense", "kgraph>Dense", "Dense>", ">Dense", "__builtins__", ""}
    for kind in SLOTS:
        known = set(registry.registered_names(kind))
        assert known
        odd = [n for n in known if "." in n or ">" in n or n.startswith("_")]
        assert all(kind == "activation" and n.startswith("jax.nn.") for n in odd), odd
        for name in names - known:
            # What `lookup` does, without the list of similar names that takes its time.
            assert get_registered_object(name) is None
            assert (kind, name) not in registry._own
    for name in sorted(names)[::97]:
        if name not in registry.registered_names("layer"):
            with pytest.raises(ValueError, match="No layer is known as"):
                registry.lookup("layer", name)


FORBIDDEN_NAMES = {
    "pickle", "marshal", "eval", "exec", "__import__", "importlib", "extractall", "extract",
    "yaml", "urllib", "requests", "socket", "load_module", "allow_pickle",
}  # fmt: skip


@pytest.mark.parametrize(
    "path", [*sorted(str(p.relative_to(SAVING)) for p in SAVING.rglob("*.py")), "../registry.py"]
)
def test_the_code_that_loads_has_no_way_to_run_or_fetch_anything(path: str):
    tree = ast.parse((SAVING / path).read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {part for a in node.names for part in a.name.split(".")}
            found |= set((getattr(node, "module", None) or "").split("."))
        of_trees = path == "keras_format/optimizer_slots.py"  # attributes of JAX' keys, by a table
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "getattr":
            assert of_trees or isinstance(node.args[1], ast.Constant), (
                f"getattr with a name in {path}"
            )
    allowed = {"socket"} if path == "files/atomic.py" else set()  # the name of this machine
    assert not found & FORBIDDEN_NAMES - allowed


# --- memory --------------------------------------------------------------------------------------

LOAD = """
import sys
from watching import peak_memory
from kgraph.models import load_model
load_model(sys.argv[1])
base = peak_memory()
model = load_model(sys.argv[2])
print(sum(w.nbytes for w in model.weights), peak_memory() - base)
"""


@pytest.mark.slow
def test_a_large_model_takes_little_more_than_its_arrays(tmp_path: Path):
    for name, units in (("small", 4), ("large", 2500)):
        x = keras.Input((units,))
        h = x
        for _ in range(8):
            h = layers.Dense(units)(h)
        keras.Model(x, h).save(tmp_path / name)
    command = [sys.executable, "-c", LOAD, str(tmp_path / "small"), str(tmp_path / "large")]
    env = {**os.environ, "PYTHONPATH": f"{PACKAGE.parent}:{Path(__file__).parent}"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env, timeout=300)
    arrays, peak = map(int, done.stdout.split())
    assert arrays > 190 * 10**6
    assert peak > arrays / 2, "the memory was not measured"
    assert peak <= 2.2 * arrays + 64 * 2**20


def test_nothing_is_read_for_a_shape_that_is_only_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    x = keras.Input((4,), name="x")
    model = keras.Model(x, layers.Dense(3, name="d")(x))
    model.compile("adam", "mse")
    model.save(tmp_path / "m.kgraph")
    draft = Draft(tmp_path / "m.kgraph")
    draft.model["model"]["config"]["layers"]["d"]["config"]["units"] = 2**28
    draft.texts["model.json"] = encode(draft.model)
    (tmp_path / "m.kgraph").write_bytes(draft.bytes())
    monkeypatch.setattr(
        "kgraph.saving.kgraph_format.parts.Part.read_array",
        lambda *_: pytest.fail("arrays were read"),
    )
    with pytest.raises(ModelFileError):
        saving.load_model(tmp_path / "m.kgraph")
