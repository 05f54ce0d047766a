"""Looking at a model: summary, drawing, and what a notebook shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from kgraph import visualization
from kgraph.compiler.costs import Costs

if TYPE_CHECKING:
    from kgraph.forecast.report import Forecast
    from kgraph.models.model import Model


def summary(
    self: Model,
    line_length: int | None = None,
    positions: Sequence[float] | None = None,
    print_fn: Callable[[str], object] | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Sequence[str] | None = None,
    symbolic: bool = False,
    cost: bool | Costs = False,
    forecast: Forecast | None = None,
) -> None:
    """Prints layers, output shapes and parameter counts. See `kgraph.visualization.summary`."""
    visualization.summary(
        self, line_length, positions, print_fn, expand_nested, show_trainable, layer_range,
        symbolic, cost, forecast,
    )  # fmt: skip


def plot(self: Model, to_file: str = "model.svg", **options: Any) -> Any:
    """Draws the model into a file. See `kgraph.utils.plot_model`."""
    return visualization.plot_model(self, to_file, **options)


def to_mermaid(self: Model, **options: Any) -> str:
    """Returns the graph as a Mermaid flow chart. See `kgraph.visualization.to_mermaid`."""
    return visualization.to_mermaid(self, **options)


def html(self: Model) -> str:
    """Returns what a notebook shows."""
    return visualization.model_html(self)
