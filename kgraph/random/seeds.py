"""Where random keys come from: seeds, generators of seeds, keys of JAX, or the process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from kgraph.checks import is_whole
from kgraph.errors import ConfigError, StateError
from kgraph.layers.base.binding import Bindable
from kgraph.layers.base.core import Core
from kgraph.layers.base.first_keys import root_key
from kgraph.layers.base.stateless import step_key
from kgraph.layers.base.stateless_scope import current_scope, scoped
from kgraph.layers.base.variable import Variable
from kgraph.types import Array

_ALGORITHM = "threefry2x32"
_WORD = 0xFFFFFFFF


class SeedGenerator(Bindable):
    """Gives a new random key for each draw.

    In a step of a model's own (`train_step`) it draws from the step's key. As an attribute of a
    layer it draws in the layer's `call` as `self.next_key()` does: from the
    run's key and the layer's path, or the seed in the place of the path. So it needs no state of
    its own there, works in every transformation of JAX, and each step draws anew.
    Elsewhere it counts its draws: the n-th key is a function of the seed and n. Keras' generator
    keeps its count in a weight; the numbers of both differ.

    Args:
        seed: decides the keys; by default the process does (see `kgraph.utils.set_random_seed`).
        name: accepted as in Keras.

    Raises:
        ConfigError: the seed is not a whole number.

    >>> one, other = SeedGenerator(7), SeedGenerator(7)
    >>> bool(one.next() == other.next()), bool(one.next() == SeedGenerator(7).next())
    (True, False)
    """

    def __init__(self, seed: int | None = None, name: str | None = None) -> None:
        if seed is not None and (not is_whole(seed)):
            raise ConfigError("SeedGenerator needs a whole number as `seed`", received=repr(seed))
        self._kgraph = Core()
        self.seed, self.name = seed, name or "seed_generator"
        self._root: Any = None
        self._state: Variable | None = None

    @property
    def state(self) -> Variable:
        """Seed and number of draws outside of layers: who hands it through a function draws in it.

        >>> from kgraph import StatelessScope
        >>> generator = SeedGenerator(7)
        >>> with StatelessScope([(generator.state, [7, 4])]) as scope:
        ...     key = generator.next()
        >>> scope.get_current_value(generator.state).tolist()
        [7, 5]
        """
        if self._state is None:
            with scoped(None):
                seed = 0 if self.seed is None else self.seed & _WORD
                self._state = Variable(np.array([seed, 0], np.uint32), trainable=False)
            self._state.path = f"{self.name}/{self.name}_state"
        return self._state

    def next(self, ordered: bool = True) -> Array:
        """Returns the next key; `ordered` is accepted as in Keras.

        Raises:
            StateError: JAX is tracing, and the generator is not the attribute of a running layer.
        """
        if self._kgraph.context is not None:
            return self._kgraph.context.next_key(self.seed)
        if (key := step_key()) is not None:
            return key if self.seed is None else jax.random.fold_in(key, self.seed & _WORD)
        scope = current_scope()
        if scope is None or scope.get_current_value(self.state) is None:
            _refuse_tracing("A SeedGenerator that belongs to no layer")
        if self.seed is None and self._root is None:
            self._root = _process_key()
        now = self.state.value
        if isinstance(now, Tracer):
            self.state.assign(now.at[1].add(1))
        else:  # on the host, where nothing compiles
            now = np.asarray(now)
            self.state.assign(now + np.array([0, 1], now.dtype))
        seed, count = now
        root = self._root if self.seed is None else jax.random.key(seed, impl=_ALGORITHM)
        return jax.random.fold_in(root, count)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"seed": self.seed, "name": self.name}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> SeedGenerator:
        """Makes a generator from what `get_config` returned."""
        return cls(**config)


def draw_key(seed: int | SeedGenerator | None) -> Array:
    """Returns the key for one draw.

    Args:
        seed: a number (always the same key), a `SeedGenerator`, a key of JAX, or None for the next
            key of the process.

    Raises:
        ConfigError: it is none of these.
        StateError: it is None, or a generator that belongs to no layer, and JAX is tracing: the
            compiled function would draw the same numbers each time.
    """
    if isinstance(seed, SeedGenerator):
        return seed.next()
    if seed is None and (key := step_key()) is not None:
        return key
    if seed is None:
        _refuse_tracing("A draw without a seed")
        return _process_key()
    if is_whole(seed):
        return _key_of(seed)
    if isinstance(seed, jax.Array) and jnp.issubdtype(seed.dtype, jax.dtypes.prng_key):
        return seed
    if isinstance(seed, jax.Array) and seed.dtype == jnp.uint32:
        return jax.random.wrap_key_data(seed)
    raise ConfigError(
        "This is no seed",
        expected="a whole number, a SeedGenerator, a key of jax.random, or None",
        received=repr(seed),
    )


def _key_of(seed: int) -> Array:
    return jax.random.key(seed & _WORD, impl=_ALGORITHM)


def _process_key() -> Array:
    return jax.random.wrap_key_data(jnp.asarray(root_key()), impl=_ALGORITHM)


def _refuse_tracing(what: str) -> None:
    if isinstance(jnp.zeros(()), Tracer):
        raise StateError(
            f"{what} cannot draw while JAX traces a function: each run would draw the same",
            hint=[
                "in a layer's call pass seed=self.next_key(),",
                "or a SeedGenerator that is an attribute of the layer",
            ],
        )
