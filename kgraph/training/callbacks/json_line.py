"""Logs as one line of JSON that every reader takes."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np


def as_json(record: dict[str, object]) -> str:
    """Returns a record as one line; arrays become lists, and what is not finite becomes null."""
    return json.dumps({key: _plain(value) for key, value in record.items()}, allow_nan=False)


def _plain(value: object) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "dtype"):  # of NumPy or JAX
        return _plain(np.asarray(value).tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
