"""The random keys of a model, the same whatever is asked of it first."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import numpy as np

from kgraph import config
from kgraph.layers.base.between_blocks import between_blocks

_has_values: ContextVar[bool] = ContextVar("kgraph_has_values", default=False)


class FirstKeys:
    """The key of a model's first training, and the key of the initial values of its weights.

    Both are drawn when the model gets its weights; again, when one of them is needed, if that is
    after a `set_random_seed`. So nothing that is asked of the model, or of another one, before its
    `fit` changes a number.
    """

    def __init__(self) -> None:
        self._drawn: tuple[np.ndarray, np.ndarray] | None = None
        self._stream: object = None
        self._has_values = self._has_trained = False

    def reserve(self) -> tuple[np.ndarray, np.ndarray]:
        """Draws both, if there are none or `set_random_seed` has come before either was used."""
        with between_blocks:
            is_stale = self._stream is not config.stream()
            is_used = self._has_values or self._has_trained
            if self._drawn is None or (is_stale and not is_used):
                self._stream = config.stream()
                self._drawn = root_key(), root_key()
            return self._drawn

    def initial(self) -> np.ndarray:
        """Returns the key of the initial values."""
        key = self.reserve()[1]
        self._has_values = True
        return key

    def training(self) -> np.ndarray:
        """Returns the key of the first training, and a new one for each later.

        One that was drawn before `set_random_seed` is not used any more.
        """
        key = self.reserve()[0]
        used, self._has_trained = self._has_trained, True
        return root_key() if used or self._stream is not config.stream() else key


@contextlib.contextmanager
def with_values() -> Iterator[None]:
    """Models that are made within the block get values from a file, and draw nothing for them."""
    token = _has_values.set(True)
    try:
        yield
    finally:
        _has_values.reset(token)


def draws_values() -> bool:
    """Tells whether models that are made now have their initial values drawn."""
    return not _has_values.get()


def root_key() -> np.ndarray:
    """Returns the next raw key (2 words) of the process."""
    return np.array(config.next_seed(), dtype=np.uint32)
