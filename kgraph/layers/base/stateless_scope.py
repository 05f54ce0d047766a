"""`StatelessScope`: variables with other values, and assignments that are collected."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from kgraph.errors import ConfigError
from kgraph.types import Array

if TYPE_CHECKING:
    from kgraph.layers.base.variable import Variable


class Scope(Protocol):
    """What variables are read from and assigned to while it is current: a run, or StatelessScope.

    Attributes:
        outer: what was current before, and is asked next.
    """

    outer: Scope | None

    def get_current_value(self, variable: Variable) -> Array | None:
        """Returns the value of a variable here; None if it has none here."""

    def add_update(self, update: tuple[Variable, Any]) -> None:
        """Takes in a variable and what it is assigned."""


_current: ContextVar[Scope | None] = ContextVar("kgraph_scope", default=None)


class StatelessScope:
    """Within it variables have other values, and what is assigned to them stays in the scope.

    So code that updates variables in place can be part of a function that JAX traces.

    Args:
        state_mapping: pairs of a variable and the value that it has within the scope.
        collect_losses: whether `losses` gets the terms that layers add.
        initialize_variables: accepted as in Keras; values are made on first need.

    Raises:
        ConfigError: a pair begins with something else than a variable.
        StateError: a value has another shape than its variable.

    >>> import kgraph as keras
    >>> count = keras.Variable(1.0)
    >>> with keras.StatelessScope([(count, 5.0)]) as scope:
    ...     _ = count.assign_add(2.0)
    >>> float(scope.get_current_value(count)), float(count)
    (7.0, 1.0)
    """

    def __init__(
        self,
        state_mapping: Iterable[tuple[Variable, Any]] | None = None,
        collect_losses: bool = False,
        initialize_variables: bool = True,
    ) -> None:
        self.collect_losses = collect_losses
        self.initialize_variables = initialize_variables
        self.losses: list[Array] = []
        self._values: dict[int, tuple[Variable, Array]] = {}
        for variable, value in state_mapping or ():
            if not hasattr(variable, "fitting"):
                raise ConfigError(
                    "A StatelessScope takes pairs of a variable and its value",
                    received=f"{type(variable).__name__} as a variable",
                )
            self._values[id(variable)] = variable, variable.fitting(value)
        self.outer: Scope | None = None
        self._entered = contextlib.ExitStack()

    def __enter__(self) -> StatelessScope:
        self._entered.enter_context(scoped(self))
        return self

    def __exit__(self, *_: object) -> None:
        self._entered.close()

    def get_current_value(self, variable: Variable) -> Array | None:
        """Returns what a variable was given or last assigned; None if neither happened."""
        found = self._values.get(id(variable))
        return None if found is None else found[1]

    def add_update(self, update: tuple[Variable, Any]) -> None:
        """Takes in what a variable is assigned."""
        variable, value = update
        self._values[id(variable)] = variable, variable.fitting(value)

    def add_loss(self, loss: Array) -> None:
        """Takes in a term of the loss."""
        self.losses.append(loss)


def current_scope() -> Scope | None:
    """Returns the innermost scope of this thread, if there is one."""
    return _current.get()


@contextlib.contextmanager
def scoped(scope: Scope | None) -> Iterator[None]:
    """Makes a scope the current one; None: variables are read and assigned themselves."""
    if scope is not None and scope is not (outer := _current.get()):
        scope.outer = outer
    token = _current.set(scope)
    try:
        yield
    finally:
        _current.reset(token)
