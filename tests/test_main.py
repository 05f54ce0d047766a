"""`python -m kgraph`, as a user runs it: in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import kgraph
from kgraph import commands

ROOT = Path(__file__).parents[1]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs the command and returns what it printed and its exit code."""
    environment = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
    environment["JAX_COMPILATION_CACHE_DIR"] = str(jax.config.jax_compilation_cache_dir)
    return subprocess.run(
        [sys.executable, "-m", "kgraph", *map(str, arguments)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_one_epoch_trains_draws_saves_and_loads(tmp_path):
    folder = tmp_path / "new" / "demo"
    done = run("--epochs", 1, "--out", folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert sorted(path.name for path in folder.iterdir()) == [
        "digits_resnet.kgraph", "digits_resnet.svg",
    ]  # fmt: skip
    assert "<svg" in (folder / "digits_resnet.svg").read_text()
    assert "predictions of the loaded model are identical" in done.stdout
    assert 'Model: "digits_resnet"' in done.stdout
    assert str(folder / "digits_resnet.kgraph") in done.stdout


@pytest.mark.slow
def test_the_default_training_reads_97_percent_of_unseen_digits(tmp_path):
    done = run("--out", tmp_path)
    assert done.returncode == 0, done.stderr
    found = re.search(r"test accuracy (0\.\d{4}) on 359 unseen digits", done.stdout)
    assert found
    assert float(found[1]) >= 0.97


def test_help_lists_the_options():
    done = run("--help")
    assert done.returncode == 0
    for text in ("python -m kgraph", "--epochs", "--out", "default 12"):
        assert text in done.stdout


@pytest.mark.parametrize(
    ("given", "said"), [("0", "--epochs is at least 1"), ("few", "invalid int value: 'few'")]
)
def test_a_number_of_epochs_that_cannot_be_is_refused(given, said, tmp_path):
    done = run("--epochs", given, "--out", tmp_path / "demo")
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "demo").exists()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "taken").write_text("a file")
    done = run("--epochs", 1, "--out", tmp_path / "taken")
    assert done.returncode == 2
    assert "--out" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with a saved model."""
    folder = tmp_path_factory.mktemp("files")
    inputs = kgraph.Input((4,), name="x")
    model = kgraph.Model(inputs, kgraph.layers.Dense(3, name="head")(inputs), name="small")
    model.save(folder / "small.kgraph")
    return folder


def test_a_saved_model_is_listed_and_drawn(saved, capsys):
    assert commands.main(["summary", str(saved / "small.kgraph")]) == 0
    assert "head" in capsys.readouterr().out
    assert commands.main(["plot", str(saved / "small.kgraph"), "--out", str(saved / "a.svg")]) == 0
    assert "<svg" in (saved / "a.svg").read_text()


@pytest.mark.parametrize("target", ["a.keras", "b.kgraph", "c.safetensors", "d.weights.h5"])
def test_a_saved_model_is_converted_and_checked(saved, target, capsys):
    path, given = saved / target, str(saved / "small.kgraph")
    assert commands.main(["convert", given, str(path)]) == 0
    assert "is whole: " in capsys.readouterr().out
    assert commands.main(["convert", given, str(path)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert commands.main(["convert", given, str(path), "--force"]) == 0
    x = np.ones((2, 4), "float32")
    expected = kgraph.saving.load_model(given).predict(x, verbose=0)
    if target in ("a.keras", "b.kgraph"):
        model = kgraph.saving.load_model(path)
    else:
        model = kgraph.models.clone_model(kgraph.saving.load_model(given))
        model.load_weights(path)
    np.testing.assert_array_equal(model.predict(x, verbose=0), expected)
    data = bytearray(path.read_bytes())
    data[data.index(np.asarray(model.weights[0]).tobytes())] ^= 1  # a byte of the kernel
    path.write_bytes(data)
    capsys.readouterr()
    assert commands.main(["check", str(path)]) == 2
    assert path.name in capsys.readouterr().err


def test_a_file_that_is_not_there_is_said_so(capsys):
    assert commands.main(["check", "nowhere.kgraph"]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_the_commands_run_as_a_user_runs_them(saved):
    done = run("check", saved / "small.kgraph")
    assert (done.returncode, done.stderr) == (0, "")
    assert "is whole: 2 arrays, 60 bytes" in done.stdout
