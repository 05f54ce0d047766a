"""Layers of a model by name or number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kgraph.errors import ConfigError, check_keys
from kgraph.layers.base import Layer
from kgraph.layers.base.core import label_of

if TYPE_CHECKING:
    from kgraph.models.model import Model


def get_layer(self: Model, name: str | None = None, index: int | None = None) -> Layer:
    """Returns the layer of a name, or at an index of `layers`.

    Raises:
        ConfigError: there is none.
    """
    if (name is None) == (index is None):
        raise ConfigError("get_layer takes a name or an index")
    if index is not None:
        if not -len(self.layers) <= index < len(self.layers):
            raise ConfigError(
                f"{label_of(self)} has {len(self.layers)} layers", received=f"index {index}"
            )
        return self.layers[index]
    named = dict(self._kgraph.layers)
    if self._kgraph.graph is None:
        named = {layer.name: layer for layer in self.layers} | dict(self._kgraph_children())
    check_keys(label_of(self), {str(name): None}, named)
    return named[str(name)]
