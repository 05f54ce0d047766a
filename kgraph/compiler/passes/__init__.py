"""Passes: pure functions from a graph to a graph that computes the same."""

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

__all__ = [
    "drop_noise", "drop_unused", "expose_factors", "expose_logits", "fold_norms", "inline_models",
    "merge_equal", "remat_layers", "stack_blocks", "use_cpu_forms",
]  # fmt: skip
