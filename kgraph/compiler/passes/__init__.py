"""Passes, pure functions from a graph to a graph that computes the same, and their order.

A pass is its file and its name here.
"""

from collections.abc import Callable
from typing import TypeAlias

from kgraph.compiler.passes.drop_noise import drop_noise
from kgraph.compiler.passes.drop_unused import drop_unused
from kgraph.compiler.passes.expose_factors import expose_factors
from kgraph.compiler.passes.expose_logits import expose_logits
from kgraph.compiler.passes.fold_norms import fold_norms
from kgraph.compiler.passes.inline_models import inline_models
from kgraph.compiler.passes.merge_equal import merge_equal
from kgraph.compiler.passes.remat_layers import remat_layers
from kgraph.compiler.passes.stack_blocks import stack_blocks
from kgraph.compiler.passes.use_cpu_forms import use_cpu_forms
from kgraph.graph.graph import Graph

__all__ = [
    "drop_noise", "drop_unused", "expose_factors", "expose_logits", "fold_norms", "inline_models",
    "merge_equal", "remat_layers", "stack_blocks", "use_cpu_forms",
]  # fmt: skip

Pass: TypeAlias = Callable[[Graph], Graph]

DEFAULT_PASSES: tuple[Pass, ...] = (
    inline_models,  # first: the others then see every call
    drop_unused,  # before merging, which would look at each dead call
    merge_equal,
)

INFERENCE_PASSES: tuple[Pass, ...] = (
    inline_models,
    drop_noise,  # before the others: what it stood between is then side by side
    drop_unused,
    merge_equal,  # before folding, which would have each copy of a layer folded
    fold_norms,
)
"""The passes of programs that only predict."""

CPU_PASSES: tuple[Pass, ...] = (use_cpu_forms,)
"""Passes that models add to these where JAX computes on a CPU."""

INFERENCE_ONLY: tuple[Pass, ...] = (drop_noise, fold_norms)
"""Passes that do not keep what a model does in training."""
