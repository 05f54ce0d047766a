"""NNXModel: a model as a module of flax.nnx, whose weights nnx sees."""

from __future__ import annotations

from typing import Any

from flax import nnx

from kgraph.compiler import Place, lower
from kgraph.models import Model
from kgraph.types import Array, Tree

_DICT = getattr(nnx, "Dict", dict)
"""Flax before 0.12 takes plain dicts."""


class NNXModel(nnx.Module):
    """Wraps a model as a module of flax.nnx, alone or as an attribute of another.

    The weights stand in `weights` under the names of layers, as in `model.summary`: what is trained
    as `nnx.Param`, frozen weights as `nnx.Variable`, and state (moving averages) as
    `nnx.BatchStat`. They are copies: `give_back` brings them to the model.

    Args:
        model: any model that has its weights.
        rngs: where dropout and the like get their keys, from the stream `dropout`.

    Attributes:
        weights: nested dicts of the variables.
        deterministic: what `module.train()` and `module.eval()` set; True at first, so that dropout
            and batch statistics are off.

    Raises:
        GraphError: it has no graph yet, or is no model.

    >>> import kgraph as keras
    >>> from flax import nnx
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="head")])
    >>> list(nnx.state(keras.wrappers.NNXModel(model), nnx.Param)["weights"]["head"])
    ['bias', 'kernel']
    """

    def __init__(self, model: Model, rngs: nnx.Rngs | None = None) -> None:
        self._model, self._program = model, lower(model)
        self._layout = self._program.weights.layout
        values = self._layout.by_weight(model.variables_for(self._program))
        made: dict[str, Any] = {}
        for place in self._layout.places:
            *outer, last = place.path
            inside = made
            for name in outer:
                inside = inside.setdefault(name, {})
            inside[last] = _kind_of(place)(values[id(place.weight)])
        self.weights = _nested(made)
        self.rngs = rngs
        self.deterministic = True

    def __call__(self, inputs: Tree, training: bool | None = None) -> Any:
        """Returns the outputs; new state (of a BatchNormalization, say) goes into `weights`.

        Args:
            inputs: as `model` takes them.
            training: whether dropout and the like are on; by default after `module.train()`.
        """
        trains = not self.deterministic if training is None else training
        places = [(place, self._variable(place)) for place in self._layout.places]
        values = {id(place.weight): variable[...] for place, variable in places}
        key = None if self.rngs is None else self.rngs.dropout()
        outputs, state = self._program.apply(self._layout.nest(values), inputs, trains, key)
        after = self._layout.by_weight({"state": state}, ("state",))
        for place, variable in places:
            new = after.get(id(place.weight))
            if new is not None and new is not values[id(place.weight)]:
                variable[...] = new
        return outputs

    def give_back(self) -> Model:
        """Sets the weights of the model to those of the module, and returns it."""
        values: dict[int, Array] = {
            id(place.weight): self._variable(place)[...] for place in self._layout.places
        }
        self._model.assign(self._layout.nest(values))
        return self._model

    def _variable(self, place: Place) -> Any:
        found: Any = self.weights
        for name in place.path:
            found = found[name]
        return found


def _kind_of(place: Place) -> type[nnx.Variable[Any]]:
    if place.collection == "state":
        return nnx.BatchStat
    return nnx.Param if place.trained else nnx.Variable


def _nested(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    return _DICT({name: _nested(item) for name, item in tree.items()})
