"""Packages whose modules are imported when one of their names is first asked for.

A first script needs a tenth of kgraph. The `__init__` of a package that is not always needed says
in a table which module has which names; nothing else of ours imports late. Type checkers read the
imports under `TYPE_CHECKING` beside it, and a test holds the two together.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


class LateNames:
    """The names of one package, and the modules that have them.

    Args:
        package: `__name__` of the package.
        table: a module to its public names, separated by spaces. A module is named as seen from
            the package, or in full (`kgraph.…`). One without names is itself public.
        kinds: the kinds of registered objects (`registry.lookup`) that these modules define.
    """

    def __init__(self, package: str, table: Mapping[str, str], kinds: tuple[str, ...]) -> None:
        self.package, self.kinds = package, kinds
        self.rows = {module: names.split() for module, names in table.items()}
        self.homes = {name: module for module, names in self.rows.items() for name in names}

    def path_of(self, module: str) -> str:
        """Returns the full name of a module of the table."""
        return module if module.startswith("kgraph.") else f"{self.package}.{module}"

    def load(self, module: str) -> Any:
        """Imports a module of the table and puts its names into the package."""
        loaded = importlib.import_module(self.path_of(module))
        for name in self.rows[module]:
            vars(sys.modules[self.package]).setdefault(name, getattr(loaded, name))
        return loaded

    def get(self, name: str) -> Any:
        """Does what `__getattr__` of the package has to."""
        if name in self.homes:
            return getattr(self.load(self.homes[name]), name)
        if name in self.rows:
            return self.load(name)
        raise AttributeError(f"module {self.package!r} has no attribute {name!r}", name=name)

    def public_names(self) -> list[str]:
        """Returns what the package offers late."""
        return sorted([*self.homes, *(module for module, names in self.rows.items() if not names)])

    def names_for_dir(self) -> list[str]:
        """Does what `__dir__` of the package has to."""
        modules = (module for module in self.rows if "." not in module)
        return sorted({*vars(sys.modules[self.package]), *modules, *self.homes})


tables: list[LateNames] = []
"""Every table there is."""


def late_names(
    package: str, table: Mapping[str, str], kinds: tuple[str, ...] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Returns `__getattr__`, `__dir__` and `__all__` for a package. See `LateNames`.

    >>> import kgraph
    >>> "Dense" in dir(kgraph.layers), kgraph.layers.Dense.__module__
    (True, 'kgraph.layers.core.dense')
    """
    late = LateNames(package, table, kinds)
    tables.append(late)
    return late.get, late.names_for_dir, late.public_names()


def load_kind(kind: str, like: str | None = None) -> None:
    """Imports the modules that may define registered objects of a kind.

    Args:
        kind: as in `registry.lookup`.
        like: only modules with a public name that is this one in any case, with or without `_`.
    """
    for late in tables:
        if kind in late.kinds:
            for module, names in late.rows.items():
                if like is None or _bare(like) in map(_bare, names):
                    late.load(module)


def _bare(name: str) -> str:
    return name.replace("_", "").lower()
