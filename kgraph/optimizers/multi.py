"""MultiOptimizer: different optimizers for different parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, NoReturn

import jax
import jax.numpy as jnp

from kgraph.errors import ConfigError, listed
from kgraph.optimizers.learning_rate import LearningRateError
from kgraph.optimizers.loss_scale import LossScaleOptimizer
from kgraph.optimizers.optimizer import Optimizer, path_of
from kgraph.optimizers.optimizer_map import OptimizerMap, Parameter
from kgraph.optimizers.state import one_more
from kgraph.registry import Recorded, restore, restored_options
from kgraph.source import warn
from kgraph.types import Array, Config, Tree

Choice = OptimizerMap | Callable[[Parameter], Optimizer]
"""From a parameter (its path, shape and dtype) to its optimizer."""


class MultiState(NamedTuple):
    """The state of a `MultiOptimizer`.

    Args:
        step: int32 scalar; the calls of `update`.
        parts: the state of each optimizer that has parameters, by its place in `optimizers`.
    """

    step: Array
    parts: dict[str, Any]


class MultiOptimizer(Optimizer):
    """Gives each parameter to the optimizer that a map or a function chooses for it.

    Everything is a matter of the single optimizers: learning rates, weight decay, clipping (also by
    the global norm: that of their own parameters), averages. `optimizers` lists them.

    Args:
        optimizer_map: an `OptimizerMap`, or a function of a `Parameter` that returns an optimizer.
            The function is asked once for each path.
        loss_scale_factor: what `scale_loss` multiplies by and `update` divides by.
        name: how the optimizer is called in files.

    Raises:
        ConfigError: if an optimizer is chosen that cannot be used here: one that scales the loss,
            or itself a MultiOptimizer.

    Source: checked against Keras 3.15, which sets the `loss_scale_factor` of the single optimizers
    to its own, and does not say when a pattern matches no parameter.
    """

    def __init__(
        self, optimizer_map: Choice, loss_scale_factor: float | None = None, name: str | None = None
    ) -> None:
        if not callable(optimizer_map):
            raise ConfigError(
                "MultiOptimizer needs an OptimizerMap or a function",
                received=f"{optimizer_map!r} ({type(optimizer_map).__name__})",
                hint="OptimizerMap(default_optimizer, {'encoder/.*': optimizer})",
            )
        super().__init__(learning_rate=0.0, loss_scale_factor=loss_scale_factor, name=name)
        self._choose = optimizer_map
        self._optimizers: list[Optimizer] = []
        self._places: dict[str, int] = {}
        if isinstance(optimizer_map, OptimizerMap):
            for optimizer in (*optimizer_map.values(), optimizer_map.default_optimizer):
                self._add(optimizer)

    @property
    def optimizers(self) -> list[Optimizer]:
        """The optimizers chosen from; those of a function once they have been chosen."""
        return list(self._optimizers)

    @property
    def use_ema(self) -> bool:
        """Whether any of the optimizers keeps an average of its parameters."""
        return any(optimizer.use_ema for optimizer in self._optimizers)

    @use_ema.setter
    def use_ema(self, value: bool) -> None:
        """Does nothing: the base class sets its default."""

    # The pure part

    def init(self, params: Tree) -> Any:
        """Returns the state before the first update of `params`."""
        groups = self._groups(params)
        self._warn_of_unused(path for group in groups.values() for path in group)
        parts = {
            place: self._at(place)._kgraph_init(_nested(group)) for place, group in groups.items()
        }
        return MultiState(jnp.zeros([], jnp.int32), parts)

    def _kgraph_updated(
        self, grads: Tree, state: Any, params: Tree, **extra: Any
    ) -> tuple[Any, Any]:
        """Returns each optimizer's updates of its own parameters, and the next state."""
        if self.loss_scale_factor is not None:
            grads = jax.tree.map(lambda g: g / self.loss_scale_factor, grads)
        gradients, updates, parts = _by_path(grads), {}, {}
        for place, group in self._groups(params).items():
            own = _nested({path: gradients[path] for path in group})
            changes, parts[place] = self._at(place)._kgraph_update(
                own, state.parts[place], _nested(group), **extra
            )
            updates |= _by_path(changes)
        return _like(params, updates), MultiState(one_more(state.step), parts)

    def _kgraph_averaged(self, state: Any) -> Any:
        """Raises ConfigError: there may be averages of some parameters only. See `finalize`."""
        raise ConfigError(
            "A MultiOptimizer may keep averages of some parameters only",
            hint="finalize(params, state) puts those there are in place",
        )

    def finalize(self, params: Tree, state: Any) -> Any:
        """Returns the parameters that training ends with: averages where there are some."""
        final: dict[str, Array] = {}
        for place, group in self._groups(params).items():
            own = self._at(place)._kgraph_finalize(_nested(group), state.parts[place])
            final |= _by_path(own)
        return _like(params, final)

    # Learning rates are those of the single optimizers.

    @property
    def learning_rate(self) -> Any:
        """Raises LearningRateError: each of `optimizers` has its own."""
        self._refuse_rate("read")

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._refuse_rate("set")

    @property
    def _kgraph_host_rate(self) -> float | None:
        """None: each of `optimizers` has its own rate."""
        return None

    def _kgraph_current_rate(self, state: Any) -> Array:
        """Raises LearningRateError: each of `optimizers` has its own."""
        self._refuse_rate("read")

    def _kgraph_sync_rate(self, state: Any) -> Any:
        """Returns `state` with the rates that were set last, or `state` itself."""
        parts = {
            place: self._at(place)._kgraph_sync_rate(part) for place, part in state.parts.items()
        }
        if all(parts[place] is part for place, part in state.parts.items()):
            return state
        return state._replace(parts=parts)

    def _kgraph_adopt_rate(self, state: Any) -> None:
        """Lets each optimizer take the rate of its part of `state` as its own."""
        for place, part in state.parts.items():
            if int(place) < len(self._optimizers):
                self._at(place)._kgraph_adopt_rate(part)

    def exclude_from_weight_decay(self, var_list: Any = None, var_names: Any = None) -> None:
        """Spares parameters from the weight decay of each of `optimizers`."""
        for optimizer in self._optimizers:
            optimizer.exclude_from_weight_decay(var_list, var_names)

    def get_config(self) -> dict[str, Any]:
        """Returns the map and the options as plain data."""
        config = Recorded.get_config(self)
        if isinstance(self._choose, OptimizerMap):  # as a mapping it would lose its default
            described = {"class_name": "OptimizerMap", "config": self._choose.get_config()}
            config["optimizer_map"] = {"kind": OptimizerMap._kgraph_kind, **described}
        return config

    @classmethod
    def from_config(cls, config: Config) -> Any:
        """Makes an optimizer from what `get_config` (or Keras') returned."""
        chosen = config["optimizer_map"]
        if isinstance(chosen, Mapping) and chosen.get("class_name") == "OptimizerMap":
            chosen = OptimizerMap.from_config(chosen["config"])
        else:
            chosen = restore(chosen)
        rest = {name: value for name, value in config.items() if name != "optimizer_map"}
        return cls(chosen, **restored_options(cls, rest))

    # Which parameter is whose

    def _groups(self, params: Tree) -> dict[str, dict[str, Array]]:
        """Returns the parameters of each optimizer by path, by the optimizer's place."""
        groups: dict[str, dict[str, Array]] = {}
        for path, array in _by_path(params).items():
            if path not in self._places:
                parameter = Parameter(path, array.shape, str(array.dtype))
                self._places[path] = self._add(self._choose(parameter))
            groups.setdefault(str(self._places[path]), {})[path] = array
        return groups

    def _at(self, place: str) -> Optimizer:
        return self._optimizers[int(place)]

    def _add(self, optimizer: Any) -> int:
        """Returns the place of an optimizer among `optimizers`, which it joins if it is new."""
        for place, known in enumerate(self._optimizers):
            if known is optimizer:
                return place
        if not isinstance(optimizer, Optimizer):
            raise ConfigError("MultiOptimizer needs optimizers", received=f"{optimizer!r}")
        scales = isinstance(optimizer, LossScaleOptimizer)
        if scales or isinstance(optimizer, MultiOptimizer) or optimizer.loss_scale_factor:
            raise ConfigError(
                f"{type(optimizer).__name__} cannot be part of a MultiOptimizer"
                + (", for it scales the loss" if scales else ""),
                received=f"loss_scale_factor={optimizer.loss_scale_factor}",
                hint="LossScaleOptimizer(MultiOptimizer(...)), or the MultiOptimizer's own "
                "loss_scale_factor",
            )
        self._optimizers.append(optimizer)
        return len(self._optimizers) - 1

    def _warn_of_unused(self, paths: Iterable[str]) -> None:
        if not isinstance(self._choose, OptimizerMap):
            return
        paths = list(paths)
        used = {self._choose.key_for(path) for path in paths}
        unused = [key for key in self._choose if key not in used]
        if unused:
            warn(
                f"Keys of the OptimizerMap match no trained parameter: {listed(unused)}, "
                f"among {', '.join(paths)}",
            )

    def _refuse_rate(self, verb: str) -> NoReturn:
        raise LearningRateError(
            f"A MultiOptimizer has no learning rate that can be {verb}",
            expected="the rate of each of its optimizers",
            hint="for part in optimizer.optimizers: part.learning_rate = ...",
        )


def _by_path(tree: Tree) -> dict[str, Array]:
    return {path_of(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _nested(leaves: Mapping[str, Array]) -> Any:
    """Returns nested dicts, in which the leaves have the same paths as in the whole tree."""
    nested: Any = {}
    for path, leaf in leaves.items():
        *parents, last = path.split("/")
        branch = nested
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[last] = leaf
    return nested


def _like(tree: Tree, leaves: Mapping[str, Array]) -> Any:
    """Returns the leaves in the structure of `tree`."""
    return jax.tree_util.tree_map_with_path(lambda path, _: leaves[path_of(path)], tree)
