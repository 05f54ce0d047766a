"""What a model costs before it runs: parameters, activations and arithmetic, node by node."""

from typing import TYPE_CHECKING

from kgraph.lazy import lazy_names

if TYPE_CHECKING:
    from kgraph.compiler.costs.count import count_costs as count_costs
    from kgraph.compiler.costs.report import Cost as Cost
    from kgraph.compiler.costs.report import Costs as Costs
    from kgraph.compiler.costs.work import Work as Work
else:
    __getattr__, __dir__ = lazy_names(__name__)
