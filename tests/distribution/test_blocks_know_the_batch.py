"""Inside of stacked and recomputed blocks a layer is told along which axes batches are spread."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kgraph
from kgraph import distribution as dist
from kgraph import layers as L
from kgraph.layers.base.context import running


@pytest.mark.parametrize(
    "how", [{}, {"stack": True}, {"stack": True, "remat": "blocks"}, {"remat": ["rows_1"]}]
)
def test_batches_are_spread_inside_of_blocks_as_outside(how: dict[str, Any]) -> None:
    seen: list[tuple[str, ...]] = []

    class Rows(L.Layer):
        def call(self, inputs):
            context = running()
            if context is not None and context.mesh is not None:
                seen.append(context.batch_axes)
            return inputs * 2

    x = inputs = kgraph.Input((16,))
    for number in range(3):
        x = Rows(name=f"rows_{number}")(L.Dense(16, name=f"dense_{number}")(x))
    model = kgraph.Model(inputs, L.Dense(1)(x))
    model.compile("sgd", "mse", distribution=dist.FSDP(), **how)
    model.fit(np.ones((16, 16), "float32"), np.ones((16, 1), "float32"), batch_size=16, verbose=0)
    assert seen
    assert set(seen) == {("fsdp",)}
