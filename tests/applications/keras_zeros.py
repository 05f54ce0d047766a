"""Keras' networks are made to be compared, so their first values need not be drawn."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def keras_starts_with_zeros(monkeypatch):
    """Keras makes all values while it builds; only names and shapes are compared here."""
    for name in ("GlorotUniform", "VarianceScaling", "RandomInitializer"):
        owner = getattr(keras.initializers, name, None)
        if owner is not None:
            monkeypatch.setattr(owner, "__call__", _zeros, raising=False)


def _zeros(self: Any, shape: Any, dtype: Any = None) -> Any:
    return np.zeros(shape, dtype or "float32")
