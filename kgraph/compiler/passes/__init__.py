"""Passes: pure functions from a graph to a graph that computes the same."""

from kgraph.compiler.passes.drop_unused import drop_unused
from kgraph.compiler.passes.expose_logits import expose_logits
from kgraph.compiler.passes.inline_models import inline_models
from kgraph.compiler.passes.merge_equal import merge_equal
from kgraph.compiler.passes.stack_blocks import stack_blocks

__all__ = ["drop_unused", "expose_logits", "inline_models", "merge_equal", "stack_blocks"]
