"""Which trainings a checkpoint is for: others are refused, smaller differences are told."""

from __future__ import annotations

import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import engine_runs as runs
import jax.numpy as jnp
import pytest
from engine_runs import LABELS, X

from kgraph.errors import StateError
from kgraph.losses import SparseCategoricalCrossentropy
from kgraph.optimizers import SGD, Adam, LossScaleOptimizer
from kgraph.saving.checkpoints import Checkpoint

CROSSENTROPY = SparseCategoricalCrossentropy(from_logits=True)


def half(loss: Any, y: Any) -> Any:
    return jnp.mean(y) / 2


def train(folder: Path, strict: bool = True, model: Any = None, **changes: Any) -> Any:
    """Trains for an epoch, or finds that this has been done."""
    options = {"optimizer": "adam", "loss": CROSSENTROPY, "metrics": ["accuracy"]}
    options |= {name: changes.pop(name) for name in (*options, "loss_weights") if name in changes}
    if model is None:
        model = runs.mlp()
        model.compile(**options)
    fit = {"x": X, "y": LABELS, "batch_size": 4, "epochs": 1, "verbose": 0, "seed": 3, **changes}
    with Checkpoint(folder, strict=strict) as checkpoint:
        model.fit(**fit, checkpoint=checkpoint)
    return model


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("done")
    train(folder)
    return folder


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "optimizer": ({"optimizer": "sgd"}, r"kind of optimizer\n +expected +Adam\n +received +SGD"),
    "loss": ({"loss": half}, r"its loss\n[\s\S]*Crossentropy[\s\S]*function half>\n"),
    "loss option": (
        {"loss": SparseCategoricalCrossentropy(True, ignore_class=0)},
        r"its loss\n +at +config\.ignore_class\n +expected +None\n +received +0",
    ),
    "loss weights": ({"loss_weights": [2.0]}, "its loss_weights"),
    "metrics": ({"metrics": []}, r"its metrics\n +expected +\['accuracy'\]\n +received +\[\]"),
    "class weight": ({"class_weight": dict.fromkeys(range(5), 1.0)}, "its class_weight"),
    "rows": ({"x": X[1:], "y": LABELS[1:]}, r"number of rows\n +expected +13\n +received +12"),
    "batch size": ({"batch_size": 5}, r"batch_size\n +expected +4\n +received +5"),
    "steps": ({"steps_per_epoch": 2}, "number of steps per epoch"),
    "shuffle": ({"shuffle": False}, "order of rows"),
    "seed": ({"seed": 4}, r"its seed\n +expected +3\n +received +4"),
    "kind of data": ({"x": [(X, LABELS)], "y": None, "batch_size": None}, "number of rows"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_another_training_is_refused(case: str, done: Path) -> None:
    changes, text = REFUSED[case]
    with pytest.raises(StateError, match=r"that differs in its[\s\S]*strict=False") as caught:
        train(done, **changes)
    assert re.search(text, str(caught.value)), caught.value
    if case not in ("optimizer", "metrics", "kind of data"):  # where the arrays would not fit
        with pytest.warns(UserWarning, match="that differs in its .*what is given now counts"):
            train(done, strict=False, **changes)


def test_what_is_changed_on_purpose_is_warned_of(done: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(done, tmp_path / "run"))
    with pytest.warns(UserWarning, match=r"options at config\.beta_1: 0\.9, and not 0\.5; what is"):
        train(folder, optimizer=Adam(beta_1=0.5))
    for _ in range(2):  # the rate of the checkpoint stays what it is
        with pytest.warns(UserWarning, match="learning rate: 0.001, and not 0.25; the saved one"):
            model = train(folder, optimizer=Adam(0.25), epochs=2)
        assert model.optimizer.learning_rate == 0.001


def test_another_release_is_warned_of(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kgraph.training.identity.__version__", "9.9")
    with pytest.warns(UserWarning, match=r"version of kgraph: .*, and not 9\.9; the last bits"):
        train(done)


def test_what_changes_no_result_is_fine(done: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(done, tmp_path / "run"))
    model = runs.mlp()
    model.compile(Adam(), CROSSENTROPY, metrics=["accuracy"], stack=False, steps_per_execution=2)
    train(folder, model=model, epochs=2, seed=None, validation_data=(X, LABELS))
    model.optimizer.learning_rate = 0.5  # the same model, trained: its rate has moved
    train(folder, model=model, epochs=2)
    train(folder, epochs=2)


def test_optimizers_in_optimizers_and_lambdas_are_known_again(tmp_path: Path) -> None:
    def run(scale: float) -> None:
        train(
            tmp_path, loss=lambda y, p: jnp.mean(p), metrics=[lambda y, p: jnp.mean(p)],
            optimizer=LossScaleOptimizer(SGD(0.1, momentum=0.5), initial_scale=scale),
        )  # fmt: skip

    run(8.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(8.0)
    with pytest.warns(UserWarning, match=r"options at config\.initial_scale: 8\.0, and not 4\.0"):
        run(4.0)
