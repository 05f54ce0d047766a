"""What `model.json` may say, checked before any object is made from it.

Registered classes only, options of the right plain types, names and sizes within limits, calls of
layers that are there on tensors that were made before. What remains for the constructors is whether
values make sense together.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from kgraph import registry
from kgraph.declared import is_own
from kgraph.errors import ConfigError
from kgraph.graph.node import INPUT_CLASS
from kgraph.saving.files.misfit import (
    MAX_RANK,
    MAX_SIZE,
    Misfit,
    check,
    check_keys,
    is_count,
    is_name,
)
from kgraph.saving.kgraph_format.safetensors import DTYPES

MAX_NODES = 100_000
MAX_EDGES = 1_000_000

OWN = "one of kgraph's own, or one of yours"
"""What `Misfit.expected` is of a name that is not known."""

_OBJECT = {"kind", "class_name", "config"}
_FUNCTION = {"kind", "function"}
_GRAPH = {
    "name", "trainable", "format", "input_names", "inputs", "outputs", "layers", "aliases", "nodes",
}  # fmt: skip
_NODE = {"name", "layer", "args", "kwargs", "inputs"}
_PLAIN: dict[str, tuple[type, ...]] = {
    "bool": (bool,), "int": (int,), "float": (int, float), "str": (str,)
}  # fmt: skip


def check_document(document: Any) -> None:
    """Checks the whole of `model.json`.

    Raises:
        Misfit: it is not what a save writes; names the place.
    """
    check_keys("the description", document, {"model", "inputs"})
    check_object("model", document["model"])
    if document["inputs"] is not None:
        if "nodes" in document["model"]["config"]:
            raise Misfit("inputs", "null, for the model has a graph", document["inputs"])
        check_keys("inputs", document["inputs"], {"structure", "specs"})
        _check_specs(document["inputs"]["specs"])
        _check_slots("inputs.structure", document["inputs"]["structure"], document["inputs"])


def check_object(place: str, data: Any) -> None:
    """Checks a described object with all that is inside it."""
    check_keys(place, _without_build(data), _OBJECT)
    check_values(place, data)


def _without_build(data: Any) -> Any:
    """Returns a described object without what a class of the user's needs to build it."""
    return {k: v for k, v in data.items() if k != "build"} if isinstance(data, dict) else data


def check_values(place: str, data: Any) -> None:
    """Checks all described objects and values in plain data."""
    for path, item in objects_in(data, place):
        if set(item) - {"build"} == _OBJECT:
            _check_class(path, item)
        elif set(item) == _FUNCTION:
            _check_known(path, item["kind"], item["function"], "function")
        elif set(item) == {"array", "dtype"}:
            check(f"{path}.dtype", item["dtype"], _is_dtype, "a dtype")
        elif set(item) == {"float"}:
            check(f"{path}.float", item["float"], lambda f: f in ("nan", "inf", "-inf"), "nan, inf")
        elif set(item) == {"slice"}:
            _check_slice(path, item["slice"])


def objects_in(data: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields every JSON object in data, outer ones first, with its place."""
    waiting = [(place, data)]
    while waiting:
        path, item = waiting.pop()
        if isinstance(item, dict):
            yield path, item
            waiting += [(f"{path}.{key}", value) for key, value in reversed(item.items())]
        elif isinstance(item, list):
            waiting += [(f"{path}[{i}]", value) for i, value in enumerate(item)][::-1]


# --- objects -------------------------------------------------------------------------------------


def _check_class(path: str, item: Mapping[str, Any]) -> None:
    cls = _check_known(path, item["kind"], item["class_name"], "class_name")
    config = item["config"]
    check(f"{path}.config", config, lambda c: isinstance(c, dict), "options by name")
    if "name" in config:
        expected = "a name of at most 1024 printable characters"
        check(f"{path}.config.name", config["name"], lambda n: n is None or is_name(n), expected)
    if item["class_name"] == INPUT_CLASS and "dims" in config:
        _check_dims(f"{path}.config.dims", config["dims"])
    if inspect.isclass(cls) and is_own(cls):
        for option, types in _plain_options(cls).items():
            if option in config and not _is_of(config[option], types):
                names = " or ".join(t.__name__ for t in types if t is not type(None))
                raise Misfit(f"{path}.config.{option}", names, config[option])
    if "nodes" in config:
        _check_graph(f"{path}.config", config)


def _check_known(path: str, kind: Any, name: Any, key: str) -> Any:
    check(f"{path}.kind", kind, is_name, "a name")
    check(f"{path}.{key}", name, is_name, "a name")
    try:
        return registry.lookup(kind, name)
    except ConfigError as error:
        raise Misfit(f"{path}.{key}", OWN, str(error).partition("\n")[0]) from None


@cache
def _plain_options(cls: type) -> dict[str, tuple[type, ...]]:
    """Returns the options of a class whose annotation is a plain type, perhaps with None."""
    parameters: dict[str, inspect.Parameter] = {}
    for base in reversed(cls.__mro__):  # options of a base class come as `**options`
        if "__init__" in vars(base) and base is not object:
            parameters |= inspect.signature(base.__init__).parameters
    found = {}
    for name, parameter in parameters.items():
        annotation = str(parameter.annotation)
        types = _PLAIN.get(annotation.removesuffix(" | None"))
        if types is not None and parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            optional = annotation.endswith(" | None") or parameter.default is None
            found[name] = (*types, type(None)) if optional else types
    return found


def _is_of(value: Any, types: tuple[type, ...]) -> bool:
    if isinstance(value, bool):
        return bool in types
    return isinstance(value, types) or (float in types and _is_special(value))


def _is_special(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"float"}


def _is_dtype(value: Any) -> bool:
    return isinstance(value, str) and value in DTYPES


def _check_slice(path: str, parts: Any) -> None:
    whole = isinstance(parts, list) and len(parts) == 3
    fits = whole and all(p is None or type(p) is int for p in parts)
    check(f"{path}.slice", parts, lambda _: fits, "start, stop and step")


def _check_dims(place: str, dims: Any) -> None:
    check(place, dims, lambda d: d is None or isinstance(d, list), "sizes")
    if dims is None:
        return
    check(place, len(dims), lambda n: n <= MAX_RANK, f"at most {MAX_RANK} axes")
    for i, dim in enumerate(dims):
        fits = is_name(dim) or (is_count(dim) and dim < MAX_SIZE)
        check(f"{place}[{i}]", dim, lambda _, fits=fits: fits, "a size below 2**31, or a name")


# --- graphs --------------------------------------------------------------------------------------


def _check_graph(place: str, config: dict[str, Any]) -> None:
    check_keys(place, config, _GRAPH)
    check(f"{place}.trainable", config["trainable"], lambda t: isinstance(t, bool), "bool")
    inputs = _check_layers(f"{place}.layers", config["layers"])
    made = set(inputs)
    nodes = config["nodes"]
    check(f"{place}.nodes", nodes, lambda n: isinstance(n, list), "a list")
    check(f"{place}.nodes", len(nodes), lambda n: n <= MAX_NODES, f"at most {MAX_NODES}")
    edges = 0
    for i, node in enumerate(nodes):
        edges += _check_node(f"{place}.nodes[{i}]", node, config["layers"], made)
        check(f"{place}.nodes", edges, lambda n: n <= MAX_EDGES, f"at most {MAX_EDGES} inputs")
        made.add(node["name"])
    fed = _check_structure(f"{place}.inputs", config["inputs"], made)
    _check_structure(f"{place}.outputs", config["outputs"], made)
    called = {node["layer"] for node in nodes}
    idle = sorted(set(config["layers"]) - called - inputs) or sorted(inputs)[fed:]
    check(f"{place}.layers", idle, lambda names: not names, "layers that are called, and inputs")
    names = config["input_names"]
    listed = isinstance(names, list) and all(map(is_name, names)) and len(names) == fed
    check(f"{place}.input_names", names, lambda _: listed, f"{fed} names")
    aliases = config["aliases"]
    texts = isinstance(aliases, dict) and all(isinstance(v, str) for v in aliases.values())
    check(f"{place}.aliases", aliases, lambda _: texts, "paths by path")


def _check_layers(place: str, layers: Any) -> set[str]:
    """Checks the layers of a graph and returns the names of its inputs."""
    check(place, layers, lambda found: isinstance(found, dict), "layers by name")
    check(place, len(layers), lambda n: n <= MAX_NODES, f"at most {MAX_NODES}")
    for name, data in layers.items():
        check(place, name, is_name, "a name of at most 1024 printable characters")
        check_keys(f"{place}.{name}", _without_build(data), _OBJECT)
        check(f"{place}.{name}.kind", data["kind"], lambda kind: kind == "layer", "'layer'")
    return {name for name, data in layers.items() if data["class_name"] == INPUT_CLASS}


def _check_node(place: str, node: Any, layers: Mapping[str, Any], made: set[str]) -> int:
    """Checks one call and returns the number of its inputs."""
    check_keys(place, node, _NODE)
    check(f"{place}.name", node["name"], is_name, "a name of at most 1024 printable characters")
    check(f"{place}.name", node["name"], lambda n: n not in made, "a name that is not taken")
    known = isinstance(node["layer"], str) and node["layer"] in layers
    check(f"{place}.layer", node["layer"], lambda _: known, "one of the layers")
    is_input = layers[node["layer"]]["class_name"] == INPUT_CLASS
    check(f"{place}.layer", node["layer"], lambda _: not is_input, "a layer that can be called")
    check(f"{place}.inputs", node["inputs"], lambda n: isinstance(n, list) and n != [], "tensors")
    for i, ref in enumerate(node["inputs"]):
        _check_ref(f"{place}.inputs[{i}]", ref, made)
    _check_slots(place, [node["args"], node["kwargs"]], node["inputs"])
    check(f"{place}.args", node["args"], lambda a: isinstance(a, list), "a list")
    check(f"{place}.kwargs", node["kwargs"], lambda k: isinstance(k, dict), "an object")
    return len(node["inputs"])


def _check_ref(place: str, ref: Any, made: set[str]) -> None:
    pair = isinstance(ref, list) and len(ref) == 2 and isinstance(ref[0], str) and is_count(ref[1])
    check(place, ref, lambda _: pair, "the name of a call and the number of an output")
    check(place, ref[0], lambda name: name in made, "an input, or a call before this one")


def _check_structure(place: str, data: Any, made: set[str]) -> int:
    """Checks a structure of tensors and returns their number."""
    count = 0
    waiting = [(place, data)]
    while waiting:
        path, item = waiting.pop()
        if _is_tensor(item):
            _check_ref(path, item["tensor"], made)
            count += 1
        elif isinstance(item, dict) and item.get("tuple") is True:
            check_keys(path, item, {"tuple", "items"})
            waiting.append((f"{path}.items", item["items"]))
        elif isinstance(item, dict):
            waiting += [(f"{path}.{key}", value) for key, value in item.items()]
        else:
            check(path, item, lambda i: isinstance(i, list), "a tensor")
            waiting += [(f"{path}[{i}]", value) for i, value in enumerate(item)]
    check(place, count, lambda n: 0 < n <= MAX_NODES, "a tensor")
    return count


def _is_tensor(item: Any) -> bool:
    """Tells a reference from what a user keeps under the key "tensor" of a dict of inputs."""
    found = item["tensor"] if isinstance(item, dict) and set(item) == {"tensor"} else None
    return isinstance(found, list) and found != [] and isinstance(found[0], str)


# --- data that a model defined by code was called on ---------------------------------------------


def _check_specs(specs: Any) -> None:
    check("inputs.specs", specs, lambda s: isinstance(s, list) and s != [], "a list")
    for i, spec in enumerate(specs):
        place = f"inputs.specs[{i}]"
        check(place, spec, lambda s: isinstance(s, list) and len(s) == 2, "sizes and dtype")
        _check_dims(place, [] if spec[0] is None else spec[0])
        check(place, spec[0], lambda dims: isinstance(dims, list), "sizes")
        check(place, spec[1], _is_dtype, "a dtype")


def _check_slots(place: str, data: Any, tensors: Any) -> None:
    """Checks that each tensor of a call has its places in the arguments, and no other is named."""
    count = len(tensors["specs"] if isinstance(tensors, dict) else tensors)
    used = set()
    for path, item in objects_in(data, place):
        if set(item) == {"slot"}:
            slot = item["slot"]
            check(path, slot, lambda s: is_count(s) and s < count, f"a number below {count}")
            used.add(slot)
    if len(used) != count:
        raise Misfit(place, f"{count} tensors in the arguments", len(used))
