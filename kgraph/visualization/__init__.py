"""Looking at models: summaries as text and HTML, drawings as DOT, SVG, Mermaid and image files."""

from kgraph.visualization.dot import model_to_dot
from kgraph.visualization.html import model_html
from kgraph.visualization.mermaid import to_mermaid
from kgraph.visualization.plot import Plot, plot_model
from kgraph.visualization.rows import Row, summary_rows
from kgraph.visualization.summary import summary, summary_text
from kgraph.visualization.svg import model_to_svg

__all__ = [
    "Plot",
    "Row",
    "model_html",
    "model_to_dot",
    "model_to_svg",
    "plot_model",
    "summary",
    "summary_rows",
    "summary_text",
    "to_mermaid",
]
