"""Creates the values of many weights at once, without a compilation for each."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, TypeAlias, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from kgraph.errors import ConfigError
from kgraph.initializers.base import (
    FixedInitializer,
    RandomInitializer,
    floating_dtype,
    standard_dtype,
)
from kgraph.initializers.on_host import Drawing, Kind, draw_all
from kgraph.initializers.regions import Parts
from kgraph.initializers.variates import derived_words, key_words, many_variates, path_hash
from kgraph.types import AnyArray, DTypeLike, Function

AT_ONCE = 2**21
"""So many values are made before they go to devices: beside the result there are 8 MB of them."""


@dataclass(frozen=True)
class Request:
    """The values that one weight asks for.

    Fields:
        initializer: an `Initializer`, or a function of (shape, dtype) that may also take `key`,
            as the initializers of `jax.nn` do.
        shape: of the weight.
        dtype: of the weight; None for `kgraph.config.floatx()`.
        path: names the weight in its model. Values follow it, not the order of requests.
    """

    initializer: Function
    shape: tuple[int, ...]
    dtype: Any
    path: str


Wanted: TypeAlias = tuple[Request | Sequence[Request], Any]
"""What is asked for, and where it has to lie (None: on the default device)."""


def create(
    requests: Sequence[Request | Sequence[Request]],
    key: AnyArray,
    shardings: Sequence[Any] | None = None,
) -> list[jax.Array]:
    """Returns the values that weights ask for, in order.

    With a concrete key, kgraph's initializers work on the host, without compiling anything. Of a
    weight that is cut over devices, each process makes the parts that its own devices hold. With a
    traced key they are part of the trace, so this function works under jit, vmap and eval_shape.
    The values agree up to rounding.

    Args:
        requests: what the weights ask for. A sequence of requests that differ in their paths alone
            gets one array, with the values of each as a row.
        key: a typed or raw random key.
        shardings: one for each request (None: the default device). Not used in a trace, where
            `out_shardings` of the jit decides.

    Raises:
        ConfigError: if an initializer cannot make the values, or makes others than were asked for.
    """
    words = key_words(key)
    if isinstance(words, Tracer):
        drawn = _drawn_together([r for one in requests for r in _rows_of(one)], words)
        rows = iter(drawn)
        return [
            next(rows) if isinstance(one, Request) else jnp.stack([next(rows) for _ in one])
            for one in requests
        ]
    pairs = list(zip(requests, [None] * len(requests) if shardings is None else shardings))
    made: list[jax.Array] = []
    while pairs:
        group = _at_once(pairs)
        made += _placed(group, words)
        del pairs[: len(group)]
    return made


def _at_once(pairs: Sequence[Wanted]) -> list[Wanted]:
    """Returns the first requests, so few that their values need little memory beside the result."""
    total = 0
    for count, (one, _) in enumerate(pairs):
        total += sum(math.prod(row.shape) for row in _rows_of(one))
        if total > AT_ONCE:
            return list(pairs[: count or 1])
    return list(pairs)


def _placed(group: Sequence[Wanted], words: AnyArray) -> list[jax.Array]:
    """Returns values where they have to lie."""
    drawings: list[Drawing] = []
    parts = [_in_parts(*pair, words, drawings) for pair in group]
    wholes = [
        _on_host(one, words, drawings) if own is None else None
        for (one, _), own in zip(group, parts)
    ]
    draw_all(drawings)
    where = [sharding for (_, sharding), own in zip(group, parts) if own is None]
    together = [array for array in wholes if array is not None]
    if all(s is None or s.is_fully_addressable for s in where):
        moved = iter(jax.device_put(together, where))
    else:
        moved = iter([_put_whole(np.asarray(a), s) for a, s in zip(together, where)])
    made = [next(moved) if own is None else own.array() for own in parts]
    return jax.block_until_ready(made) if len(made) else made


def _put_whole(array: np.ndarray, sharding: Any) -> jax.Array:
    """Returns an array of which this process holds a part; all have made the same numbers."""
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def _in_parts(
    one: Request | Sequence[Request], sharding: Any, words: AnyArray, drawings: list[Drawing]
) -> Parts | None:
    """Returns a weight that is cut, in parts that `drawings` fill; None if it is made as a whole.

    So are values that are no function of their place, such as those of a user's initializer.
    """
    if sharding is None or (sharding.is_fully_addressable and sharding.is_fully_replicated):
        return None
    if not isinstance(one, Request) or math.prod(one.shape) == 0:
        return None
    make = one.initializer
    if not (_draws(make) and make.pointwise):
        return None
    parts = Parts(tuple(one.shape), floating_dtype(make, one.dtype), sharding)
    for region, target in parts.values.items():
        drawings.append(replace(_drawing(make, one, words, target), region=region))
    return parts


def _rows_of(one: Request | Sequence[Request]) -> Sequence[Request]:
    return [one] if isinstance(one, Request) else one


def _on_host(
    one: Request | Sequence[Request], words: AnyArray, drawings: list[Drawing]
) -> AnyArray:
    """Returns values, or an array that is still to be filled by what is added to `drawings`."""
    rows = _rows_of(one)
    make, shape = rows[0].initializer, tuple(rows[0].shape)
    if _draws(make) and make.pointwise:
        found = np.empty((len(rows), *shape), floating_dtype(make, rows[0].dtype))
        drawings += [_drawing(make, row, words, found[i, ...]) for i, row in enumerate(rows)]
    elif isinstance(one, Request):
        return _values(one, words, np)
    else:
        found = np.stack([_values(row, words, np) for row in rows])
    return found[0, ...] if isinstance(one, Request) else found


def _drawing(
    make: RandomInitializer, request: Request, words: AnyArray, target: np.ndarray
) -> Drawing:
    words, path = make.stream(words, path_hash(request.path))
    shape = tuple(request.shape)
    return Drawing(make.variates, words, path, lambda z: make.transform(z, shape, np), target)


def _drawn_together(requests: Sequence[Request], words: AnyArray) -> list[Any]:
    """Returns the values of requests, those that follow the key from one generator."""
    groups: dict[Kind, list[int]] = {}
    for i, request in enumerate(requests):
        make = request.initializer
        if _draws(make) and make.seed is None:
            groups.setdefault(make.variates, []).append(i)
    drawn = {}
    for kind, members in groups.items():
        paths = [path_hash(requests[i].path) for i in members]
        counts = [math.prod(requests[i].shape) for i in members]
        drawn |= zip(members, many_variates(kind, words, paths, counts))
    return [_values(request, words, jnp, drawn.get(i)) for i, request in enumerate(requests)]


def _draws(make: Function) -> TypeGuard[RandomInitializer]:
    """Tells whether an initializer is its `transform`, and not a subclass with another call."""
    return isinstance(make, RandomInitializer) and type(make).__call__ is RandomInitializer.__call__


def _fills(make: Function) -> TypeGuard[FixedInitializer]:
    return isinstance(make, FixedInitializer) and type(make).__call__ is FixedInitializer.__call__


def _values(
    request: Request, words: AnyArray, xp: ModuleType, z: AnyArray | None = None
) -> AnyArray:
    make, shape, path = request.initializer, tuple(request.shape), path_hash(request.path)
    if _draws(make):
        dtype = floating_dtype(make, request.dtype)
        if z is None:
            values = make.draw(shape, words, path, xp)
        else:
            values = make.transform(z.reshape(shape), shape, xp)
    elif _fills(make):
        dtype = standard_dtype(request.dtype)
        values = make.fill(shape, dtype, xp)
    else:
        dtype = standard_dtype(request.dtype)
        made = _call_foreign(make, shape, dtype, words, path, xp)
        values = jnp.array(made)  # a copy: the user may go on to change a NumPy array
    if values.shape != shape:
        raise ConfigError(
            f"The initializer of {request.path!r} made another shape",
            expected=str(list(shape)),
            received=f"{list(values.shape)} from {make!r}",
        )
    return values.astype(dtype, copy=False)


def _call_foreign(
    make: Function,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    words: AnyArray,
    path: int,
    xp: ModuleType,
) -> Any:
    """Calls a user's initializer with those of shape, dtype and key that it takes."""
    try:
        parameters = inspect.signature(make).parameters
    except ValueError:  # some functions of C extensions have none
        return make(shape, dtype)
    options: dict[str, Any] = {"dtype": dtype} if "dtype" in parameters else {}
    if "key" in parameters:
        data = jnp.asarray(derived_words(words, path, xp=xp))
        options["key"] = jax.random.wrap_key_data(data, impl="threefry2x32")
    if next(iter(parameters), None) in options:  # (key, shape, dtype), as in JAX
        return make(shape=shape, **options)
    if "dtype" not in options and _takes_two(parameters.values()):
        return make(shape, dtype, **options)
    return make(shape, **options)


def _takes_two(parameters: Iterable[inspect.Parameter]) -> bool:
    """Tells whether a function takes a second positional argument that is not called `key`."""
    kinds = [p.kind for p in parameters if p.name != "key"]
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return inspect.Parameter.VAR_POSITIONAL in kinds or sum(k in positional for k in kinds) > 1
