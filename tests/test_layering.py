"""The import order of the parts, what an import costs, and the public names."""

from __future__ import annotations

import ast
import functools
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import kgraph
from kgraph import lazy, registry

ROOT = Path(kgraph.__file__).parent
ORDER = {
    "errors": 0, "types": 0, "checks": 0, "config": 0, "declared": 0, "extra": 0, "lazy": 0,
    "custom_objects": 0, "interrupts": 0, "keras_forms": 0, "registry": 0, "versions": 0,
    "option_types": 0, "tables": 0, "patterns": 0, "source": 0, "tracebacks": 0, "descriptions": 0,
    "constructors": 0, "unheard": 0, "writing": 0, "graph": 1, "data": 1, "datasets": 1, "hooks": 1,
    "initializers": 1, "regularizers": 1, "constraints": 1, "activations": 1,
    "tree": 1,
    "layers": 2, "ops": 2, "random": 2,
    "compiler": 3, "losses": 3, "metrics": 3, "optimizers": 3,
    "distribution": 4, "export": 4, "saving": 4, "visualization": 4,
    "training": 5, "callbacks": 5, "forecast": 5,
    "models": 6,
    "applications": 7, "dtype_policies": 7, "mixed_precision": 7, "utils": 7, "wrappers": 7,
    "backend": 8, "preprocessing": 8, "commands": 8, "__init__": 9, "__main__": 10,
}  # fmt: skip
WITHOUT_JAX = {
    "errors", "types", "checks", "config", "custom_objects", "declared", "extra", "lazy",
    "registry", "versions", "patterns", "interrupts", "graph", "source", "tracebacks",
    "descriptions", "constructors", "keras_forms", "tables", "unheard", "writing",
}  # fmt: skip
HEAVY = {
    "flax", "orbax", "optax", "pydot", "tqdm", "pooch", "h5py", "rich", "treescope", "matplotlib",
    "sklearn", "torch", "tensorflow", "keras", "grain", "IPython", "PIL", "scipy",
}  # fmt: skip
BASES = {"wrappers": {"flax", "sklearn"}}  # base classes; the package loads its modules lazily
FILES = sorted(path for path in ROOT.rglob("*.py") if "__pycache__" not in path.parts)
OWN_MODULES = sorted(
    ".".join(("kgraph", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
    for path in FILES
    if path.name != "__main__.py"
)


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@functools.cache
def imports(path: Path) -> list[tuple[str, int, bool]]:
    """Returns each imported module with its line, and whether it is imported inside a function.

    Imports for the type checker alone do not count. Those of lazy names do: they run later.
    """
    tree = ast.parse(path.read_text())
    found: list[tuple[str, int, bool]] = []

    def visit(node: ast.AST, inside: bool) -> None:
        for child in ast.iter_child_nodes(node):
            typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            if typing_only and not has_lazy_names(child):
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

    visit(tree, False)
    return found


def has_lazy_names(tree: ast.AST) -> bool:
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return any(ast.unparse(call.func) == "lazy_names" for call in calls)


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
    assert not at_top & (HEAVY - BASES.get(part_of(path), set()))


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


SAVING = {"files": 0, "kgraph_format": 1, "checkpoints": 2, "keras_format": 2}
"""The rooms of `saving/` from the lowest up; the modules beside them are above all (3)."""


@pytest.mark.parametrize(
    "path", [p for p in FILES if part_of(p) == "saving"], ids=lambda p: str(p.relative_to(ROOT))
)
def test_the_rooms_of_saving_import_downwards(path):
    def room(parts: list[str]) -> str:
        return parts[0] if parts and parts[0] in SAVING else "saving"

    if path == ROOT / "saving" / "__init__.py":
        return  # a table of late names
    own = room(list(path.relative_to(ROOT / "saving").parts))
    for module, line, _ in imports(path):
        if module.split(".")[:2] != ["kgraph", "saving"]:
            continue
        other = room(module.split(".")[2:])
        assert other == own or SAVING.get(other, 3) < SAVING.get(own, 3), (
            f"{path.name}:{line}: {own} imports {other}"
        )


AFTER_IMPORT = """
import json, sys
import kgraph
assert "jax" not in sys.modules
from kgraph import Input, Model, layers, registry
from jax._src import xla_bridge
loaded = sorted(sys.modules)
backends = len(xla_bridge._backends)
assert kgraph.registry.lookup("layer", "resizing") is kgraph.layers.Resizing
assert "kgraph.layers.text" not in sys.modules
assert type(kgraph.optimizers.get("RMSPROP")).__name__ == "RMSprop"
assert "kgraph.optimizers.adam" not in sys.modules
assert kgraph.registry.lookup("layer", "RandomWarp").__module__ == "kgraph.layers.image.warp"
names = {}
while new := {kind for kind, _ in kgraph.registry._own} - set(names):
    names |= {kind: kgraph.registry.registered_names(kind) for kind in new}
names |= {kind: kgraph.registry.registered_names(kind) for kind in names}
print(json.dumps([loaded, backends, names]))
"""
LAZY = (
    "kgraph.applications", "kgraph.callbacks", "kgraph.compiler.costs.traced", "kgraph.datasets",
    "kgraph.distribution.base", "kgraph.distribution.constrain_outputs",
    "kgraph.export.exporting", "kgraph.forecast.making", "kgraph.layers.attention",
    "kgraph.layers.convolution.conv",
    "kgraph.layers.image", "kgraph.layers.interop", "kgraph.layers.preprocessing",
    "kgraph.layers.recurrent",
    "kgraph.layers.text", "kgraph.optimizers.adam", "kgraph.saving.checkpoints.checkpoint",
    "kgraph.ops.functions.flow", "kgraph.random", "kgraph.saving.keras_format",
    "kgraph.saving.save", "kgraph.training.callbacks.tensor_board",
    "kgraph.utils", "kgraph.visualization.dot", "kgraph.wrappers", "jax.extend",
)  # fmt: skip


class Fresh(NamedTuple):
    """A new process: modules after the import, backends, then names that the registry finds."""

    loaded: set[str]
    backends: int
    names: dict[str, list[str]]


ALONE = """
import json
from kgraph import registry
assert registry.lookup("layer", "Model").__name__ == "Model"
kinds = {kind for kind, _ in registry._own}
print(json.dumps({kind: registry.registered_names(kind) for kind in kinds}))
"""


def test_the_registry_alone_finds_what_any_import_brings(fresh):
    done = subprocess.run(
        [sys.executable, "-c", ALONE], capture_output=True, text=True, cwd=ROOT.parent, timeout=120,
        check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert {"layer", "loss", "metric", "optimizer"} <= set(found)
    assert found == {kind: fresh.names[kind] for kind in found}


@pytest.mark.parametrize(
    "first",
    ["import kgraph; Input = kgraph.Input", "from kgraph.layers import Input",
     "from kgraph.layers.base import Input", "from kgraph import ops, Input",
     "import kgraph.graph; from kgraph import layers; Input = layers.Input"],
)  # fmt: skip
def test_symbolic_tensors_have_their_operators_whatever_is_imported(first):
    code = f"{first}\nx = Input((2,))\nassert ((-x + x * 2.0)[:, 0] > 0).shape == (None,)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT.parent, timeout=120
    )
    assert not done.returncode, done.stderr


@pytest.fixture(scope="module")
def fresh() -> Fresh:
    """What a new process has after the imports of a first script; `import kgraph` has not JAX."""
    done = subprocess.run(
        [sys.executable, "-c", AFTER_IMPORT], capture_output=True, text=True, cwd=ROOT.parent,
        timeout=120,
    )  # fmt: skip
    assert not done.returncode, done.stderr
    loaded, backends, names = json.loads(done.stdout)
    return Fresh(set(loaded), backends, names)


def test_importing_kgraph_loads_no_heavy_package_and_starts_no_backend(fresh):
    assert not {name.partition(".")[0] for name in fresh.loaded} & HEAVY
    assert fresh.backends == 0


def test_importing_kgraph_loads_nothing_that_a_first_script_does_not_need(fresh):
    assert sorted(fresh.loaded & set(LAZY)) == []
    assert set(LAZY) <= {*OWN_MODULES, "jax.extend"}


def test_only_lazy_names_are_imported_by_name():
    users = [path.name for path in FILES if "import_module" in path.read_text()]
    users += [path.name for path in FILES if "__import__(" in path.read_text()]
    assert users == ["lazy.py"]


WITH_LAZY_NAMES = [path for path in FILES if has_lazy_names(ast.parse(path.read_text()))]


def lazy_package(path: Path) -> lazy.LazyNames:
    package = ".".join(("kgraph", *path.relative_to(ROOT).parts[:-1]))
    importlib.import_module(package)
    return next(names for names in lazy.packages if names.package == package)


@pytest.mark.parametrize("path", WITH_LAZY_NAMES, ids=lambda p: str(p.relative_to(ROOT)))
def test_lazy_names_are_what_the_imports_for_the_type_checker_give(path):
    names = lazy_package(path)
    given: dict[str, Any] = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            exec(compile(ast.Module(node.body, []), str(path), "exec"), given)
    given = {name: thing for name, thing in given.items() if not name.startswith("__")}
    package = sys.modules[names.package]
    assert set(given) == set(names.homes)
    assert all(getattr(package, name) is thing for name, thing in given.items())
    assert set(given) <= set(package.__all__) & set(dir(package))


@pytest.mark.parametrize("path", WITH_LAZY_NAMES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_lazy_name_is_hidden_by_a_module_of_its_package(path):
    # Importing `package.thing` sets the attribute `thing`, and then nobody asks for the lazy name.
    modules = {item.stem for item in path.parent.iterdir()}
    names = {name for row in lazy_package(path).rows.values() for name in row}
    assert not names & modules


def test_lazy_names_lead_to_everything_that_is_registered(fresh):
    for name in OWN_MODULES:
        importlib.import_module(name)
    kinds = {kind for kind, _ in registry._own}
    assert fresh.names == {kind: registry.registered_names(kind) for kind in kinds}


def test_the_order_of_imports_decides_no_name():
    for (kind, name), thing in registry._own.items():
        if isinstance(thing, type) and name == thing.__name__:
            short = registry._own[kind, registry.snake_case(name)]
            assert short is thing or not isinstance(short, type)  # or a function of this name


PUBLIC = [
    "Checkpoint",
    "DTypePolicy",
    "FloatDTypePolicy",
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
    "RematScope",
    "Sequential",
    "Function",
    "Operation",
    "device",
    "name_scope",
    "remat",
    "StatelessScope",
    "SymbolicTensor",
    "Traits",
    "Variable",
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
    "distribution",
    "dtype_policies",
    "errors",
    "export",
    "forecast",
    "initializers",
    "layers",
    "losses",
    "lower",
    "metrics",
    "mixed_precision",
    "models",
    "ops",
    "optimizers",
    "preprocessing",
    "random",
    "regularizers",
    "saving",
    "tree",
    "utils",
    "version",
    "visualization",
    "wrappers",
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
