"""The import order of the parts, what an import costs, and the public names."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import kgraph

ROOT = Path(kgraph.__file__).parent
ORDER = {
    "errors": 0, "types": 0, "config": 0, "registry": 0, "version": 0,
    "graph": 1, "data": 1, "datasets": 1,
    "initializers": 1, "regularizers": 1, "constraints": 1, "activations": 1,
    "layers": 2, "ops": 2,
    "compiler": 3, "losses": 3, "metrics": 3, "optimizers": 3,
    "distribution": 4, "export": 4, "saving": 4, "visualization": 4,
    "training": 5, "callbacks": 5,
    "models": 6,
    "applications": 7, "utils": 7, "wrappers": 7, "backend": 8, "__init__": 9, "__main__": 10,
}  # fmt: skip
WITHOUT_JAX = {"errors", "types", "config", "registry", "version", "graph"}
HEAVY = {
    "flax", "orbax", "optax", "pydot", "tqdm", "pooch", "h5py", "rich", "treescope", "matplotlib",
    "sklearn", "torch", "tensorflow", "keras", "grain", "IPython",
}  # fmt: skip
FILES = sorted(path for path in ROOT.rglob("*.py") if "__pycache__" not in path.parts)


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> list[tuple[str, int, bool]]:
    """Returns each imported module with its line, and whether it is imported inside a function.

    Imports for the type checker alone do not count.
    """
    found: list[tuple[str, int, bool]] = []

    def visit(node: ast.AST, inside: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import):
                found.extend((alias.name, child.lineno, inside) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}:{child.lineno} imports relatively"
                module = child.module or ""
                names = (
                    [f"{module}.{a.name}" for a in child.names] if module == "kgraph" else [module]
                )
                found.extend((name, child.lineno, inside) for name in names)
            function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            visit(child, inside or function)

    visit(ast.parse(path.read_text()), False)
    return found


def test_every_part_has_its_place():
    assert {part_of(path) for path in FILES} <= set(ORDER)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_imports_lower_parts_or_its_own(path):
    own = part_of(path)
    for module, line, inside in imports(path):
        if module.partition(".")[0] != "kgraph":
            continue
        assert not inside, f"{path.name}:{line} hides an import of our own inside a function"
        other = module.split(".")[1] if "." in module else "__init__"
        if other not in ORDER:  # a public name of `kgraph` itself
            other = "__init__"
        assert other == own or ORDER[other] <= ORDER[own], (
            f"{path.relative_to(ROOT)}:{line}: {own} (level {ORDER[own]}) "
            f"imports {other} (level {ORDER[other]})"
        )


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_heavy_packages_are_imported_where_they_are_used(path):
    at_top = {m.partition(".")[0] for m, _, inside in imports(path) if not inside}
    assert not at_top & HEAVY


@pytest.mark.parametrize(
    "path",
    [p for p in FILES if part_of(p) in WITHOUT_JAX],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_the_graph_and_what_is_below_it_know_no_jax(path):
    assert not [m for m, _, _ in imports(path) if m.partition(".")[0] in ("jax", "jaxlib")]


@pytest.mark.parametrize("path", [p for p in FILES if part_of(p) == "data"], ids=lambda p: p.name)
def test_data_knows_no_jax_at_import(path):
    top = [m for m, _, inside in imports(path) if not inside]
    assert not [m for m in top if m.partition(".")[0] in ("jax", "jaxlib")]


def test_parts_of_one_level_do_not_import_each_other_in_circles():
    reads: dict[str, set[str]] = {}
    for path in FILES:
        for module, _, _ in imports(path):
            if module.startswith("kgraph.") and module.split(".")[1] in ORDER:
                reads.setdefault(part_of(path), set()).add(module.split(".")[1])
    for one, others in reads.items():
        for other in others - {one}:
            assert one not in reads.get(other, set()), f"{one} and {other} import each other"


AFTER_IMPORT = """
import json, sys
import kgraph
from jax._src import xla_bridge
loaded = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps([loaded, len(xla_bridge._backends)]))
"""


def test_importing_kgraph_loads_no_heavy_package_and_starts_no_backend():
    done = subprocess.run(
        [sys.executable, "-c", AFTER_IMPORT],
        capture_output=True, text=True, check=True, cwd=ROOT.parent,
    )  # fmt: skip
    loaded, backends = json.loads(done.stdout)
    assert not set(loaded) & HEAVY
    assert backends == 0


PUBLIC = [
    "Checkpoint",
    "DTypePolicy",
    "Graph",
    "Initializer",
    "Input",
    "InputSpec",
    "KerasTensor",
    "Layer",
    "Loss",
    "Metric",
    "Model",
    "Optimizer",
    "Program",
    "Regularizer",
    "Sequential",
    "SymbolicTensor",
    "__version__",
    "activations",
    "applications",
    "backend",
    "callbacks",
    "compiler",
    "config",
    "constraints",
    "data",
    "datasets",
    "errors",
    "export",
    "initializers",
    "layers",
    "losses",
    "lower",
    "metrics",
    "models",
    "ops",
    "optimizers",
    "regularizers",
    "saving",
    "utils",
    "visualization",
]


def test_the_public_names():
    assert sorted(kgraph.__all__) == sorted(PUBLIC)
    for name in kgraph.__all__:
        assert hasattr(kgraph, name)


@pytest.mark.parametrize(
    "path", [p for p in FILES if p.name == "__init__.py"], ids=lambda p: str(p.relative_to(ROOT))
)
def test_every_package_lists_names_that_it_has(path):
    name = ".".join(("kgraph", *path.relative_to(ROOT).parts[:-1]))
    __import__(name)
    module = sys.modules[name]
    for public in getattr(module, "__all__", ()):
        assert hasattr(module, public), f"{name} lists {public!r} and does not have it"
