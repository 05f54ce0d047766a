"""The calls that a functional config lists, checked, with references in the place of tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kgraph.saving.keras_format.objects_in import ObjectReader

MAX_NODES = 100_000


@dataclass(frozen=True)
class TensorRef:
    """One output of one call: names a layer, counts its calls and their outputs from 0."""

    layer: str
    call: int
    index: int


@dataclass
class ListedCall:
    """One call as the config lists it."""

    layer: str
    number: int
    args: list[Any]
    kwargs: dict[str, Any]
    at: str


def read_calls(
    reader: ObjectReader, entry: Mapping[str, object], name: str, at: str
) -> Iterator[ListedCall]:
    """Yields the calls of one layer."""
    nodes = entry.get("inbound_nodes", [])
    if not isinstance(nodes, list):
        raise reader.error("is no Keras config", f"{at}.inbound_nodes", expected="a list of calls")
    for number, node in enumerate(nodes):
        place = f"{at}.inbound_nodes[{number}]"
        if not isinstance(node, dict) or not {"args", "kwargs"} <= set(node):
            raise reader.error(
                "has a call in a form not known", place, expected="args and kwargs",
                hint="a file of Keras 2: load it in Keras 3 and save it anew",
            )  # fmt: skip
        args = _arguments(reader, node["args"], f"{place}.args")
        kwargs = _arguments(reader, node["kwargs"], f"{place}.kwargs")
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            raise reader.error("is no Keras config", place, expected="a list and a dict")
        yield ListedCall(name, number, args, kwargs, place)


def _arguments(reader: ObjectReader, data: Any, at: str) -> Any:
    """Returns arguments of a call with references in the place of tensors."""
    if isinstance(data, list):
        return [_arguments(reader, item, f"{at}[{i}]") for i, item in enumerate(data)]
    if isinstance(data, dict) and data.get("class_name") == "__keras_tensor__":
        config = data.get("config")
        history = config.get("keras_history") if isinstance(config, dict) else None
        return read_ref(reader, history, at)
    if isinstance(data, dict) and "class_name" not in data:
        return {key: _arguments(reader, item, f"{at}.{key[:40]}") for key, item in data.items()}
    return reader.value(data, at)


def read_ref(reader: ObjectReader, data: Any, at: str) -> TensorRef:
    """Returns what `[layer, call, output]` refers to; whether it exists is not asked here."""
    whole = isinstance(data, list) and len(data) == 3 and isinstance(data[0], str)
    if not whole or any(type(n) is not int or not 0 <= n <= MAX_NODES for n in data[1:]):
        raise reader.error(
            "refers to no tensor", at, expected="[layer, call, output]", received=data
        )
    return TensorRef(*data)
