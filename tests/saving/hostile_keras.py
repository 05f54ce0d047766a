"""Damaged and hostile Keras files: each takes a good file apart and puts one thing wrong."""

from __future__ import annotations

import copy
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Edit = Callable[[dict[str, Any]], Any]


def parts(path: Path) -> dict[str, bytes]:
    """Returns the members of a file."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def put_together(path: Path, members: dict[str, bytes], compress: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compress) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def with_config(edit: Edit) -> Callable[[dict[str, bytes]], None]:
    """Returns a change of the members that edits the config."""

    def change(members: dict[str, bytes]) -> None:
        config = json.loads(members["config.json"])
        found = edit(config)
        members["config.json"] = json.dumps(config if found is None else found).encode()

    return change


def raw_config(edit: Callable[[bytes], bytes]) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        members["config.json"] = edit(members["config.json"])

    return change


def with_arrays(edit: Callable[[h5py.File], Any]) -> Callable[[dict[str, bytes]], None]:
    """Returns a change of the members that edits the HDF5 file."""

    def change(members: dict[str, bytes]) -> None:
        buffer = io.BytesIO(members["model.weights.h5"])
        with h5py.File(buffer, "r+") as file:
            edit(file)
        members["model.weights.h5"] = buffer.getvalue()

    return change


def layer(config: dict[str, Any], name: str) -> dict[str, Any]:
    return next(entry for entry in config["config"]["layers"] if entry["name"] == name)


def option(name: str, key: str, value: Any) -> Callable[[dict[str, bytes]], None]:
    def edit(config: dict[str, Any]) -> None:
        layer(config, name)["config"][key] = value

    return with_config(edit)


def entry(which: str, /, **changes: Any) -> Callable[[dict[str, bytes]], None]:
    return with_config(lambda config: layer(config, which).update(changes))


def call_of(name: str, history: Any) -> Callable[[dict[str, bytes]], None]:
    def edit(config: dict[str, Any]) -> None:
        node = layer(config, name)["inbound_nodes"][0]
        node["args"][0]["config"]["keras_history"] = history

    return with_config(edit)


def _replace(file: h5py.File, path: str, make: Callable[[h5py.Group, str], Any]) -> None:
    del file[path]
    group, _, name = path.rpartition("/")
    make(file[group], name)


def array(make: Callable[[h5py.Group, str], Any]) -> Callable[[dict[str, bytes]], None]:
    return with_arrays(lambda file: _replace(file, KERNEL, make))


def _virtual(group: h5py.Group, name: str) -> None:
    layout = h5py.VirtualLayout((5, 4), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(5, 4))
    group.create_virtual_dataset(name, layout)


def _twice(config: dict[str, Any]) -> None:
    config["config"]["layers"].append(copy.deepcopy(config["config"]["layers"][1]))


def _circle(config: dict[str, Any]) -> None:
    node = layer(config, "dense")["inbound_nodes"][0]
    node["args"][0]["config"]["keras_history"] = ["head", 0, 0]


def _nested(config: dict[str, Any]) -> None:
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    layer(config, "dense")["config"]["units"] = deep


def _soft_link(target: str) -> Callable[[dict[str, bytes]], None]:
    return array(lambda group, name: group.__setitem__(name, h5py.SoftLink(target)))


def _call_input(config: dict[str, Any]) -> None:
    layer(config, "in")["inbound_nodes"] = layer(config, "head")["inbound_nodes"]


def on_constants(**operation: Any) -> Callable[[dict[str, bytes]], None]:
    """Returns a change that adds an operation which reads no tensor."""
    node = {"args": [1.0], "kwargs": {}}
    thing = {"module": NUMPY, "registered_name": None, "name": "s", "inbound_nodes": [node]}
    return with_config(lambda c: c["config"]["layers"].append({**thing, **operation}))


def called_on(argument: Any) -> Callable[[dict[str, bytes]], None]:
    """Returns a change that calls `dense` on something in the config."""
    call = {"args": [argument], "kwargs": {}}
    return with_config(lambda c: layer(c, "dense")["inbound_nodes"].append(call))


def numpy_array(value: Any, dtype: Any) -> dict[str, Any]:
    return {"class_name": "__numpy__", "config": {"value": value, "dtype": dtype}}


KERNEL = "layers/dense/vars/0"
NUMPY = "keras.src.ops.numpy"
LAMBDA = {
    "module": "keras.layers", "class_name": "Lambda", "registered_name": None,
    "config": {
        "name": "dense",
        "function": {"class_name": "__lambda__", "config": {"code": "4wEAAAA=", "defaults": None}},
    },
}  # fmt: skip
DEAD_SWITCH = {
    "module": "keras.src.ops.core", "class_name": "Switch", "config": {"name": "s"},
    "registered_name": "Switch", "name": "s", "inbound_nodes": [],
}  # fmt: skip
HUGE = 2**40

CHANGES: dict[str, tuple[Callable[[dict[str, bytes]], Any], str]] = {
    # the zip
    "no config": (lambda m: m.pop("config.json"), "is no Keras file"),
    "no weights": (lambda m: m.pop("model.weights.h5"), "is no Keras file"),
    "parent in a name": (lambda m: m.update({"../evil": b"x"}), "unsafe name"),
    "absolute name": (lambda m: m.update({"/etc/evil": b"x"}), "unsafe name"),
    "backslash in a name": (lambda m: m.update({"..\\evil": b"x"}), "unsafe name"),
    "escape in a name": (lambda m: m.update({"\x1b[2Jx": b"x"}), "unsafe name"),
    # the JSON
    "no JSON": (raw_config(lambda b: b[: len(b) // 2]), "JSON that is not accepted"),
    "not UTF-8": (raw_config(lambda b: b.decode().encode("utf-16")), "JSON that is not accepted"),
    "NaN": (raw_config(lambda b: b.replace(b'"units":4', b'"units":NaN')), "not accepted"),
    "key twice": (raw_config(lambda b: b'{"config": 1, ' + b[1:]), "a key occurs twice"),
    "deep nesting": (with_config(_nested), "nested deeper"),
    "more values than memory": (raw_config(lambda b: b"[" + b"[]," * 2**21 + b"[]]"), "values"),
    "metadata that are no JSON": (lambda m: m.update({"metadata.json": b"{"}), "not accepted"),
    "very deep nesting": (raw_config(lambda b: b"[" * 100_000), "not accepted"),
    "a list": (with_config(lambda c: [c]), "describes no model"),
    "null": (with_config(lambda c: {"config": None}), "describes no model"),
    # classes and functions
    "module os": (entry("dense", module="os", class_name="system"), "neither kgraph's nor given"),
    "module builtins": (
        entry("dense", module="builtins", class_name="eval", registered_name="eval"), "neither",
    ),
    "unknown class": (entry("dense", class_name="TFSMLayer"), "a class that kgraph has not"),
    "internal class": (entry("dense", class_name="Trainable"), "a class that kgraph has not"),
    "alias of a class": (entry("dense", class_name="dense"), "a class that kgraph has not"),
    "dunder class": (entry("dense", class_name="__import__"), "a class that kgraph has not"),
    "class of another name": (entry("dense", registered_name="Custom>Evil"), "neither"),
    "function of os": (
        option("dense", "activation", {
            "module": "os", "class_name": "function", "config": "system", "registered_name": "x",
        }), "a function that is not known",
    ),
    "function as code": (
        option("dense", "activation", {"class_name": "function", "config": {"code": "x"}}), "code",
    ),
    "unknown activation": (option("dense", "activation", "system"), "cannot be made"),
    "lambda": (with_config(lambda c: layer(c, "dense").update(LAMBDA)), "holds a lambda"),
    "dead operation": (
        with_config(lambda c: c["config"]["layers"].append(DEAD_SWITCH)), "none of those",
    ),
    "a model that is a layer": (
        with_config(lambda c: {**layer(c, "dense")}), "describes no model",
    ),
    # options
    "units of text": (option("dense", "units", "4"), "cannot be made"),
    "units too large": (option("dense", "units", HUGE), "other weights than its model"),
    "negative units": (option("dense", "units", -1), "cannot be made"),
    "option not known": (option("dense", "evil", 1), "cannot be made"),
    "options are a list": (entry("dense", config=[1]), "is no Keras config"),
    "input of a huge shape": (option("in", "batch_shape", [None, 2**33]), "input of no shape"),
    "input of text": (option("in", "batch_shape", [None, "5"]), "input of no shape"),
    "sparse input": (option("in", "sparse", True), "not dense"),
    "unknown dtype": (option("in", "dtype", "object"), "input of no dtype"),
    # the graph
    "name twice": (with_config(_twice), "two layers of one name"),
    "slash in a name": (entry("dense", name="a/b"), "a name that is none"),
    "null name": (entry("dense", name=None), "is no Keras config"),
    "unknown layer": (call_of("head", ["nobody", 0, 0]), "that nothing makes"),
    "unknown call": (call_of("head", ["dense", 7, 0]), "that nothing makes"),
    "unknown output": (call_of("head", ["dense", 0, 7]), "that nothing makes"),
    "negative call": (call_of("head", ["dense", -1, 0]), "refers to no tensor"),
    "history of text": (call_of("head", "dense"), "refers to no tensor"),
    "an operation that only allocates": (
        on_constants(class_name="BroadcastTo", config={"name": "s", "shape": [2**31]}),
        "a call on no tensors",
    ),
    "a layer called on numbers": (called_on([[1.0] * 5]), "a call on no tensors"),
    "texts of a gigabyte": (called_on(numpy_array(1, "U268435456")), "an array of U268435456"),
    "an array in a dtype": (called_on(numpy_array(1, "(268435456,)f4")), "an array of "),
    "dtype in a list": (called_on(numpy_array(1, ["f4"])), "an array of "),
    "circle": (with_config(_circle), "in a circle"),
    "input is called": (
        with_config(_call_input),
        "calls an input",
    ),
    "nodes of Keras 2": (entry("head", inbound_nodes=[[["dense", 0, 0, {}]]]), "form not known"),
    "no outputs": (with_config(lambda c: c["config"].update(output_layers=[])), "no tensor"),
    "unknown output layer": (
        with_config(lambda c: c["config"].update(output_layers=[["x", 0, 0]])), "nothing makes",
    ),
    # compiling
    "unknown optimizer": (
        with_config(lambda c: c["compile_config"].update(optimizer={
            "module": "subprocess", "class_name": "Popen", "config": {"args": "true"},
        })), "neither",
    ),
    "unknown loss": (
        with_config(lambda c: c["compile_config"].update(loss="os.system")), "cannot be compiled",
    ),
    "unknown compile option": (
        with_config(lambda c: c["compile_config"].update(evil=1)), "compile option not known",
    ),
    # the arrays
    "no HDF5": (lambda m: m.update({"model.weights.h5": b"nothing"}), "no HDF5 data"),
    "cut HDF5": (
        lambda m: m.update({"model.weights.h5": m["model.weights.h5"][:900]}), "HDF5 data",
    ),
    "missing array": (with_arrays(lambda f: f.__delitem__(KERNEL)), "other weights"),
    "extra array": (with_arrays(lambda f: f.create_dataset("x", data=np.ones(2))), "other weights"),
    "wrong shape": (array(lambda g, n: g.create_dataset(n, data=np.ones((4, 5), "f4"))), "other"),
    "whole numbers": (array(lambda g, n: g.create_dataset(n, data=np.ones((5, 4), "i4"))), "other"),
    "complex": (array(lambda g, n: g.create_dataset(n, data=np.ones((5, 4), "c8"))), "no numbers"),
    "texts": (array(lambda g, n: g.create_dataset(n, data=[b"abc"])), "no numbers"),
    "references": (
        array(lambda g, n: g.create_dataset(n, data=g.ref, dtype=h5py.ref_dtype)), "no numbers",
    ),
    "big endian": (
        array(lambda g, n: g.create_dataset(n, data=np.ones((5, 4), ">f4"))), "big-endian",
    ),
    "too wide for the weight": (
        array(lambda g, n: g.create_dataset(n, data=np.full((5, 4), 1e300))), "cannot hold",
    ),
    "external link": (
        array(lambda g, n: g.__setitem__(n, h5py.ExternalLink("/etc/passwd", "/x"))), "a link",
    ),
    "soft link": (_soft_link("/layers/head/vars/0"), "a link"),
    "soft link to itself": (_soft_link(f"/{KERNEL}"), "a link"),
    "group in itself": (
        with_arrays(lambda f: f["layers"].__setitem__("loop", f["layers"])), "two names",
    ),
    "external storage": (
        array(lambda g, n: g.create_dataset(n, (5, 4), "f4", external=[("/etc/passwd", 0, 80)])),
        "outside of itself",
    ),
    "virtual": (array(_virtual), "outside of itself"),
    "nothing stored": (
        array(lambda g, n: g.create_dataset(n, (2**20, 2**20), "f4", chunks=(1024, 1024))),
        "does not hold",
    ),
    "compressed bomb": (
        array(lambda g, n: g.create_dataset(
            n, (2**16, 2**16), "f4", chunks=(1024, 1024), compression="gzip"
        )), "does not hold",
    ),
    "unknown filter": (
        array(lambda g, n: g.create_dataset(n, data=np.ones((5, 4), "f4"), compression="lzf")),
        "in a way not known",
    ),
    "sizes that overflow": (
        array(lambda g, n: g.create_dataset(n, (2**33, 2**33), "f4", chunks=(1, 1024))),
        "too large",
    ),
    "optimizer of another size": (
        with_arrays(lambda f: f.__delitem__("optimizer/vars/2")), "another optimizer state",
    ),
    "negative count": (
        with_arrays(lambda f: f["optimizer/vars/0"].write_direct(np.array(-5, "i4"))), "optimizer",
    ),
}  # fmt: skip
