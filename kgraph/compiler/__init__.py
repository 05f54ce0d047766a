"""The compiler: passes over graphs, and programs."""

from kgraph.compiler.layout import Layout, Place, Variables
from kgraph.compiler.lower import lower, lower_graph
from kgraph.compiler.passes import CPU_PASSES, DEFAULT_PASSES, INFERENCE_PASSES, Pass
from kgraph.compiler.pipeline import platform_passes, run_passes
from kgraph.compiler.program import Program, Run

__all__ = [
    "CPU_PASSES", "DEFAULT_PASSES", "INFERENCE_PASSES", "Layout", "Pass", "Place", "Program", "Run",
    "Variables", "lower", "lower_graph", "platform_passes", "run_passes",
]  # fmt: skip
