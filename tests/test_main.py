"""`python -m kgraph`, as a user runs it: in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

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
