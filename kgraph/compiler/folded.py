"""Folded layers: live layers whose weights are made of those of a layer and a normalisation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from kgraph import initializers
from kgraph.graph.fold import FoldPlan
from kgraph.graph.node import LayerSpec
from kgraph.layers.base.binding import with_weights
from kgraph.layers.base.layer import Layer
from kgraph.layers.base.variable import Variable
from kgraph.types import Array


class Fold:
    """A layer that does the work of a linear layer and the normalisation behind it.

    Args:
        spec: its description, a `FoldPlan`.
        linear, norm: the live layers.

    Attributes:
        name: under which the graph knows it.
        layer: the live layer, with weights of its own.
        sources: the weights that these are made of.
    """

    def __init__(self, spec: LayerSpec, linear: Any, norm: Any) -> None:
        self.plan = FoldPlan.of(spec)
        self.name = self.plan.name
        plan, said = self.plan, self.plan.normalization
        kernel, self._given_bias = vars(linear)[plan.kernel], vars(linear).get(plan.bias)
        self._given_kernel = kernel
        self._mean, self._variance = vars(norm)[said.mean], vars(norm)[said.variance]
        self._scale, self._offset = vars(norm).get(said.scale), vars(norm).get(said.offset)
        dtype = linear.compute_dtype if linear.autocast else kernel.dtype
        self._dtype = jnp.dtype(dtype)
        shapes = {w.path: w.shape for w in spec.weights}
        self._kernel, self._bias = (
            Variable(initializers.Zeros(), shapes[path], dtype, name=path)
            for path in (plan.kernel, plan.bias)
        )
        self.layer: Layer = with_weights(linear, dict(zip((plan.kernel, plan.bias), self.weights)))

    @property
    def sources(self) -> list[Variable]:
        """The weights of the two layers that the folded ones depend on."""
        known = [self._given_kernel, self._given_bias, self._scale, self._offset]
        return [w for w in (*known, self._mean, self._variance) if w is not None]

    @property
    def weights(self) -> tuple[Variable, Variable]:
        """The folded kernel and bias."""
        return self._kernel, self._bias

    def compute(self, values: Mapping[int, Array], xp: ModuleType) -> list[Any]:
        """Returns the folded kernel and bias, computed in float32 at least, in NumPy or JAX.

        Args:
            values: the array of each source, by the weight's identity.
            xp: `numpy` or `jax.numpy`.
        """
        plan = self.plan
        kernel = values[id(self._given_kernel)]
        wide: Any = xp.float64 if kernel.dtype == xp.float64 else xp.float32

        def laid(weight: Variable) -> Any:
            return xp.asarray(values[id(weight)], wide).reshape(plan.offsets)

        factor = 1 / xp.sqrt(laid(self._variance) + wide(plan.normalization.epsilon))
        if self._scale is not None:
            factor = factor * laid(self._scale)
        bias = -laid(self._mean)
        if self._given_bias is not None:
            bias = bias + xp.asarray(values[id(self._given_bias)], wide)
        bias = bias * factor
        if self._offset is not None:
            bias = bias + laid(self._offset)
        kernel = xp.asarray(kernel, wide) * factor.reshape(plan.scales)
        return [xp.asarray(w, self._dtype) for w in (kernel, bias)]


def folded_values(folds: Iterable[Fold], values: Mapping[int, Array]) -> dict[int, Array]:
    """Returns the array of each folded weight, by its identity.

    Arrays are folded on the host, where nothing has to be compiled for it, and moved together; what
    is traced, or lies on other hosts too, is folded by JAX.

    Args:
        folds: the folded layers.
        values: the array of each weight of the model, by its identity.
    """
    found: dict[int, Array] = {}
    moving: list[tuple[Variable, np.ndarray, Any]] = []
    for fold in folds:
        sources = [values[id(weight)] for weight in fold.sources]
        if all(map(_on_host, sources)):
            flat = len(fold.plan.offsets) == 1
            homes = [_home(sources[0]), _home(sources[-1]) if flat else None]
            with np.errstate(all="ignore"):  # what is infinite is so in JAX too, in silence
                moving += zip(fold.weights, fold.compute(values, np), homes)
        else:
            found |= zip(map(id, fold.weights), fold.compute(values, jnp))
    with jax.ensure_compile_time_eval():  # real arrays, even while somebody's jit is tracing
        moved = _moved([array for _, array, _ in moving], [home for _, _, home in moving])
    return found | {id(weight): array for (weight, _, _), array in zip(moving, moved)}


def _on_host(array: Any) -> bool:
    return not isinstance(array, Tracer) and getattr(array, "is_fully_addressable", True)


def _home(array: Any) -> Any:
    """Returns where an array has been put by the user, or None if JAX chose."""
    return array.sharding if getattr(array, "committed", False) else None


def _moved(arrays: Sequence[np.ndarray], homes: Sequence[Any]) -> list[Array]:
    if not any(homes):
        return jax.device_put(list(arrays))
    return [jax.device_put(array, home) for array, home in zip(arrays, homes)]
