"""What a model costs before it runs: parameters, activations and arithmetic, node by node."""

from kgraph.compiler.costs.count import count_costs
from kgraph.compiler.costs.report import Cost, Costs
from kgraph.compiler.costs.work import Work

__all__ = ["Cost", "Costs", "Work", "count_costs"]
