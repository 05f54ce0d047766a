"""The compiler: passes over graphs, and programs."""

from kgraph.compiler.lower import lower, lower_graph
from kgraph.compiler.pipeline import (
    CPU_PASSES,
    DEFAULT_PASSES,
    INFERENCE_PASSES,
    Pass,
    platform_passes,
    run_passes,
)
from kgraph.compiler.program import Place, Program, Run, Variables

__all__ = [
    "CPU_PASSES", "DEFAULT_PASSES", "INFERENCE_PASSES", "Pass", "Place", "Program", "Run",
    "Variables", "lower", "lower_graph", "platform_passes", "run_passes",
]  # fmt: skip
