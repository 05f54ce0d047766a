"""Files that are missing, cut, flipped, foreign or forged: one error each, and nothing is run."""

from __future__ import annotations

import hashlib
import json
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest
from saved_models import assert_same_weights, dense

import kgraph as keras
from kgraph import layers, saving
from kgraph.errors import ModelFileError


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("good") / "m.kgraph"
    dense().save(path)
    return path


def refused(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        saving.load_model(path)
    text = str(caught.value)
    assert len(text) <= 500 + len(str(path))
    assert all(part.isprintable() for part in text.splitlines())
    return text


def members_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def repack(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def forge(good: Path, path: Path, change: Any, member: str = "manifest.json") -> Path:
    """Writes a file whose JSON was changed and whose digests are right."""
    members = members_of(good)
    data = json.loads(members[member])
    change(data)
    members[member] = json.dumps(data).encode()
    if member != "manifest.json":
        manifest = json.loads(members["manifest.json"])
        digest = hashlib.sha256(members[member]).hexdigest()
        manifest["members"][member] = [len(members[member]), digest]
        members["manifest.json"] = json.dumps(manifest).encode()
    return repack(path, members)


def test_missing_folder_empty_and_foreign_files(tmp_path):
    assert "does not exist" in refused(tmp_path / "none.kgraph")
    assert "is no regular file" in refused(tmp_path)
    for name, data in {"empty": b"", "text": b"hello \x1b[31m", "h5": b"\x89HDF\r\n\x1a\n"}.items():
        (tmp_path / name).write_bytes(data)
        assert "is not a kgraph file" in refused(tmp_path / name)
    keras_file = {"config.json": b"{}", "metadata.json": b"{}", "model.weights.h5": b""}
    assert "a Keras file" in refused(repack(tmp_path / "k.keras", keras_file))


def test_a_file_cut_anywhere_is_refused(good, tmp_path):
    data = good.read_bytes()
    cuts = [len(data) * i // 32 for i in range(32)] + [len(data) - n for n in (1, 7, 21)]
    for size in cuts:
        (tmp_path / "cut.kgraph").write_bytes(data[:size])
        refused(tmp_path / "cut.kgraph")


def test_a_flipped_bit_is_found_or_changes_nothing(good, tmp_path):
    data = bytearray(good.read_bytes())
    original = saving.load_model(good)
    numbers = random.Random(5)
    path, found = tmp_path / "flipped.kgraph", 0
    for _ in range(120):
        place, bit = numbers.randrange(len(data)), 1 << numbers.randrange(8)
        data[place] ^= bit
        path.write_bytes(data)
        data[place] ^= bit
        try:
            loaded = saving.load_model(path)
        except ModelFileError:
            found += 1
        else:
            assert_same_weights(original, loaded)
            assert loaded.graph == original.graph
    assert found > 60


def test_packed_twice_named_and_odd_members_are_refused(good, tmp_path):
    members = members_of(good)
    packed = repack(tmp_path / "packed", members, zipfile.ZIP_DEFLATED)
    assert "packed or encrypted" in refused(packed)
    more = {**members, "../evil": b"x"}
    assert "no such member" in refused(repack(tmp_path / "more", more))
    less = {name: data for name, data in members.items() if name != "model.json"}
    assert "no such member" in refused(repack(tmp_path / "less", less))
    with zipfile.ZipFile(tmp_path / "twice", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("model.json", b"{}")
    assert "one twice" in refused(tmp_path / "twice")


def test_another_content_under_the_same_size_is_found_by_its_digest(good, tmp_path):
    for name in members_of(good):
        members = members_of(good)
        if name == "manifest.json" or not members[name]:
            continue
        members[name] = members[name][:-1] + bytes([members[name][-1] ^ 1])
        text = refused(repack(tmp_path / "m.kgraph", members))
        assert "SHA-256" in text
        assert name in text


MANIFEST_CHANGES = {
    "version": (lambda m: m.update(format_version=2), "by this version of kgraph"),
    "format": (lambda m: m.update(format="other"), "by this version of kgraph"),
    "unknown key": (lambda m: m.update(extra=1), "keys"),
    "kind": (lambda m: m.update(kind="\x1b[31m"), "kind"),
    "climbing member": (lambda m: m["members"].update({"arrays/../x": [0, "0" * 64]}), "members"),
    "absolute member": (lambda m: m["members"].update({"/etc/x": [0, "0" * 64]}), "members"),
    "negative size": (lambda m: m["members"].update({"model.json": [-1, "0" * 64]}), "a size"),
    "shape": (lambda m: m["arrays"][0].__setitem__(1, [2**40, 4]), "a shape"),
    "other shape": (lambda m: m["arrays"][0].__setitem__(1, [2**30, 4]), "other arrays"),
    "boolean size": (lambda m: m["arrays"][0].__setitem__(1, [True, 4]), "a shape"),
    "dtype": (lambda m: m["arrays"][0].__setitem__(2, "object"), "a dtype"),
    "digest": (lambda m: m["arrays"][0].__setitem__(3, "0" * 64), "is damaged"),
    "array twice": (lambda m: m["arrays"].append(m["arrays"][0]), "twice"),
    "array missing": (lambda m: m["arrays"].pop(), "no such array"),
    "graph hash": (lambda m: m.update(graph_hash="0" * 64), "another graph"),
    "training array": (
        lambda m: m["arrays"].append(["training/x", [2**30], "float32", "0" * 64]),
        "other arrays",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MANIFEST_CHANGES)
def test_a_forged_manifest_is_refused(name, good, tmp_path):
    change, expected = MANIFEST_CHANGES[name]
    assert expected in refused(forge(good, tmp_path / "m.kgraph", change))


MODEL_CHANGES = {
    "class": lambda m: m["model"].update(class_name="os.system"),
    "kind": lambda m: m["model"].update(kind="__builtins__"),
    "another object": lambda m: m.update(
        model={"kind": "loss", "class_name": "MeanSquaredError", "config": {}}
    ),
    "huge units": lambda m: m["model"]["config"]["layers"]["dense"]["config"].update(units=2**31),
    "no config": lambda m: m.update(model={}),
    "node index": lambda m: m["model"]["config"]["nodes"][0].update(inputs=[["x", -1]]),
    "unknown node": lambda m: m["model"]["config"]["nodes"][0].update(layer="\x1b[31m"),
    "input": lambda m: m.update(inputs={"structure": 1, "specs": 3}),
}


@pytest.mark.parametrize("name", MODEL_CHANGES)
def test_a_forged_model_is_refused(name, good, tmp_path):
    text = refused(forge(good, tmp_path / "m.kgraph", MODEL_CHANGES[name], "model.json"))
    assert "m.kgraph" in text


def test_memory_is_not_taken_for_a_shape_that_the_file_only_claims(good, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "kgraph.saving.load.read_verified", lambda *_: pytest.fail("arrays were read")
    )

    def widen(model):
        model["model"]["config"]["layers"]["dense_1"]["config"]["units"] = 2**28

    refused(forge(good, tmp_path / "m.kgraph", widen, "model.json"))


def test_a_lambda_in_a_config_is_never_made_from_text(good, tmp_path):
    def activation(model):
        config = model["model"]["config"]["layers"]["dense"]["config"]
        config["activation"] = {"kind": "activation", "function": "eval"}

    assert "cannot be rebuilt" in refused(
        forge(good, tmp_path / "m.kgraph", activation, "model.json")
    )


def test_a_checkpoint_with_other_arrays_than_the_table_is_refused(good, tmp_path):
    x = keras.Input((4,))
    keras.Model(x, layers.Dense(2)(layers.Dense(9)(x))).save(tmp_path / "other.kgraph")
    members, other = members_of(good), members_of(tmp_path / "other.kgraph")
    manifest = json.loads(members["manifest.json"])
    theirs = json.loads(other["manifest.json"])
    keep = {n: d for n, d in members.items() if n.endswith(".json") and "/" not in n}
    new = {n: d for n, d in other.items() if n.startswith("arrays/")}
    manifest["members"] = {
        **{n: m for n, m in manifest["members"].items() if n in keep},
        **{n: m for n, m in theirs["members"].items() if n in new},
    }
    keep["manifest.json"] = json.dumps(manifest).encode()
    text = refused(repack(tmp_path / "mixed.kgraph", {**keep, **new}))
    assert "holds arrays that cannot be read" in text
