"""A good file taken apart, to be changed and put together again with digests that are right."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import kgraph as keras
from kgraph import layers, ops

ESCAPE = "\x1b[31mred\x07"


def good_model() -> keras.Model:
    """Two inputs, a nested model called twice, functions, a layer with state; trained one step."""
    keras.utils.set_random_seed(1)
    x = keras.Input((4,), name="x")
    inner = keras.Model(x, layers.Dense(4, activation="relu", name="deep")(x), name="inner")
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    h = layers.add([inner(a), inner(b)], name="sum")
    h = layers.BatchNormalization(name="norm")(layers.Dropout(0.5, name="drop")(h))
    h = ops.concatenate([h * 2.0, layers.Dense(3, name="side")(a)[:, ::2]], axis=-1)
    model = keras.Model([a, b], layers.Dense(2, name="head")(h), name="good")
    model.compile("adam", "mse", metrics=["mae"])
    rows = np.ones((2, 4), "float32")
    model.train_on_batch([rows, rows], np.ones((2, 2), "float32"))
    return model


class Draft:
    """The parts of a saved file.

    Fields:
        model, training: JSON that may be changed.
        arrays: bytes of the member `arrays.safetensors`.
        manifest: what was written. Its members and digest follow the parts, unless `frozen`.
        texts: bytes of JSON members, in the place of what their data give.
        extra: further members.
        order: of the members; by default that of a save.
    """

    def __init__(self, path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        self.manifest = json.loads(parts["manifest.json"])
        self.model = json.loads(parts["model.json"])
        self.training = json.loads(parts["training.json"])
        self.arrays = parts["arrays.safetensors"]
        self.texts: dict[str, bytes] = {}
        self.extra: dict[str, bytes] = {}
        self.frozen = False

    def copy(self) -> Draft:
        return copy.deepcopy(self)

    # --- places ----------------------------------------------------------------------------------

    @property
    def config(self) -> Any:
        return self.model["model"]["config"]

    def layer(self, name: str) -> Any:
        return self.config["layers"][name]

    def options(self, name: str) -> Any:
        return self.layer(name)["config"]

    def node(self, name: str) -> Any:
        return next(node for node in self.config["nodes"] if node["name"] == name)

    def header(self) -> Any:
        length = int.from_bytes(self.arrays[:8], "little")
        return json.loads(self.arrays[8 : 8 + length])

    # --- changes ---------------------------------------------------------------------------------

    def set_header(self, header: Any) -> None:
        """Replaces the header of the arrays."""
        length = int.from_bytes(self.arrays[:8], "little")
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        self.arrays = len(text).to_bytes(8, "little") + text + self.arrays[8 + length :]

    def members(self) -> dict[str, bytes]:
        """Returns the members with digests that are right."""
        parts = {
            "model.json": encode(self.model),
            "training.json": encode(self.training),
            "arrays.safetensors": self.arrays,
        }
        parts = {name: self.texts.get(name, data) for name, data in parts.items() if data != b"-"}
        if not self.frozen:
            digests = {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()}
            listed = self.manifest.get("members")
            if isinstance(listed, dict):
                for name, data in parts.items():
                    if name in listed and isinstance(listed[name], list):
                        digest = digests[name]
                        if name == "arrays.safetensors":
                            digest = self._arrays_digest(data)
                        listed[name] = [len(data), digest]
            self.manifest["sha256"] = digest_of(self.manifest)
        head = self.texts.get("manifest.json", encode(self.manifest))
        return {"manifest.json": head, **parts, **self.extra}

    def _arrays_digest(self, data: bytes) -> str:
        length = int.from_bytes(data[:8], "little")
        try:
            table = b"".join(bytes.fromhex(entry[3]) for entry in self.manifest.get("arrays", ()))
        except (TypeError, ValueError, LookupError):
            table = b""
        return hashlib.sha256(data[: 8 + length] + table).hexdigest()

    def bytes(self) -> bytes:
        """Returns the whole file."""
        return zipped(self.members())


def encode(data: Any) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode()


def digest_of(manifest: Any) -> str:
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(encode(content)).hexdigest()


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """Returns a zip file of members, each made like those of a save."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.compress_type, entry.external_attr = compression, 0o644 << 16
            archive.writestr(entry, data)
    return buffer.getvalue()


Case = Callable[[Draft], bytes]
Table = Iterator[tuple[str, Case]]


def changed_model(draft: Draft, edit: Callable[[Draft], Any]) -> bytes:
    """Returns the file after an edit of the draft."""
    edit(draft)
    return draft.bytes()
