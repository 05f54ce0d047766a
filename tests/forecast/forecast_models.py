"""Small models to forecast."""

from __future__ import annotations

from typing import Any

import kgraph
from kgraph import layers as L
from kgraph import optimizers

WIDTH, CLASSES = 128, 16


def blocks(count: int = 2, width: int = WIDTH) -> Any:
    """Returns residual blocks of two products each, that can be stacked."""
    x = inputs = kgraph.Input((width,), name="x")
    for n in range(count):
        h = L.Dense(2 * width, activation="relu", name=f"up{n}")(x)
        x = L.Add(name=f"add{n}")([x, L.Dense(width, name=f"down{n}")(h)])
    return kgraph.Model(inputs, L.Dense(CLASSES, name="head")(x))


def compiled(model: Any, **options: Any) -> Any:
    """Returns the model, compiled for labels."""
    loss = kgraph.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizers.Adam(1e-3), loss, **options)
    return model
