"""Functions by name that also take symbolic tensors, and the namespaces that offer them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from kgraph.errors import nearest
from kgraph.graph.symbol import SymbolicTensor
from kgraph.layers.base.calling import has_symbols
from kgraph.ops.names import NAMESPACES, NEVER_NODES
from kgraph.ops.operation import Operation
from kgraph.ops.plain import function


@cache
def lift(name: str) -> Callable[..., Any]:
    """Returns the function of this name, able to take symbolic tensors."""
    plain = function(name)
    if name in NEVER_NODES:
        return plain

    def lifted(*args: Any, **kwargs: Any) -> Any:
        if has_symbols(args, kwargs):
            return Operation(name)(*args, **kwargs)
        return plain(*args, **kwargs)

    lifted.__name__ = lifted.__qualname__ = name
    lifted.__doc__ = (
        f"`{getattr(plain, '__module__', 'jax')}.{name}` on arrays; a graph node on symbolic "
        f"tensors.\n\n{plain.__doc__ or ''}"
    )
    return lifted


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


def _apply(name: str, *args: Any) -> Any:
    if name == "getitem":
        tensor, index = args
        return lift(name)(tensor, list(index) if isinstance(index, tuple) else [index])
    return lift(name)(*args)


SymbolicTensor.apply = staticmethod(_apply)
