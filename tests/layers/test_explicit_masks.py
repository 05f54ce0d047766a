"""An explicit mask of a wrong shape or dtype is refused by every layer that takes one."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from kgraph import Input, layers
from kgraph.errors import GraphError

X = np.random.default_rng(0).normal(size=(2, 5, 4)).astype("float32")
FRAMES = {f"ConvLSTM{n}D": (2, 3, *[4] * n, 2) for n in (1, 2, 3)}
MADE: dict[str, Any] = {
    "Bidirectional": lambda: layers.Bidirectional(layers.GRU(2)),
    "RNN": lambda: layers.RNN(layers.SimpleRNNCell(2)),
    "TimeDistributed": lambda: layers.TimeDistributed(layers.Dense(2)),
    **{name: lambda n=name: getattr(layers, n)(2, 2) for name in FRAMES},
    **{name: lambda n=name: getattr(layers, n)(2) for name in ("GRU", "LSTM", "SimpleRNN")},
}
OTHERS = {
    "Lambda": "its function decides", "Softmax": "masks of scores: test_softmax, as Keras",
    "Attention": "a list of masks", "AdditiveAttention": "a list of masks",
    "Maximum": "a list of masks", "Minimum": "a list of masks", "Multiply": "a list of masks",
    "GlobalAvgPool1D": "another name",
}  # fmt: skip


def _takers() -> set[str]:
    """Returns the names of the layers whose calls have an argument `mask`."""
    found = {name: getattr(layers, name) for name in dir(layers)}
    classes = {n: c for n, c in found.items() if inspect.isclass(c) and issubclass(c, layers.Layer)}
    return {n for n, c in classes.items() if "mask" in inspect.signature(c.call).parameters}


@pytest.mark.parametrize("name", sorted(_takers() - OTHERS.keys()))
def test_a_mask_that_is_none_is_refused_by_name(name: str) -> None:
    make = MADE.get(name) or getattr(layers, name)
    x = np.ones(FRAMES[name], "float32") if name in FRAMES else X
    rows, steps = x.shape[:2]
    for mask, why in (
        (np.ones((rows, steps - 1), bool), "it does not fit the input"),
        (np.ones(rows, bool), "it does not fit the input"),
        (np.ones((rows, steps), "float32"), "it does not hold truth values"),
    ):
        with pytest.raises(GraphError, match=f"cannot use this `mask`: {why}"):
            make()(x, mask=mask)
        with pytest.raises(GraphError, match=f"cannot use this `mask`: {why}"):
            make()(Input(x.shape[1:]), mask=Input(mask.shape[1:], dtype=mask.dtype.name))
    with pytest.raises(GraphError, match="cannot use this `mask`: it is no array"):
        make()(x, mask=[[True] * steps] * rows)
    assert np.all(np.isfinite(make()(x, mask=np.ones((rows, steps), bool))))


def test_masks_that_are_none_of_a_list_or_of_scores() -> None:
    mask = np.ones((2, 5), bool)
    for wrong in ([mask], mask, [mask] * 4):
        with pytest.raises(GraphError, match="cannot use this `mask`"):
            layers.Attention()([X, X], mask=wrong)
    with pytest.raises(GraphError, match="does not fit its input"):
        layers.Softmax()(X, mask=[True])
