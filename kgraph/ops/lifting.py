"""Functions by name that also take symbolic tensors, and the namespaces that offer them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from kgraph.errors import GraphError, nearest
from kgraph.graph.structure import leaves, map_structure
from kgraph.graph.symbol import SymbolicTensor
from kgraph.layers.base.arithmetic import ReadsAsArray, value_of
from kgraph.ops.names import NAMESPACES, NEVER_NODES
from kgraph.ops.operation import Operation
from kgraph.ops.plain import function
from kgraph.source import user_source
from kgraph.tracebacks import entry

_SPECIAL = (SymbolicTensor, ReadsAsArray)


@cache
def lift(name: str) -> Callable[..., Any]:
    """Returns the function of this name, able to take symbolic tensors."""
    plain = function(name)

    @entry
    def lifted(*args: Any, **kwargs: Any) -> Any:
        special = [i for i in leaves([args, kwargs]) if isinstance(i, _SPECIAL)]
        if special:
            symbols = sum(isinstance(item, SymbolicTensor) for item in special)
            if 0 < symbols < len(special):
                raise _refusal(name)
            if symbols and name not in NEVER_NODES:
                return Operation(name)(*args, **kwargs)
            args, kwargs = map_structure(value_of, args), map_structure(value_of, kwargs)
        return plain(*args, **kwargs)

    lifted.__name__ = lifted.__qualname__ = name
    lifted.__doc__ = (
        f"`{getattr(plain, '__module__', 'jax')}.{name}` on arrays; a graph node on symbolic "
        f"tensors.\n\n{plain.__doc__ or ''}"
    )
    return lifted


def _refusal(name: str) -> GraphError:
    return GraphError(
        f"ops.{name} of a symbolic tensor and a variable would hide the variable in the graph",
        hint="hold the variable in a layer, and call the layer on the symbolic tensor",
    ).located(user_source())


def namespace(module: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Returns `__getattr__` and `__dir__` of a namespace, such as `kgraph.ops.nn`."""
    short = module.rpartition(".")[2]
    known = NAMESPACES[short]

    def get(name: str) -> Callable[..., Any]:
        if name not in known:
            raise AttributeError(
                f"kgraph.ops.{short} has no {name!r}; {nearest(name, known) or 'see its dir()'}"
            )
        return lift(name)

    return get, lambda: list(known)


def _apply(name: str, /, *args: Any) -> Any:
    if name == "getitem":
        tensor, index = args
        return lift(name)(tensor, list(index) if isinstance(index, tuple) else [index])
    return lift(name)(*args)


SymbolicTensor.apply = staticmethod(_apply)
