"""What losses and metrics have come to, fetched from the devices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from kgraph.compiler.executables import shapes_of
from kgraph.distribution.together import wait_for_devices
from kgraph.training.compilation import Compiler, Function
from kgraph.training.placement import Placement
from kgraph.types import Tree


class Results:
    """Computes results from accumulators, all in one call.

    Args:
        compiler: makes the executable.
        compute: from accumulators to results by key.
        placement: where arrays lie on several devices; None for one device.
    """

    def __init__(
        self,
        compiler: Compiler,
        compute: Callable[[Any], Mapping[str, Any]],
        placement: Placement | None,
    ) -> None:
        self._compiler, self._placement = compiler, placement
        self._function = Function(compiler, "results", compute)

    def of(self, metrics: Tree) -> dict[str, Any]:
        """Returns losses and metrics of some accumulators, by key in alphabetical order."""
        if self._placement is not None:
            metrics = self._placement.read_here(metrics)
        wait_for_devices(metrics)
        form = (("metrics", shapes_of(metrics)),)
        with self._compiler.eagerly():
            found = jax.device_get(self._function(form, metrics))
        return {key: _plain(found[key]) for key in sorted(found)}


def _plain(value: object) -> Any:
    array = np.asarray(value)
    return float(array) if array.ndim == 0 else array
