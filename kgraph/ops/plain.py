"""Functions of arrays by name: the closed list, and where each of them comes from."""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp

from kgraph.errors import nearest
from kgraph.ops import functions
from kgraph.ops.arguments import with_keras_arguments
from kgraph.ops.names import ALIASES, names
from kgraph.types import Function


@cache
def function(name: str) -> Function:
    """Returns the function of this name, from the closed list of `names`.

    Raises:
        AttributeError: there is none.
    """
    if name not in names:
        raise AttributeError(
            f"kgraph.ops has no {name!r}; {nearest(name, names) or 'see ops.names'}"
        )
    if name in functions.__all__:
        return getattr(functions, name)
    for module in (jnp, jax.nn, jax.lax, jnp.linalg):
        found = getattr(module, ALIASES.get(name, name), None)
        if found is not None:
            return with_keras_arguments(name, found)
    raise AttributeError(f"this version of JAX has no {name!r}")
