"""JaxLayer: a JAX function with parameters as a layer."""

from __future__ import annotations

import inspect
from typing import Any, Unpack

import jax
import numpy as np

from kgraph.errors import ConfigError, StateError
from kgraph.graph.structure import map_structure
from kgraph.graph.symbol import KerasTensor
from kgraph.graph.traits import Traits
from kgraph.initializers import Constant
from kgraph.layers.base import Layer
from kgraph.layers.base.core import label_of, next_key
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.interop.from_init import LeafStart, TreeStart
from kgraph.types import Array, Function, Tree

_UNKNOWN_SIZE = 8
"""What stands for an unknown size (other than the batch) while the weights' shapes are found."""


class JaxLayer(Layer, traits=Traits(rows_independent=False)):  # nobody knows what is called
    """Wraps a function of parameters and inputs.

    The leaves of `params` become trainable weights, those of `state` become state, each under its
    path; so they train, are saved and show in summaries like those of any layer.

    Dtype: inputs and weights are passed as they are; the function decides in what it computes.

    Args:
        call_fn: called with those of `params`, `state`, `rng`, `inputs`, `training` that it names.
            Returns the outputs; with `state` among its arguments, the outputs and the new state.
            `rng` is a key in training, and None otherwise.
        init_fn: called with those of `rng`, `inputs`, `training` that it names. Returns the
            parameters; for a `call_fn` with state, the parameters and the state.
        params: initial parameters, in the place of `init_fn`.
        state: initial state, in the place of `init_fn`.
        seed: of the keys; None follows the key and the path.

    Raises:
        ConfigError: a function names another argument, or nothing says how the weights start.

    >>> import jax.numpy as jnp
    >>> import numpy as np
    >>> layer = JaxLayer(lambda params, inputs: inputs * params, params=jnp.array(2.0))
    >>> layer(np.array([3.0], "float32")).tolist()
    [6.0]
    """

    def __init__(
        self,
        call_fn: Function,
        init_fn: Function | None = None,
        params: Tree = None,
        state: Tree = None,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**{"autocast": False, **options})
        self.call_fn, self.init_fn, self.seed = call_fn, init_fn, seed
        self.call_names = _named(
            call_fn, "call_fn", ("params", "state", "rng", "inputs", "training")
        )
        self.init_names: tuple[str, ...] = ()
        if init_fn is not None:
            self.init_names = _named(init_fn, "init_fn", ("rng", "inputs", "training"))
        if init_fn is None and params is None and state is None:
            raise ConfigError("JaxLayer needs init_fn, or params, to know how its weights start")
        self.given = (params, state)
        self.draws = "rng" in self.call_names
        self.example: Any = None

    def _kgraph_ensure_built(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        if not self.built:
            self.example = _example(self.pick_inputs(args, kwargs))
            self.build(None)

    def pick_inputs(self, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        """Returns what is passed to the functions as `inputs`."""
        return args[0] if args else kwargs["inputs"]

    def build(self, input_shape: Any) -> None:
        if self.example is None and input_shape is not None:
            self.example = _example(KerasTensor(input_shape, self.compute_dtype).spec)
        params, state = self.given
        if params is None and self.init_fn is not None:
            start = TreeStart(self._initial)
            key = jax.eval_shape(lambda: jax.random.key(0))
            found = jax.eval_shape(start.function, key)
            starts = [LeafStart(start, i) for i in range(len(jax.tree.leaves(found)))]
        else:
            found = (params if params is not None else {}, state if state is not None else {})
            starts = [Constant(np.asarray(leaf)) for leaf in jax.tree.leaves(found)]
        self.params_shapes, self.state_shapes = jax.tree.map(_shape, found)
        first = len(jax.tree.leaves(found[0]))
        self.params, self.params_tree = self._declare(found[0], starts[:first], True)
        self.state, self.state_tree = self._declare(found[1], starts[first:], False)

    def _initial(self, key: Array) -> tuple[Any, Any]:
        """Returns parameters and state for a key, from `init_fn`."""
        assert self.init_fn is not None
        inputs = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), self.example)
        known = {"rng": key, "inputs": inputs, "training": True}
        made = self.init_fn(*(known[name] for name in self.init_names))
        return made if "state" in self.call_names else (made, {})

    def _declare(self, tree: Tree, starts: list[Any], trainable: bool) -> tuple[list[Any], Any]:
        paths, structure = jax.tree_util.tree_flatten_with_path(tree)
        weights = []
        for (path, leaf), start in zip(paths, starts):
            weights.append(self.add_weight(leaf.shape, start, str(leaf.dtype), trainable))
            weights[-1].rename(_path_name(path))  # it may have a "/", as no name given by hand
        return weights, structure

    def call(self, inputs: Tree, training: bool | None = None) -> Any:
        return self.compute(inputs, bool(training))

    def compute(self, inputs: Tree, training: bool) -> Any:
        """Calls the function, and keeps the state that it returns."""
        known = {
            "params": jax.tree.unflatten(self.params_tree, self.params),
            "state": jax.tree.unflatten(self.state_tree, self.state),
            "rng": next_key(self) if training and self.draws else None,
            "inputs": inputs,
            "training": training,
        }
        result = self.call_fn(*(known[name] for name in self.call_names))
        if "state" not in self.call_names:
            return result
        outputs, state = result
        leaves, structure = jax.tree.flatten(state)
        if structure != self.state_tree:
            raise StateError(
                f"{label_of(self)} must return state of the structure that it was given",
                expected=self.state_tree,
                received=structure,
            )
        self.state = leaves
        return outputs


def _named(function: Function, what: str, known: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(inspect.signature(function).parameters)
    other = [name for name in names if name not in known]
    if other or "inputs" not in names:
        raise ConfigError(
            f"JaxLayer cannot call this {what}",
            expected=f"arguments among {', '.join(known)}, with inputs",
            received=", ".join(names),
        )
    return names


def _example(inputs: Tree) -> Any:
    """Returns shape and dtype of each input, with a number for each unknown size."""

    def one(item: Any) -> Any:
        if not (hasattr(item, "shape") and hasattr(item, "dtype")):
            return item
        sizes = [
            size if isinstance(size, int) else 1 if axis == 0 else _UNKNOWN_SIZE
            for axis, size in enumerate(item.shape)
        ]
        return jax.ShapeDtypeStruct(tuple(sizes), item.dtype)

    return map_structure(one, inputs)


def _shape(leaf: Any) -> Any:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)


def _path_name(path: Any) -> str:
    """Returns `encoder/kernel` for a path of JAX's, leaving out what only wraps the array."""
    parts = [jax.tree_util.keystr((entry,), simple=True) for entry in path]
    return "/".join(part for part in parts if part not in ("value", "")) or "weight"
