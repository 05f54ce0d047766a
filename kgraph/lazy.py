"""Packages whose modules are imported when one of their names is first asked for.

A first script needs a tenth of kgraph. A package that is not always needed has the imports of its
`__init__` under `if TYPE_CHECKING:`, where editors and type checkers read them. They do not run:
the first question for a name reads them from the source, and then imports the one module that has
it. Nothing else of ours imports lazily.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Callable
from functools import cache, cached_property
from typing import Any

from kgraph.interrupts import held


class LazyNames:
    """The names of one package, and the modules that have them.

    Args:
        package: `__name__` of the package.
        kinds: the kinds of registered objects (`registry.lookup`) that these modules define.
    """

    def __init__(self, package: str, kinds: tuple[str, ...] = ()) -> None:
        self.package, self.kinds = package, kinds

    @cached_property
    def rows(self) -> dict[str, list[str]]:
        """The modules, by full name, and the public names that the package takes from each."""
        imports = dict(_lazy_imports(self.package))
        own = imports.pop(self.package, [])
        return {f"{self.package}.{name}": [] for name in own} | imports

    @cached_property
    def homes(self) -> dict[str, str]:
        """The module of each public name. A module of the package may be such a name itself."""
        own = _lazy_imports(self.package).get(self.package, [])
        homes = {name: f"{self.package}.{name}" for name in own}
        return homes | {name: module for module, names in self.rows.items() for name in names}

    def load(self, module: str) -> Any:
        """Imports a module of the table and puts its names into the package."""
        with held():
            loaded = importlib.import_module(module)
        for name in self.rows[module]:
            vars(sys.modules[self.package]).setdefault(name, getattr(loaded, name))
        return loaded

    def get(self, name: str) -> Any:
        """Does what `__getattr__` of the package has to."""
        if name == "__all__":
            return sorted(self.homes)
        if not name.startswith("__"):  # tools ask every module for such names
            home = self.homes.get(name, f"{self.package}.{name}")
            if home in self.rows:
                loaded = self.load(home)
                return getattr(loaded, name) if name in self.rows[home] else loaded
        raise AttributeError(f"module {self.package!r} has no attribute {name!r}", name=name)

    def names_for_dir(self) -> list[str]:
        """Does what `__dir__` of the package has to."""
        names = (module.removeprefix(f"{self.package}.") for module in self.rows)
        modules = (name for name in names if "." not in name)
        listed = vars(sys.modules[self.package]).get("__all__", ())
        return sorted({*listed, *self.homes, *modules})


packages: list[LazyNames] = []
"""Every package with lazy names that has been imported."""

_WITH_KINDS = (
    "activations", "constraints", "initializers", "layers", "losses", "metrics", "models.model",
    "models.sequential", "optimizers", "regularizers", "utils.features",
)  # fmt: skip
"""Where registered objects are: imported before one is looked for."""


def lazy_names(
    package: str, kinds: tuple[str, ...] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Returns `__getattr__` and `__dir__` for a package. See `LazyNames`.

    >>> import kgraph
    >>> "Dense" in dir(kgraph.layers), kgraph.layers.Dense.__module__
    (True, 'kgraph.layers.core.dense')
    """
    names = LazyNames(package, kinds)
    packages.append(names)
    return names.get, names.names_for_dir


def load_operators() -> None:
    """Imports what gives symbolic tensors their operators, which are above the graph."""
    importlib.import_module("kgraph.ops.lifting")


def load_kind(kind: str, like: str | None = None) -> None:
    """Imports the modules that may define registered objects of a kind.

    Args:
        kind: as in `registry.lookup`.
        like: only modules with a public name that is this one in any case, with or without `_`.
    """
    for name in _WITH_KINDS:
        importlib.import_module(f"kgraph.{name}")
    for package in packages:
        if kind in package.kinds:
            for module, names in package.rows.items():
                if like is None or _bare(like) in map(_bare, names):
                    package.load(module)


def _bare(name: str) -> str:
    return name.replace("_", "").lower()


@cache
def _lazy_imports(package: str) -> dict[str, list[str]]:
    """Returns what is imported under `if TYPE_CHECKING:`: the names from each module."""
    found: dict[str, list[str]] = {}
    for node in _source(package).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for item in node.body:
                if isinstance(item, ast.ImportFrom) and item.module:
                    names = [alias.name for alias in item.names]
                    names = _names_of(item.module) if names == ["*"] else names
                    found.setdefault(item.module, []).extend(names)
    return found


def _names_of(module: str) -> list[str]:
    """Returns what `import *` takes from a module, without running it."""
    for node in _source(module).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return list(LazyNames(module).homes)


def _source(module: str) -> ast.Module:
    spec = importlib.util.find_spec(module)
    get_source = getattr(spec and spec.loader, "get_source", None)
    source = get_source and get_source(module)
    if not source:
        raise ImportError(f"the names of {module} are read from its source, which is not here")
    return ast.parse(source)
