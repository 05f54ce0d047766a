"""Hostile files: what is wrong lies in the graph, or in how the model was compiled."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from drafts import ESCAPE, Draft, Table, changed_model

import kgraph as keras


def graphs() -> Table:
    config: dict[str, Callable[[Any], Any]] = {
        "another key": lambda c: c.update(evil=1),
        "another format": lambda c: c.update(format=2),
        "name null": lambda c: c.update(name=3),
        "trainable a text": lambda c: c.update(trainable="yes"),
        "layers a list": lambda c: c.update(layers=list(c["layers"].values())),
        "layers null": lambda c: c.update(layers=None),
        "no layers": lambda c: c.update(layers={}),
        "nodes null": lambda c: c.update(nodes=None),
        "nodes an object": lambda c: c.update(nodes={}),
        "no nodes": lambda c: c.update(nodes=[]),
        "nodes in reverse": lambda c: c["nodes"].reverse(),
        "a node twice": lambda c: c["nodes"].append(c["nodes"][-1]),
        "a node a text": lambda c: c["nodes"].append("x"),
        "aliases null": lambda c: c.update(aliases=None),
        "alias of nothing": lambda c: c.update(aliases={"nobody/x": "head"}),
        "alias to nothing": lambda c: c.update(aliases={"head": "nobody"}),
        "alias of a number": lambda c: c.update(aliases={"head": 1}),
        "inputs null": lambda c: c.update(inputs=None),
        "inputs empty": lambda c: c.update(inputs=[]),
        "inputs of a node": lambda c: c.update(inputs=[{"tensor": ["head", 0]}]),
        "inputs twice": lambda c: c.update(inputs=[c["inputs"][0], c["inputs"][0]]),
        "one input less": lambda c: c["inputs"].pop(),
        "outputs null": lambda c: c.update(outputs=None),
        "outputs a text": lambda c: c.update(outputs="head"),
        "outputs empty": lambda c: c.update(outputs=[]),
        "output of nobody": lambda c: c.update(outputs={"tensor": ["nobody", 0]}),
        "output of an escape": lambda c: c.update(outputs={"tensor": [ESCAPE, 0]}),
        "output 7": lambda c: c.update(outputs={"tensor": ["head", 7]}),
        "output -1": lambda c: c.update(outputs={"tensor": ["head", -1]}),
        "output true": lambda c: c.update(outputs={"tensor": ["head", True]}),
        "output of three parts": lambda c: c.update(outputs={"tensor": ["head", 0, 0]}),
        "input names in another order": lambda c: c["input_names"].reverse(),
        "input names of others": lambda c: c.update(input_names=["p", "q"]),
        "input names a text": lambda c: c.update(input_names="ab"),
        "an input more": lambda c: c["layers"].update(z=c["layers"]["a"]),
        "a layer that nobody calls": lambda c: c["layers"].update(dead=c["layers"]["head"]),
    }
    for name, change in config.items():
        yield name, lambda d, c=change: changed_model(d, lambda d: c(d.config))
    node: dict[str, dict[str, Any]] = {
        "unknown layer": {"layer": "nobody"}, "layer of an escape": {"layer": ESCAPE},
        "layer null": {"layer": None}, "layer a list": {"layer": []},
        "an input is called": {"layer": "a"},
        "its own output": {"inputs": [["head", 0]]}, "unknown node": {"inputs": [["nobody", 0]]},
        "index -1": {"inputs": [["concatenate", -1]]}, "index 9": {"inputs": [["concatenate", 9]]},
        "index 2**52": {"inputs": [["concatenate", 2**52]]},
        "index true": {"inputs": [["concatenate", True]]},
        "index a text": {"inputs": [["concatenate", "0"]]}, "no inputs": {"inputs": []},
        "inputs null": {"inputs": None}, "an input of one part": {"inputs": [["concatenate"]]},
        "more inputs than arguments": {"inputs": [["concatenate", 0], ["sum", 0]]},
        "args null": {"args": None}, "args an object": {"args": {}}, "no args": {"args": []},
        "slot 5": {"args": [{"slot": 5}]}, "slot -1": {"args": [{"slot": -1}]},
        "slot a text": {"args": [{"slot": "0"}]}, "slot true": {"args": [{"slot": True}]},
        "wrong arity": {"args": [{"slot": 0}, 1, 2, 3, 4]}, "kwargs null": {"kwargs": None},
        "unknown keyword": {"kwargs": {"evil": 1}}, "keyword self": {"kwargs": {"self": 1}},
        "name of an input": {"name": "a"}, "name taken": {"name": "sum"},
        "name null": {"name": None},
        "name of an escape": {"name": ESCAPE}, "name too long": {"name": "x" * 1025},
        "another key": {"evil": 1},
    }  # fmt: skip
    for name, change in node.items():
        yield (
            f"head: {name}",
            lambda d, c=change: changed_model(d, lambda d: d.node("head").update(c)),
        )
    yield "a circle", lambda d: changed_model(d, _circle)
    yield (
        "shapes that do not fit",
        lambda d: changed_model(
            d, lambda d: d.node("sum").update(inputs=[["inner", 0], ["side", 0]])
        ),
    )
    yield (
        "an axis that is not there",
        lambda d: changed_model(d, lambda d: d.node("concatenate")["kwargs"].update(axis=9)),
    )
    yield (
        "a nested graph without nodes",
        lambda d: changed_model(d, lambda d: d.options("inner").update(nodes=[])),
    )
    yield (
        "a nested unknown class",
        lambda d: changed_model(
            d, lambda d: d.options("inner")["layers"]["deep"].update(class_name="eval")
        ),
    )
    yield "a node that only allocates", lambda d: changed_model(d, _allocating)
    yield (
        "inputs of a model defined by code",
        lambda d: changed_model(
            d,
            lambda d: d.model.update(
                inputs={"structure": {"slot": 0}, "specs": [[[4], "float32"]]}
            ),
        ),
    )
    for inputs in (
        1,
        [],
        {"structure": 1, "specs": 3},
        {"structure": {"slot": 9}, "specs": [[[1], "f"]]},
    ):
        yield (
            f"inputs {str(inputs)[:20]}",
            lambda d, i=inputs: changed_model(d, lambda d: d.model.update(inputs=i)),
        )
    yield "no inputs", lambda d: changed_model(d, lambda d: d.model.pop("inputs"))
    yield (
        "another key beside the model",
        lambda d: changed_model(d, lambda d: d.model.update(evil=1)),
    )


def _circle(draft: Draft) -> None:
    nodes = draft.config["nodes"]
    nodes[0]["inputs"] = [[nodes[-1]["name"], 0]]


def _allocating(draft: Draft) -> None:
    """Calls a function on numbers alone: run at once, it would take 4 TB."""
    draft.config["layers"]["ones"] = json.loads(
        json.dumps(draft.layer("concatenate")).replace("concatenate", "ones")
    )
    node = {"name": "ones", "layer": "ones", "args": [[2**40]], "kwargs": {}, "inputs": []}
    draft.config["nodes"].insert(0, node)


def training() -> Table:
    values: list[tuple[str, Any]] = [
        ("optimizer", value)
        for value in (
            "os.system", None, 1, [], {}, {"kind": "optimizer", "class_name": "eval", "config": {}},
            {"kind": "layer", "class_name": "Dense", "config": {"units": 1}},
            {"kind": "optimizer", "class_name": "Adam", "config": {"learning_rate": "x"}},
            {"kind": "optimizer", "class_name": "Adam", "config": {"evil": 1}},
            {"kind": "optimizer", "class_name": "SGD", "config": {"momentum": 0.9}},
            {"kind": "optimizer", "function": "eval"}, ESCAPE,
        )
    ] + [
        ("loss", value)
        for value in ("os.system", 1, ESCAPE, {"kind": "loss", "class_name": "Popen", "config": {}},
                      {"nobody": "mse"}, {"kind": "loss", "function": "exec"})
    ] + [
        ("metrics", ["eval"]), ("metrics", [ESCAPE]), ("metrics", {"nobody": ["mae"]}),
        ("weighted_metrics", ["open"]), ("loss_weights", {"nobody": 1.0}), ("evil", 1),
        ("run_eagerly", "x" * 5000),
    ]  # fmt: skip
    for key, value in values:
        label = f"{key} {str(value)[:60]!r}"
        yield label, lambda d, k=key, v=value: _trained(d, lambda t: t["compile"].update({k: v}))
    yield "no compile", lambda d: _trained(d, lambda t: t.clear())
    yield "another key", lambda d: _trained(d, lambda t: t.update(evil=1))
    yield "compile null", lambda d: _trained(d, lambda t: t.update(compile=None))


def _trained(draft: Draft, edit: Callable[[Any], Any]) -> bytes:
    edit(draft.training)
    return draft.bytes()


def written_out() -> Table:
    """A kilobyte that asks for a million operations, or for a table of gigabytes."""
    many = 2**24
    nodes: dict[str, tuple[str, list[Any], dict[str, Any]]] = {
        "split": ("split", [{"slot": 0}, many], {"axis": 1}),
        "split, by name": ("split", [{"slot": 0}], {"indices_or_sections": many, "axis": 1}),
        "array_split": ("array_split", [{"slot": 0}, many], {"axis": 1}),
        "unstack": ("unstack", [{"slot": 0}], {"axis": 1}),
        "diff": ("diff", [{"slot": 0}], {"n": many}),
    }
    for name, (function, args, kwargs) in nodes.items():
        yield f"ops.{name}", lambda d, c=(function, args, kwargs): _alone(d, many, *c)
    widths = [[0, 0], [0, many]]
    yield "ops.pad", lambda d: _alone(d, 4, "pad", [{"slot": 0}, widths], {"mode": "reflect"})
    size = 14
    yield (
        "ops.einsum",
        lambda d: _alone(
            d, 4, "einsum", [",".join(["ab"] * size), *({"slot": 0} for _ in range(size))],
            {"optimize": "optimal"},
        ),
    )  # fmt: skip
    layers: dict[str, tuple[Any, tuple[int, ...]]] = {
        "an unrolled RNN": (keras.layers.SimpleRNN(2, unroll=True, name="r"), (3, 2)),
        "power iterations": (
            keras.layers.SpectralNormalization(keras.layers.Dense(2), name="r"), (3,)
        ),
        "a mel table": (
            keras.layers.MelSpectrogram(16, sequence_stride=8, num_mel_bins=4, name="r"), (40,)
        ),
        "a mel window": (
            keras.layers.MelSpectrogram(16, sequence_stride=8, num_mel_bins=4, name="r"), (40,)
        ),
        "places for unknown words": (
            keras.layers.IntegerLookup(vocabulary=[7], name="r"), (3,)
        ),
        "a wide blur": (keras.layers.RandomGaussianBlur(kernel_size=3, name="r"), (4, 4, 3)),
    }  # fmt: skip
    changes: dict[str, Callable[[Any], Any]] = {
        "an unrolled RNN": lambda c: c["layers"]["x"]["config"].update(dims=["batch", many, 2]),
        "power iterations": lambda c: c["layers"]["r"]["config"].update(power_iterations=many),
        "a mel table": lambda c: c["layers"]["r"]["config"].update(num_mel_bins=many),
        "a mel window": lambda c: c["layers"]["r"]["config"].update(fft_length=2**30),
        "places for unknown words": lambda c: c["layers"]["r"]["config"].update(
            num_oov_indices=many
        ),
        "a wide blur": lambda c: c["layers"]["r"]["config"].update(kernel_size=many + 1),
    }
    for name, (layer, shape) in layers.items():
        yield name, lambda d, i=(layer, shape, changes[name]): _with_layer(d, *i)


def _alone(
    draft: Draft, size: int, function: str, args: list[Any], kwargs: dict[str, Any]
) -> bytes:
    """Returns a file whose model calls one function on an input of a size."""
    x = keras.Input((4,), name="x")
    config = json.loads(keras.Model(x, keras.ops.tanh(x), name="m").to_json())["model"]["config"]
    (node,) = config["nodes"]
    operation = config["layers"][node["layer"]]
    operation["config"]["function"] = function
    config["layers"]["x"]["config"]["dims"] = ["batch", size]
    tensors = sum(1 for item in args if isinstance(item, dict))
    used = [{"slot": i} for i in range(tensors)]
    slots = iter(used)
    node["args"] = [next(slots) if isinstance(item, dict) else item for item in args]
    node["kwargs"], node["inputs"] = kwargs, [["x", 0]] * tensors
    return _described_by(draft, config)


def _with_layer(
    draft: Draft, layer: Any, shape: tuple[int, ...], change: Callable[[Any], Any]
) -> bytes:
    """Returns a file whose model is one layer, its config changed."""
    dtype = "int32" if isinstance(layer, keras.layers.IntegerLookup) else "float32"
    x = keras.Input(shape, name="x", dtype=dtype)
    config = json.loads(keras.Model(x, layer(x), name="m").to_json())["model"]["config"]
    change(config)
    return _described_by(draft, config)


def _described_by(draft: Draft, config: Any) -> bytes:
    draft.model["model"]["config"] = config
    return draft.bytes()
