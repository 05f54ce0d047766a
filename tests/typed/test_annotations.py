"""How much of what a user can call says what it takes: `Any` tells an editor nothing."""

import ast
from collections.abc import Iterator
from pathlib import Path

import kgraph

MOST = 0.10
ROOT = Path(kgraph.__file__).parent
TREES = {path: ast.parse(path.read_text()) for path in sorted(ROOT.rglob("*.py"))}


def says_any(node: ast.AST | None, aliases: set[str]) -> bool:
    """Tells whether an annotation is missing, is Any, or has it (or an alias of it) inside."""
    if node is None:
        return True
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and part.id in aliases:
            return True
        if isinstance(part, ast.Attribute) and part.attr in aliases:
            return True
        if isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value in aliases:
            return True
    return False


def any_and_its_aliases() -> set[str]:
    """Returns the names of types that have Any inside, by what type checkers read."""
    aliases = {"Any"}
    while True:
        more = {name for tree in TREES.values() for name in aliases_in(tree.body, aliases)}
        if more <= aliases:
            return aliases
        aliases |= more


def aliases_in(body: list[ast.stmt], aliases: set[str]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.If):  # `else` of TYPE_CHECKING is what the program sees
            yield from aliases_in(node.body, aliases)
        elif isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias":
            if says_any(node.value, aliases):
                yield ast.unparse(node.target)
        elif isinstance(node, ast.Assign) and isinstance(node.value, (ast.Subscript, ast.BinOp)):
            name = ast.unparse(node.targets[0])
            if name[0].isupper() and says_any(node.value, aliases):
                yield name


def public_functions(
    body: list[ast.stmt], owner: str = ""
) -> Iterator[tuple[str, ast.FunctionDef, bool]]:
    for node in body:
        if isinstance(node, ast.FunctionDef):
            if not node.name.startswith("_") or node.name in ("__init__", "__call__", "__new__"):
                static = any(ast.unparse(d) == "staticmethod" for d in node.decorator_list)
                yield f"{owner}{node.name}", node, bool(owner) and not static
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body, f"{node.name}.")


def parameters() -> Iterator[tuple[str, bool]]:
    """Yields each parameter of a public function or method, and whether it says Any."""
    aliases = any_and_its_aliases()
    for path, tree in TREES.items():
        for name, function, bound in public_functions(tree.body):
            args = function.args
            named = [*args.posonlyargs, *args.args][1 if bound else 0 :] + args.kwonlyargs
            for arg in [*named, *filter(None, (args.vararg, args.kwarg))]:
                where = f"{path.relative_to(ROOT)}:{function.lineno} {name}({arg.arg})"
                yield where, says_any(arg.annotation, aliases)


def test_few_parameters_of_public_functions_are_any():
    found = list(parameters())
    unknown = [where for where, is_any in found if is_any]
    assert len(found) > 5_000
    assert len(unknown) / len(found) <= MOST, "\n".join(unknown)


def test_an_alias_of_any_counts_as_any():
    tree = ast.parse("Tree: TypeAlias = dict[str, Any]\nState = dict[str, Any]\nShape = tuple[int]")
    assert set(aliases_in(tree.body, {"Any"})) == {"Tree", "State"}
    function = ast.parse("def f(a, b: int, c: dict[str, Any], d: 'Any'): ...").body[0]
    assert isinstance(function, ast.FunctionDef)
    assert [says_any(arg.annotation, {"Any"}) for arg in function.args.args] == [
        True,
        False,
        True,
        True,
    ]
