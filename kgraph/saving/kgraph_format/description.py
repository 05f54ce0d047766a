"""A model as plain data: what is written in `model.json`, and the model made from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import jax

from kgraph.compiler.lower import graph_of, is_model
from kgraph.custom_objects import get_registered_name
from kgraph.declared import is_own
from kgraph.descriptions import Opaque, find_opaque
from kgraph.errors import ConfigError
from kgraph.graph.structure import Slot, fill
from kgraph.layers.base import Layer
from kgraph.layers.base.first_keys import with_values
from kgraph.layers.base.tree import children
from kgraph.registry import Recorded, describe, recorded_arguments, registered_names, restore

if TYPE_CHECKING:
    from kgraph.models.model import Model


_REGISTER = "decorate it with @kgraph.saving.register_keras_serializable(), or use a name"


def model_document(model: Model) -> dict[str, Any]:
    """Returns a model as plain data.

    `model` is its class and config. A model that is defined by code has `inputs` too: structure and
    specs of the data that it was called on, from which its weights can be built again.

    Raises:
        ConfigError: an option (a lambda, say) cannot be written down.
    """
    described = describe(model)
    for layer, option, value in opaque_options(described):
        raise ConfigError(
            f"The option {option!r} of {layer or model.name!r} cannot be written to a file",
            received=value.text,
            hint=_REGISTER,
        )
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


def live_classes(*things: Any) -> dict[str, type]:
    """Returns the user's own classes that are in use in these objects, by name, to any depth.

    With them a save can be proved before the user passes `custom_objects` to a load.

    Raises:
        ConfigError: one has the name of a class of kgraph's own and is not registered, so a file
            would stand for the other class.
    """
    found: dict[str, type] = {}
    seen: set[int] = set()
    waiting = list(things)
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, Mapping):
            waiting += thing.values()
        elif isinstance(thing, (list, tuple)):
            waiting += thing
        elif isinstance(thing, Recorded):
            waiting += recorded_arguments(thing).values()
            if isinstance(thing, Layer):
                waiting += [child for _, child in children(thing)]
            _add(found, thing)
    return found


def _add(found: dict[str, type], thing: Recorded) -> None:
    cls = type(thing)
    if is_own(cls):
        return
    name = get_registered_name(cls)
    if name == cls.__name__ and name in registered_names(thing._kgraph_kind, like=name):
        raise ConfigError(
            f"Your class {name!r} has the name of one of kgraph's own",
            expected="a name that a file can tell from it",
            hint="rename it, or decorate it with @kgraph.saving.register_keras_serializable()",
        )
    if found.setdefault(name, cls) is not cls:
        raise ConfigError(
            f"Two of your classes in this model are named {name!r}",
            hint="rename one, or register both under different names",
        )
