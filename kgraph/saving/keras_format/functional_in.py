"""A functional model's config as symbols: layers made first, then called in an order that works."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kgraph.errors import KGraphError, ModelFileError
from kgraph.graph.structure import leaves, map_structure
from kgraph.graph.symbol import SymbolicTensor
from kgraph.layers.base import InputLayer, Layer
from kgraph.layers.base.call_spec import call_spec
from kgraph.ops import Operation, lift
from kgraph.saving.files.file_error import refusing
from kgraph.saving.keras_format import operations
from kgraph.saving.keras_format.archive import CONFIG
from kgraph.saving.keras_format.calls_in import (
    MAX_NODES,
    ListedCall,
    TensorRef,
    read_calls,
    read_ref,
)
from kgraph.saving.keras_format.inputs_in import InputSizes, input_layer
from kgraph.saving.keras_format.objects_in import ObjectReader
from kgraph.types import Config


@dataclass(frozen=True)
class _Function:
    """Stands in the place of a layer for an operation: a function of `kgraph.ops` and options."""

    name: str
    function: str
    options: Mapping[str, Any]


@dataclass
class FunctionalParts:
    """What a functional config describes: symbols, and the layers in the order of the file."""

    inputs: Any
    outputs: Any
    layers: list[Layer]


def read_functional(
    reader: ObjectReader, config: Config, at: str, sizes: InputSizes
) -> FunctionalParts:
    """Returns the symbols and layers of a functional config. Checks all names before any call."""
    entries = config.get("layers")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise reader.error("is no Keras config", f"{at}.layers", expected="a list of layers")
    things: dict[str, Any] = {}
    calls: list[ListedCall] = []
    for i, entry in enumerate(entries):
        place = f"{at}.layers[{i}]"
        name = reader.text(entry, "name", place)
        if name in things:
            raise reader.error("has two layers of one name", place, received=name)
        things[name] = _thing(reader, entry, name, place, sizes)
        calls += read_calls(reader, entry, name, place)
        if len(calls) > MAX_NODES:
            raise reader.error("has too many calls", place, expected=MAX_NODES)
    made = _replay(reader, things, calls)
    ends = [_structure(reader, config, key, at, things, made) for key in ("input", "output")]
    layers = [thing for thing in things.values() if isinstance(thing, Layer)]
    return FunctionalParts(ends[0], ends[1], layers)


def _thing(
    reader: ObjectReader, entry: Mapping[str, object], name: str, at: str, sizes: InputSizes
) -> Any:
    """Returns the layer of one entry, or the function that an operation stands for."""
    config = entry.get("config")
    if operations.is_keras_operation(entry.get("module")):
        with refusing(
            reader.path, "has an operation that kgraph cannot take", member=CONFIG, at=at,
            hint="use a layer, or an operation of the table in keras_format/operations.py",
        ):  # fmt: skip
            options = reader.value(config, f"{at}.config")
            function, arguments = operations.from_keras(
                entry["module"], entry.get("class_name"), options
            )
        return _Function(name, function, arguments)
    if entry.get("class_name") == "InputLayer":
        layer: Any = input_layer(reader, config, at, sizes)
    else:
        layer = reader.instance(entry, at)
    if not isinstance(layer, Layer):
        raise reader.error("has a layer that is none", at, received=type(layer).__name__)
    keep_name(reader, layer, name, at)
    return layer


def keep_name(reader: ObjectReader, layer: Layer, name: str, at: str) -> None:
    """Gives a layer the name that the file gives it; other models may call it otherwise."""
    if set(name) & set("/:") or not name.isprintable():
        raise reader.error("has a layer with a name that is none", at, received=repr(name))
    layer._kgraph.rename(name)


# --- calls ---------------------------------------------------------------------------------------


def _replay(
    reader: ObjectReader, things: Mapping[str, Any], calls: list[ListedCall]
) -> dict[tuple[str, int], list[Any]]:
    """Calls each layer as the file says, once all that a call reads is there."""
    made: dict[tuple[str, int], list[Any]] = {
        (name, 0): [thing.make_symbol()]
        for name, thing in things.items()
        if isinstance(thing, InputLayer)
    }
    known = set(made) | {(call.layer, call.number) for call in calls}
    waiting: dict[tuple[str, int], list[ListedCall]] = {}
    missing: dict[int, int] = {}
    ready: deque[ListedCall] = deque()
    for call in calls:
        if isinstance(things[call.layer], InputLayer):
            raise reader.error("calls an input", call.at, received=call.layer)
        reads = {(r.layer, r.call) for r in leaves([call.args, call.kwargs]) if _is_ref(r)}
        if not reads:  # it would be computed here and now
            raise reader.error("has a call on no tensors", call.at, received=call.layer)
        if call.number:
            reads.add((call.layer, call.number - 1))  # calls of one layer keep their order
        for read in sorted(reads - known):
            raise reader.error(
                "reads a tensor that nothing makes", call.at, received=f"{read[0]}, call {read[1]}"
            )
        reads -= set(made)
        missing[id(call)] = len(reads)
        for read in reads:
            waiting.setdefault(read, []).append(call)
        if not reads:
            ready.append(call)
    while ready:
        call = ready.popleft()
        place = (call.layer, call.number)
        made[place] = _call(reader, things[call.layer], call, made)
        for other in waiting.get(place, ()):
            missing[id(other)] -= 1
            if not missing[id(other)]:
                ready.append(other)
    stuck = [call for call in calls if (call.layer, call.number) not in made]
    if stuck:
        raise reader.error("has calls in a circle", stuck[0].at, received=stuck[0].layer)
    return made


def _is_ref(item: object) -> bool:
    return isinstance(item, TensorRef)


def _call(
    reader: ObjectReader, thing: Any, call: ListedCall, made: Mapping[tuple[str, int], list[Any]]
) -> list[Any]:
    def symbol(item: Any) -> Any:
        return _pick(reader, made, item, call.at) if _is_ref(item) else item

    args, kwargs = map_structure(symbol, call.args), map_structure(symbol, call.kwargs)
    try:
        if isinstance(thing, _Function):
            result = _run_function(thing, args, kwargs)
        else:
            result = thing(*args, **_given(thing, kwargs))
    except ModelFileError:
        raise
    except Exception as error:
        what = error.what if isinstance(error, KGraphError) else str(error)
        raise reader.error(
            "has a call that cannot be made", call.at, expected=call.layer, received=what
        ) from error
    found = [item for item in leaves(result) if isinstance(item, SymbolicTensor)]
    if not found:
        raise reader.error("has a call on no tensors", call.at, received=call.layer)
    return found


def _given(layer: Layer, kwargs: Mapping[str, object]) -> dict[str, Any]:
    """Returns the keywords that say something: Keras also notes those which are None.

    It notes `training` as well, its default if nobody gave it (so False for Dropout), and does not
    read it: what the whole model is run with takes its place.
    """
    names = call_spec(type(layer)).names
    said = {k: v for k, v in kwargs.items() if v is not None or (k in names and k != "mask")}
    return {k: v for k, v in said.items() if k != "training"}


def _run_function(thing: _Function, args: Any, kwargs: Any) -> Any:
    """Records an operation. Keras' operations end a mask; ours let it through if elementwise."""
    operation = Operation(thing.function)
    operation._kgraph.kept_name = thing.name
    if operation.supports_masking:

        def bare(item: object) -> Any:
            masked = isinstance(item, SymbolicTensor) and item.mask is not None
            return lift("copy")(item) if masked else item

        args, kwargs = map_structure(bare, args), map_structure(bare, kwargs)
    return operation(*args, **{**kwargs, **thing.options})


# --- ends ----------------------------------------------------------------------------------------


def _structure(
    reader: ObjectReader,
    config: Config,
    which: str,
    at: str,
    things: Mapping[str, Any],
    made: Mapping[tuple[str, int], list[Any]],
) -> Any:
    """Returns the symbols of `input_layers` or `output_layers` in their structure."""
    key = f"{which}_layers"
    if key not in config:
        raise reader.error("is no Keras config", at, expected=key)

    def symbols(data: Any, place: str) -> Any:
        if isinstance(data, list) and len(data) == 3 and isinstance(data[0], str):
            ref = read_ref(reader, data, place)
            inner = things.get(ref.layer)
            functional = getattr(inner, "_kgraph_inner_graph", None) is not None
            sequential = getattr(inner, "_kgraph_is_sequential", False)
            if functional and not sequential:  # Keras counts its own inner call first
                ref = TensorRef(ref.layer, ref.call - 1, ref.index)
            return _pick(reader, made, ref, place)
        if isinstance(data, dict):
            return {name: symbols(item, f"{place}.{name[:40]}") for name, item in data.items()}
        if isinstance(data, list) and data:
            return [symbols(item, f"{place}[{i}]") for i, item in enumerate(data)]
        raise reader.error("refers to no tensor", place, received=data)

    return symbols(config[key], f"{at}.{key}")


def _pick(
    reader: ObjectReader, made: Mapping[tuple[str, int], list[Any]], ref: TensorRef, at: str
) -> Any:
    outputs = made.get((ref.layer, ref.call), [])
    if ref.index >= len(outputs):
        raise reader.error(
            "reads a tensor that nothing makes", at, expected=f"one of {len(outputs)} outputs",
            received=f"{ref.layer}, call {ref.call}, output {ref.index}",
        )  # fmt: skip
    return outputs[ref.index]
