"""Writes the reference of the public names, from their docstrings: python .ci/reference.py FOLDER

Each public module is a page, by pdoc.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import pdoc

import kgraph

INNER = {
    "applications": "preprocess_input",
    "datasets": "load_data",
    "ops": "",
    "preprocessing": "",
}
"""The modules whose own modules are public too, as in Keras, and what these have."""


def public_modules() -> list[ModuleType]:
    """Returns kgraph, the modules among its public names, and the public ones inside of them."""
    found = [kgraph]
    for name in kgraph.__all__:
        if isinstance(module := getattr(kgraph, name), ModuleType):
            found += [module, *(_inner(module, INNER[name]) if name in INNER else ())]
    return found


def _inner(module: ModuleType, has: str) -> Iterator[ModuleType]:
    for name in dir(module):
        member = getattr(module, name)
        inside = isinstance(member, ModuleType) and member.__name__ == f"{module.__name__}.{name}"
        if inside and not name.startswith("_") and (not has or has in dir(member)):
            yield member


def public_names(module: ModuleType) -> list[str]:
    """Returns the names that a module exports, of a file those that are defined in it."""
    if "__all__" in vars(module):
        return sorted(module.__all__)
    names = [name for name in dir(module) if not name.startswith("_") and name != "TYPE_CHECKING"]
    return sorted(name for name in names if _is_of(module, getattr(module, name)))


def _is_of(module: ModuleType, member: Any) -> bool:
    home = getattr(member, "__name__" if isinstance(member, ModuleType) else "__module__", None)
    if not isinstance(home, str) or isinstance(member, TypeVar):
        return False
    return home.startswith("kgraph") if hasattr(module, "__path__") else home == module.__name__


def write(folder: Path) -> None:
    """Writes the pages; a warning is an error, and so is a public name that is missing."""
    modules = {}
    for module in public_modules():
        module.__all__ = public_names(module)
        vars(module).update({name: getattr(module, name) for name in module.__all__})  # lazy ones
        modules[module.__name__] = pdoc.doc.Module(module)
    pdoc.render.configure(docformat="google", show_source=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # pdoc reads what a class inherits in the module of the class; the text is shown as it is.
        warnings.filterwarnings("ignore", "Error parsing type annotation")
        warnings.filterwarnings("ignore", "Cannot determine where .* is taken from")  # typed dicts
        for name, page in modules.items():
            file = folder / f"{name.replace('.', '/')}.html"
            file.parent.mkdir(parents=True, exist_ok=True)
            text = pdoc.render.html_module(page, modules)
            missing = [n for n in page.obj.__all__ if f'id="{n}"' not in text]
            missing = [n for n in missing if not isinstance(getattr(page.obj, n), ModuleType)]
            if missing:
                raise ValueError(f"The page of {name} lacks {', '.join(missing)}")
            file.write_text(text)
        (folder / "index.html").write_text(pdoc.render.html_index(modules))
        (folder / "search.js").write_text(pdoc.render.search_index(modules))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
