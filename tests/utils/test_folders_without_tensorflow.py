"""`format="tf"` where TensorFlow is not there."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from kgraph import utils
from kgraph.errors import ConfigError


def test_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    made = (
        lambda: utils.image_dataset_from_directory(tmp_path, format="tf"),
        lambda: utils.text_dataset_from_directory(tmp_path, format="tf"),
        lambda: utils.timeseries_dataset_from_array(np.arange(6), None, 3, format="tf"),
    )
    for make in made:
        with pytest.raises(ConfigError, match=r"not installed[\s\S]*pip install tensorflow"):
            make()
    with pytest.raises(ConfigError, match="format"):
        utils.timeseries_dataset_from_array(np.arange(6), None, 3, format="torch")
