"""Hostile files: what is wrong lies in classes and options."""

from __future__ import annotations

from typing import Any

from drafts import ESCAPE, Draft, Table, changed_model


def classes() -> Table:
    names = [
        "os.system", "system", "eval", "exec", "__import__", "builtins.eval", "Popen", "open",
        "subprocess.Popen", "Dense.__init__", "kgraph.layers.Dense", "Custom>Dense", "dense ", "",
        "TFSMLayer", "TorchModuleWrapper", "Lambda>x", ESCAPE, "x" * 5000, None, 1, [], {},
    ]  # fmt: skip
    for name in names:
        label = f"{str(name)[:18]!r} ({type(name).__name__})"
        yield f"layer {label}", lambda d, n=name: changed_model(d, lambda d: d.layer("head").update(
            class_name=n
        ))  # fmt: skip
        yield (
            f"activation {label}",
            lambda d, n=name: _option(
                d, "head", "activation", {"kind": "activation", "function": n}
            ),
        )
    for kind in (
        "optimizer",
        "loss",
        "activation",
        "builtins",
        "__builtins__",
        ESCAPE,
        None,
        1,
        [],
    ):
        yield (
            f"kind {str(kind)[:12]!r}",
            lambda d, k=kind: changed_model(d, lambda d: d.layer("head").update(kind=k)),
        )
    yield (
        "a loss as the model",
        lambda d: _replaced(d, {"kind": "loss", "class_name": "MeanSquaredError", "config": {}}),
    )
    yield "a layer as the model", lambda d: _replaced(d, d.layer("head"))
    yield (
        "a function as the model",
        lambda d: _replaced(d, {"kind": "activation", "function": "relu"}),
    )
    yield "a text as the model", lambda d: _replaced(d, "os.system")
    yield "nothing as the model", lambda d: _replaced(d, None)
    yield "bytecode", lambda d: _option(d, "head", "activation", {
        "class_name": "__lambda__", "config": {"code": "4wEAAAA=", "defaults": None},
    })  # fmt: skip
    yield "Keras' form with a module", lambda d: _option(d, "head", "activation", {
        "module": "os", "class_name": "function", "config": "system", "registered_name": "system",
    })  # fmt: skip
    yield "a class of Keras' form", lambda d: _option(d, "head", "kernel_initializer", {
        "module": "subprocess", "class_name": "Popen", "config": {"args": "true"},
    })  # fmt: skip
    yield "the name of a function", lambda d: _option(d, "head", "activation", "os.system")


def _replaced(draft: Draft, model: Any) -> bytes:
    draft.model["model"] = model
    return draft.bytes()


def _option(draft: Draft, layer: str, name: str, value: Any) -> bytes:
    draft.options(layer)[name] = value
    return draft.bytes()


def options() -> Table:
    rows: list[tuple[str, str, Any]] = [
        ("head", "units", value)
        for value in (0, -1, 2**31, 2**40, 2**52, "2", 2.5, None, [2], {}, True, {"float": "inf"})
    ] + [
        ("head", "use_bias", value) for value in ("false", 1, None, [])
    ] + [
        ("head", "name", value) for value in (1, "", "a/b", ESCAPE, "x" * 1025, ["x"], "a\0b")
    ] + [
        ("head", "dtype", value) for value in ("object", "float31", 1, ["float32"], ESCAPE)
    ] + [
        ("head", "trainable", "yes"), ("head", "activation", "no such"), ("head", "activation", 7),
        ("head", "kernel_initializer", "no such"), ("head", "kernel_initializer", 1),
        ("head", "bias_constraint", "eval"), ("head", "kernel_regularizer", "pickle"),
        ("head", "kernel_initializer", {"array": [1, "x"], "dtype": "float32"}),
        ("head", "kernel_initializer", {"array": [1], "dtype": "object"}),
        ("head", "kernel_initializer", {"slice": [1, 2]}),
        ("head", "kernel_initializer", {"float": "__import__('os')"}),
        ("head", "no_such_option", 1), ("head", "__class__", "x"), ("head", "self", 1),
        ("head", "weights", [[1.0]]),
        ("drop", "rate", 2.0), ("drop", "rate", "0.5"), ("drop", "rate", -1), ("drop", "seed", "x"),
        ("norm", "axis", 7), ("norm", "axis", "x"), ("norm", "epsilon", "x"),
        ("norm", "momentum", []),
        ("a", "dims", ["batch", 2**31]), ("a", "dims", ["batch", -4]),
        ("a", "dims", ["batch", "4 +"]),
        ("a", "dims", ["batch", "x" * 1025]), ("a", "dims", ["batch"] + [1] * 32),
        ("a", "dims", "batch"), ("a", "dims", ["batch", 4.0]), ("a", "dims", ["batch", True]),
        ("a", "dims", ["batch", None]), ("a", "dims", ["batch", "__import__('os')"]),
        ("a", "dims", ["batch", 5]), ("a", "dtype", "object"), ("a", "dtype", "int32"),
        ("a", "dtype", 1), ("a", "dims", ["batch", ESCAPE]),
        ("concatenate", "function", "eval"), ("concatenate", "function", "__init__"),
        ("concatenate", "function", "load"), ("concatenate", "function", "fromfile"),
        ("concatenate", "function", 1), ("concatenate", "function", "jax.numpy.load"),
    ]  # fmt: skip
    for layer, option, value in rows:
        label = f"{layer}.{option} {str(value)[:30]!r} ({type(value).__name__})"
        yield label, lambda d, row=(layer, option, value): _option(d, *row)
    yield (
        "options are a list",
        lambda d: changed_model(d, lambda d: d.layer("head").update(config=[1])),
    )
    yield (
        "options are null",
        lambda d: changed_model(d, lambda d: d.layer("head").update(config=None)),
    )
    yield "options are missing", lambda d: changed_model(d, lambda d: d.layer("head").pop("config"))
    yield "units missing", lambda d: changed_model(d, lambda d: d.options("head").pop("units"))
    yield (
        "another key beside the options",
        lambda d: changed_model(d, lambda d: d.layer("head").update(module="os")),
    )
