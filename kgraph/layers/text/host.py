"""Layers that read text: they run on the host, before `fit`, and never in a graph."""

from __future__ import annotations

from typing import Any

from jax.core import Tracer

from kgraph.errors import GraphError
from kgraph.layers.base import Layer
from kgraph.layers.base.calling import has_symbols
from kgraph.layers.base.core import label_of
from kgraph.layers.base.on_tensorflow import has_tensors


class _HostLayer(Layer):
    """Base of layers whose `call` takes text in arrays or lists, and returns NumPy arrays."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        elsewhere = has_symbols(args, kwargs) or has_tensors(args, kwargs)
        if self._kgraph.context is not None or elsewhere:
            return super().__call__(*args, **kwargs)
        return self.call(*args, **kwargs)

    def _kgraph_check_call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        raise self.outside_graphs()

    def outside_graphs(self) -> GraphError:
        """Returns the error for text in a graph."""
        return GraphError(
            f"{label_of(self)} works on text, and text stays on the host: no device can hold it",
            expected="NumPy arrays or lists, outside of the model",
            hint=[
                "give the model an Input of numbers, and apply the layer to the data:",
                "ids = layer(texts), then model.fit(ids, y); or for batches",
                "model.fit(kgraph.data.mapped(batches, lambda x, y: (layer(x), y)))",
            ],
        )

    def refuse_traced(self, inputs: Any) -> None:
        """Raises GraphError inside the call of another layer, and for traced arrays."""
        if self._kgraph.context is not None or isinstance(inputs, Tracer):
            raise self.outside_graphs()
