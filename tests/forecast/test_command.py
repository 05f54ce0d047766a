"""`python -m kgraph forecast`."""

from __future__ import annotations

import pytest

from kgraph.__main__ import main
from kgraph.forecast import making
from kgraph.forecast.compiling import Compiled

SCRIPT = """
import kgraph as keras
assert __name__ != "__main__"
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
model.compile("adam", "mse")
def make():
    return model
number = 3
def needs(width):
    return model
class Own(keras.Model):
    pass
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return str(path)


def compiled(fits):
    message = "" if fits else "Ran out of memory on HBM"
    return Compiled(
        "ENTRY %main () -> f32[] {\n}\n", b"program", 1, 1, 1, 1, 0, fits, message, 1, 1
    )


@pytest.mark.parametrize(("name", "fits"), [("model", True), ("make", False)])
def test_a_model_or_a_function_is_forecast(script, monkeypatch, capsys, tmp_path, name, fits):
    asked = []

    def compile_for(where, mesh, *rest):
        asked.append((where.name, dict(mesh)))
        return compiled(fits)

    monkeypatch.setattr(making, "compile_for", compile_for)
    given = ["--topology", "cpu:8", "--batch", "64", "--layout", "fsdp"]
    if fits:
        given += ["--save", str(tmp_path / "step.bin")]
    assert main(["forecast", f"{script}:{name}", *given]) == (0 if fits else 1)
    assert asked == [("cpu:8", {"fsdp": 8})]
    printed = capsys.readouterr().out
    assert "A training step of 64 rows on cpu:8 (8 devices, mesh fsdp 8), FSDP" in printed
    assert ("does NOT fit" in printed) != fits
    assert (tmp_path / "step.bin").exists() == fits


@pytest.mark.parametrize(
    ("place", "options", "said"),
    [
        ("missing.py:model", [], "no script for 'missing.py:model'"),
        ("{}:number", [], "is no model"),
        ("{}:needs", [], "without arguments: missing a required argument: 'width'"),
        ("{}:Own", [], "must be compiled before forecast"),
        ("{}:model", ["--size", "time"], "'time' is no size"),
        ("{}:model", ["--batch", "12"], "divisible by 8"),
    ],
)
def test_what_cannot_be_is_said_in_one_message(script, capsys, place, options, said):
    given = ["forecast", place.format(script), "--topology", "cpu:8", *options]
    assert main(given) == 2
    assert said in capsys.readouterr().err
