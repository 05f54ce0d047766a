"""A model as plain data: what is written in `model.json`, and the model made from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import jax

from kgraph.compiler.lower import graph_of, is_model
from kgraph.descriptions import Opaque, find_opaque, written
from kgraph.errors import ConfigError
from kgraph.graph.structure import Slot, fill
from kgraph.layers.base import Layer
from kgraph.layers.base.first_keys import with_values
from kgraph.registry import describe, restore

if TYPE_CHECKING:
    from kgraph.models.model import Model


_REGISTER = "decorate it with @kgraph.saving.register_keras_serializable(), or use a name"
_MEND = "a file holds what get_config returns: mend it, or leave it out for the recorded arguments"


def model_document(model: Model) -> dict[str, Any]:
    """Returns a model as plain data.

    `model` is its class and config. A model that is defined by code has `inputs` too: structure and
    specs of the data that it was called on, from which its weights can be built again.

    Raises:
        ConfigError: an option (a lambda, say) cannot be written down.
    """
    described = describe(model)
    for layer, option, value in opaque_options(described):
        # Of functions that operations are called with, a file would have them read and run.
        if value.written is not None and not option.startswith("nodes["):
            continue
        raise ConfigError(
            f"The option {option!r} of {layer or model.name!r} cannot be written to a file",
            received=value.text,
            hint=_MEND if option.endswith("get_config") else _REGISTER,
        )
    described = written(described)
    graph = graph_of(model)
    if graph is None or model._kgraph_inner_graph is not None:
        return {"model": described, "inputs": None}
    specs = [graph.spec(ref) for ref in graph.inputs]
    inputs = {
        "structure": describe(graph.input_structure),
        "specs": [[list(spec.dims[1:]), spec.dtype] for spec in specs],
    }
    return {"model": described, "inputs": inputs}


def model_from_document(document: Mapping[str, object]) -> Any:
    """Returns the model that `model_document` wrote down, without weights' values.

    Runs constructors of known classes only, under the custom objects in force.
    """
    with with_values():
        return _model_from_document(document)


def _model_from_document(document: Mapping[str, Any]) -> Any:
    model = restore(document["model"])
    if not isinstance(model, Layer) or not is_model(model):
        raise ConfigError(f"The file describes a {type(model).__name__}, which is no model")
    if document["inputs"] is not None:
        model._kgraph.programs.trace(_examples(document["inputs"]))  # type: ignore[attr-defined]
    return model


def _examples(inputs: Mapping[str, Any]) -> Any:
    specs = [
        jax.ShapeDtypeStruct((1, *dims), jax.numpy.dtype(dtype)) for dims, dtype in inputs["specs"]
    ]
    return fill(_slots(inputs["structure"]), specs)


def _slots(data: Any) -> Any:
    if isinstance(data, dict) and set(data) == {"slot"}:
        return Slot(data["slot"])
    if isinstance(data, dict):
        return {key: _slots(item) for key, item in data.items()}
    return [_slots(item) for item in data] if isinstance(data, list) else data


def opaque_options(data: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, str, Opaque]]:
    """Yields layer, option and stand-in for each value of a model that could not be described."""
    config = data["config"]
    layers = config.get("layers")
    inside = _named(layers)
    for name, layer in inside:
        yield from opaque_options(layer, f"{place}/{name}" if place else name)
    rest = {key: item for key, item in config.items() if not (inside and key == "layers")}
    for option, value in find_opaque(rest):
        yield place, option, value


def _named(layers: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """Returns the described layers of a model by name; nothing if they are something else."""
    items: Iterable[tuple[str, Any]] = ()
    if isinstance(layers, dict):
        items = layers.items()
    elif isinstance(layers, list):
        items = [(f"layers[{i}]", layer) for i, layer in enumerate(layers)]
    named = list(items)
    described = all(
        isinstance(d, dict) and isinstance(d.get("config"), dict) and d.get("kind") == "layer"
        for _, d in named
    )
    return [(d["config"].get("name") or name, d) for name, d in named] if described else []
