"""The compiler: passes over graphs, and programs."""

from kgraph.compiler.lower import lower, lower_graph
from kgraph.compiler.pipeline import DEFAULT_PASSES, Pass, run_passes
from kgraph.compiler.program import Place, Program, Run, Variables

__all__ = [
    "DEFAULT_PASSES", "Pass", "Place", "Program", "Run", "Variables",
    "lower", "lower_graph", "run_passes",
]  # fmt: skip
