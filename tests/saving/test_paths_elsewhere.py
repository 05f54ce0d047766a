"""Places that are not on this machine are refused where they would become folders named "gs:"."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kgraph
from kgraph import callbacks
from kgraph.errors import ConfigError
from kgraph.saving.verify import verify_file

USES: dict[str, Callable[[Any, str], Any]] = {
    "save": lambda model, at: model.save(f"{at}.kgraph"),
    "save as Keras": lambda model, at: model.save(f"{at}.keras"),
    "save a folder": lambda model, at: model.save(f"{at}/"),
    "save weights": lambda model, at: model.save_weights(f"{at}.weights.h5"),
    "load": lambda model, at: kgraph.models.load_model(f"{at}.kgraph"),
    "load weights": lambda model, at: model.load_weights(f"{at}.safetensors"),
    "verify": lambda model, at: verify_file(f"{at}.kgraph"),
    "ModelCheckpoint": lambda model, at: callbacks.ModelCheckpoint(f"{at}.keras"),
    "CSVLogger": lambda model, at: callbacks.CSVLogger(at),
    "JSONLogger": lambda model, at: callbacks.JSONLogger(at),
    "TensorBoard": lambda model, at: callbacks.TensorBoard(at),
    "Checkpoint": lambda model, at: kgraph.Checkpoint(Path(at)),
}


@pytest.mark.parametrize("use", USES)
def test_a_bucket_is_no_folder_of_this_machine(
    use: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = kgraph.Sequential([kgraph.Input((2,)), kgraph.layers.Dense(1)])
    with pytest.raises(ConfigError, match=r"this machine[\s\S]*gs:/[\s\S]*taken by Checkpoint"):
        USES[use](model, "gs://bucket/name")
    assert os.listdir(tmp_path) == []
