"""Initial values of weights that a foreign function makes all at once."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp

from kgraph.initializers import RandomInitializer
from kgraph.initializers.variates import derived_words
from kgraph.types import AnyArray, Function


class TreeStart:
    """Runs an init function once for all the weights that ask under one root key.

    Args:
        function: from a random key to a structure of arrays.
    """

    def __init__(self, function: Function) -> None:
        self.function = function
        self._words: Any = None
        self._left: dict[int, AnyArray] = {}

    def leaf(self, index: int, words: AnyArray, path: int, xp: ModuleType) -> AnyArray:
        """Returns one leaf. The first to be asked for decides the key, by its weight's path."""
        if self._words is not words or index not in self._left:
            data = jnp.asarray(derived_words(words, path, xp=xp))
            made = self.function(jax.random.wrap_key_data(data, impl="threefry2x32"))
            self._words, self._left = words, dict(enumerate(jax.tree.leaves(made)))
        leaf = self._left.pop(index)
        if not self._left:
            self._words = None
        return leaf


class LeafStart(RandomInitializer):
    """The initial value of one leaf."""

    def __init__(self, start: TreeStart, index: int) -> None:
        # A seed says that the values are not made of the shared stream of standard variates.
        super().__init__(seed=0)
        self.start, self.index = start, index

    def draw(self, shape: tuple[int, ...], words: AnyArray, path: int, xp: ModuleType) -> AnyArray:
        return self.start.leaf(self.index, words, path, xp)
