"""Looking at models: summaries as text and HTML, drawings as DOT, SVG, Mermaid and image files."""

from typing import TYPE_CHECKING

from kgraph.late import late_names

if TYPE_CHECKING:
    from kgraph.visualization.dot import model_to_dot as model_to_dot
    from kgraph.visualization.html import model_html as model_html
    from kgraph.visualization.layer_table import summary as summary
    from kgraph.visualization.layer_table import summary_text as summary_text
    from kgraph.visualization.mermaid import to_mermaid as to_mermaid
    from kgraph.visualization.plot import Plot as Plot
    from kgraph.visualization.plot import plot_model as plot_model
    from kgraph.visualization.rows import Row as Row
    from kgraph.visualization.rows import summary_rows as summary_rows
    from kgraph.visualization.svg import model_to_svg as model_to_svg
else:
    __getattr__, __dir__, __all__ = late_names(__name__, {
        "dot": "model_to_dot",
        "html": "model_html",
        "mermaid": "to_mermaid",
        "plot": "Plot plot_model",
        "rows": "Row summary_rows",
        "layer_table": "summary summary_text",
        "svg": "model_to_svg",
    })  # fmt: skip
