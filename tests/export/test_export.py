"""Exports: the same numbers for any sizes, one error for what does not fit, no code needed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import kgraph
from kgraph import layers
from kgraph.errors import ConfigError, DataError, ModelFileError
from kgraph.export import sizes
from kgraph.export.package import FUNCTION, MANIFEST, WEIGHTS, Package, read_package, write_package
from kgraph.saving.files.stored_zip import read_zip

pytest.importorskip("flatbuffers")

ROOT = Path(kgraph.__file__).parents[1]
RANDOM = np.random.default_rng(0)


def mlp() -> kgraph.Model:
    inputs = kgraph.Input((6,), name="x")
    return kgraph.Model(inputs, layers.Dense(3)(layers.Dense(5, activation="relu")(inputs)))


def ticket() -> kgraph.Model:
    """Sizes that are named, shared by two inputs, and unnamed; masks; several outputs in a dict."""
    title = kgraph.Input(("words",), dtype="int32", name="title")
    marks = kgraph.Input(("words", 2), name="marks")
    body = kgraph.Input((None,), dtype="int32", name="body")
    words = layers.Embedding(9, 4, mask_zero=True)(title)
    x = layers.LSTM(3)(layers.concatenate([words, marks]))
    x = layers.concatenate([x, layers.GlobalAveragePooling1D()(layers.Embedding(9, 2)(body))])
    outputs = {"priority": layers.Dense(1)(x), "more": [layers.Dense(4)(x), words]}
    return kgraph.Model([title, marks, body], outputs, name="ticket")


def resnet() -> kgraph.Model:
    inputs = kgraph.Input(("height", "width", 3), name="picture")
    block = layers.MaxPooling2D(2)(layers.Conv2D(4, 3, activation="relu")(inputs))
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(block))
    x = layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(layers.add([x, block])))
    return kgraph.Model(inputs, layers.Dense(2)(x))


def ticket_inputs(rows: int, words: int, length: int) -> dict[str, np.ndarray]:
    return {
        "title": RANDOM.integers(0, 9, (rows, words)).astype("int32"),
        "marks": RANDOM.normal(size=(rows, words, 2)).astype("float32"),
        "body": RANDOM.integers(0, 9, (rows, length)).astype("int32"),
    }


def floats(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype("float32")


CASES: dict[str, tuple[Callable[[], kgraph.Model], str, list[Any]]] = {
    "mlp": (mlp, "inside", [floats(1, 6), floats(4, 6)]),
    "ticket": (ticket, "beside", [ticket_inputs(2, 3, 1), ticket_inputs(3, 5, 4)]),
    "resnet": (resnet, "inside", [floats(2, 8, 9, 3)]),
}


@pytest.mark.parametrize("name", list(CASES))
def test_an_export_gives_the_numbers_of_the_model_for_all_sizes(name: str, tmp_path: Path) -> None:
    build, weights, batches = CASES[name]
    model = build()
    model.export(tmp_path / "m.stablehlo", weights=weights)
    exported = kgraph.export.load(tmp_path / "m.stablehlo")
    assert exported.platforms == ("cpu", "cuda", "tpu")
    assert bool(exported.weights) == (weights == "beside")
    for batch in batches:
        expected, found = model(batch), exported(batch)
        assert jax.tree.structure(found) == jax.tree.structure(expected)
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected)):
            # The same operations, which XLA may fuse differently among constants.
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
            assert one.dtype == other.dtype
    written = (tmp_path / "m.stablehlo").read_bytes()
    model.export(tmp_path / "m.stablehlo", weights=weights)
    assert (tmp_path / "m.stablehlo").read_bytes() == written
    assert str(ROOT).encode() not in written  # no file names of this machine


@pytest.fixture(scope="module")
def tickets(tmp_path_factory: pytest.TempPathFactory) -> tuple[kgraph.Model, Path]:
    model, path = ticket(), tmp_path_factory.mktemp("export") / "ticket.stablehlo"
    model.export(path, platforms=["cpu"])
    return model, path


def test_an_export_says_what_it_takes_and_returns(tickets: tuple[kgraph.Model, Path]) -> None:
    exported = kgraph.export.load(tickets[1])
    lines = repr(exported).splitlines()
    assert "'ticket' for cpu, by jax " in lines[0]
    assert lines[1:] == [
        "  takes    title: int32[batch, words]",
        "  takes    marks: float32[batch, words, 2]",
        "  takes    body: int32[batch, body_1]",
        "  returns  dense: float32[batch, 1]",
        "  returns  dense_1: float32[batch, 4]",
        "  returns  embedding: float32[batch, words, 4]>",
    ]
    assert exported.calling_convention_version >= 9
    assert exported.weights["params/dense/kernel"].shape == (5, 1)
    assert "stablehlo.dot_general" in exported.stablehlo


def test_inputs_come_as_the_model_takes_them(tickets: tuple[kgraph.Model, Path]) -> None:
    model, path = tickets
    exported, given = kgraph.export.load(path), ticket_inputs(2, 3, 4)
    given = {**given, "marks": given["marks"].astype("float64")}
    expected = model(given)["priority"]
    backwards = dict(reversed(given.items()))
    for inputs in (given, backwards, list(given.values()), tuple(given.values())):
        np.testing.assert_array_equal(exported(inputs)["priority"], expected)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"title": np.zeros((2, 3, 1), "int32")}, r"'title' .*\n  expected  \[batch, words\]"),
        ({"marks": floats(2, 4, 2)}, r"'marks' .*\n.*words = 3.*\n  received  \[2, 4, 2\]"),
        ({"body": np.zeros((3, 4), "int32")}, r"'body' .*\n.*batch = 2.*\n  received  \[3, 4\]"),
        ({"body": np.zeros((2, 0), "int32")}, r"'body' .*\n.*\n  received  \[2, 0\]"),
        ({"bodi": np.zeros((2, 4), "int32"), "body": None}, r"did you mean 'body'\?"),
        ({"body": None}, r"missing: \['body'\]"),
    ],
    ids=["axes", "named", "batch", "empty", "unknown", "missing"],
)  # fmt: skip
def test_inputs_that_do_not_fit_are_one_error(
    tickets: tuple[kgraph.Model, Path], change: dict[str, Any], text: str
) -> None:
    exported = kgraph.export.load(tickets[1])
    given = {k: v for k, v in {**ticket_inputs(2, 3, 4), **change}.items() if v is not None}
    with pytest.raises(DataError, match=text):
        exported(given)
    with pytest.raises(DataError, match=r"another number of inputs[\s\S]*received  1 arrays"):
        exported(given["title"])


def test_sizes_that_leave_nothing_inside_are_refused(tmp_path: Path) -> None:
    sound = kgraph.Input(("4*time", 2), name="sound")
    x = layers.Conv1D(2, 3)(layers.MaxPooling1D(2)(layers.Conv1D(3, 3)(sound)))
    model = kgraph.Model(sound, x)
    kgraph.export.export(model, tmp_path / "m.stablehlo", platforms="cpu")
    exported = kgraph.export.load(tmp_path / "m.stablehlo")
    np.testing.assert_allclose(exported(x := floats(1, 12, 2)), model(x), rtol=1e-5, atol=1e-6)
    with pytest.raises(DataError, match=r"too small[\s\S]*at least 1\n  received  -1, with .*= 1"):
        exported(floats(1, 4, 2))
    with pytest.raises(DataError, match=r"expected  \[batch, 4\*time, 2\][\s\S]*\[1, 10, 2\]"):
        exported(floats(1, 10, 2))


class Doubled(layers.Layer):
    """A layer that the process which runs the export never hears of."""

    def build(self, input_shape: Any) -> None:
        self.shift = self.add_weight((), "ones", name="shift")

    def call(self, inputs: Any) -> Any:
        return jnp.sin(inputs) * 2.0 + self.shift


RUN = """
import sys
import numpy as np
import kgraph
exported = kgraph.export.load(sys.argv[1])
np.save(sys.argv[2], exported(np.load(sys.argv[3])))
assert "test_export" not in sys.modules and "Doubled" not in kgraph.saving.get_custom_objects()
"""


def test_an_export_runs_in_a_process_without_the_code_of_its_layers(tmp_path: Path) -> None:
    inputs = kgraph.Input((3,))
    model = kgraph.Model(inputs, layers.Dense(2)(Doubled()(inputs)))
    model.export(tmp_path / "m.stablehlo", platforms=["cpu"])
    x = floats(5, 3)
    np.save(tmp_path / "x.npy", x)
    files = [str(tmp_path / name) for name in ("m.stablehlo", "y.npy", "x.npy")]
    subprocess.run([sys.executable, "-c", RUN, *files], check=True, cwd=ROOT, timeout=120)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), model(x), rtol=1e-5, atol=1e-6)


class Schur(layers.Layer):
    """JAX has this decomposition for CPUs only."""

    def call(self, inputs: Any) -> Any:
        return jax.lax.linalg.schur(inputs)[0]


def test_a_platform_that_cannot_be_lowered_for_is_left_out_with_a_warning(tmp_path: Path) -> None:
    inputs = kgraph.Input((2, 2))
    model = kgraph.Model(inputs, Schur()(inputs))
    with pytest.warns(UserWarning, match=r"for cpu only\. Not for cuda or tpu: .*schur"):
        model.export(tmp_path / "m.stablehlo")
    assert kgraph.export.load(tmp_path / "m.stablehlo").platforms == ("cpu",)
    with pytest.raises(ConfigError, match=r"cannot be exported for tpu[\s\S]*schur"):
        model.export(tmp_path / "m.stablehlo", platforms=["tpu"])


def test_options_and_paths_that_cannot_be(tmp_path: Path) -> None:
    model = mlp()
    with pytest.raises(ConfigError, match=r"ends in '.stablehlo'[\s\S]*m.onnx"):
        model.export(tmp_path / "m.onnx")
    with pytest.raises(ConfigError, match="one of 'beside', 'inside'"):
        model.export(tmp_path / "m.stablehlo", weights="outside")
    with pytest.raises(ConfigError, match="platforms as a list of names"):
        model.export(tmp_path / "m.stablehlo", platforms=[])
    with pytest.raises(ModelFileError, match="folder does not exist"):
        model.export(tmp_path / "no" / "m.stablehlo")
    (tmp_path / "m.stablehlo").write_bytes(b"mine")
    with pytest.raises(ModelFileError, match="exists already"):
        model.export(tmp_path / "m.stablehlo", overwrite=False)
    assert (tmp_path / "m.stablehlo").read_bytes() == b"mine"


def test_a_damaged_file_is_refused(tickets: tuple[kgraph.Model, Path], tmp_path: Path) -> None:
    good, path = tickets[1].read_bytes(), tmp_path / "bad.stablehlo"
    with open(tickets[1], "rb") as file:
        extents = read_zip(file, len(good))
    assert sorted(extents) == sorted([FUNCTION, MANIFEST, WEIGHTS])
    for name, extent in extents.items():
        for at in np.linspace(extent.start, extent.start + extent.size - 1, 9).astype(int):
            bad = bytearray(good)
            bad[at] ^= 1
            path.write_bytes(bad)
            with pytest.raises(ModelFileError) as caught:
                kgraph.export.load(path)
            assert "bad.stablehlo" in str(caught.value), name
    for size in (0, 3, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:size])
        with pytest.raises(ModelFileError, match=r"is not an export|is damaged"):
            kgraph.export.load(path)
    with pytest.raises(ModelFileError, match="does not exist"):
        kgraph.export.load(tmp_path / "none.stablehlo")


def test_a_file_whose_parts_do_not_belong_together_is_refused(
    tickets: tuple[kgraph.Model, Path], tmp_path: Path
) -> None:
    package, path = read_package(tickets[1]), tmp_path / "odd.stablehlo"
    assert package.weights is not None
    fewer = dict(list(package.weights.items())[1:])
    renamed = {f"{name}x": array for name, array in package.weights.items()}
    first, *others = package.signature.inputs
    signatures = [
        replace(package.signature, inputs=(changed, *others))
        for changed in (replace(first, dtype="float16"), replace(first, dims=("batch", 7)))
    ]
    lies = [{"signature": signature} for signature in signatures]
    lies += [{"platforms": ("tpu",)}, {"jax_version": "9" * 1000, "function": b"no function"}]
    wrong = ({"weights": fewer}, {"weights": renamed}, {"weights": None})
    for changes in (*wrong, {"function": b"no function"}, *lies):
        write_package(path, Package(**{**vars(package), **changes}))
        with pytest.raises(
            ModelFileError, match=r"is not read by jax[\s\S]*export the model again"
        ) as caught:
            kgraph.export.load(path)
        assert len(str(caught.value)) <= 500


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("time", 20), ("16*time - 2", 318), ("floordiv(time - 4, 2) - 1", 7), ("time^2", 400),
        ("mod(time, 7) + max(-1*time, 3)", 9), ("min(time, other)", None),
        ("floordiv(time, time - 20)", None),
    ],
)  # fmt: skip
def test_sizes_are_computed(text: str, value: int | None) -> None:
    assert sizes.compute(text, {"time": 20}) == value
    assert sizes.is_size(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "(((((((9)^8)^8)^8)^8)^8)^8)^8",
        "9" * 100,
        "time.real",
        "f(time)",
        "[1]",
        "1 if x else 2",
        "9**9**9",
        "(" * 400,
        "-" * 499 + "1 +",
    ],
    ids=[
        "empty",
        "powers",
        "long",
        "attribute",
        "call",
        "list",
        "condition",
        "power",
        "deep",
        "cut",
    ],
)
def test_what_is_no_size_is_refused(text: str) -> None:
    assert not sizes.is_size(text)
