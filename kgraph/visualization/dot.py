"""Drawings in the language of Graphviz."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from kgraph.compiler.costs import Costs
from kgraph.errors import ConfigError, check_keys
from kgraph.visualization.drawing import Box, Drawing, Options, Path
from kgraph.visualization.folding import drawn
from kgraph.visualization.heat import Timed
from kgraph.visualization.text import printable

if TYPE_CHECKING:
    import pydot

    from kgraph.models.model import Model

_SPLINES = ("ortho", "curved", "polyline", "spline", "line")


def model_to_dot(
    model: Model,
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    subgraph: bool = False,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "spline",
    color_by: str | None = None,
    costs: Costs | None = None,
    forecast: Timed | None = None,
    fold: bool | None = None,
    **unknown: Any,
) -> pydot.Dot | pydot.Cluster:
    """Returns a model as a graph of pydot. Equal models give equal text.

    Args:
        model: a model.
        show_shapes: shows the shapes that layers read and make.
        show_dtype: shows the dtypes of outputs.
        show_layer_names: shows the names of layers below their classes.
        rankdir: `"TB"`, `"LR"`, `"BT"` or `"RL"`: which way the data flows.
        expand_nested: draws nested models layer by layer, in a frame.
        dpi: dots per inch of images made from it.
        subgraph: returns a cluster to be put into another graph.
        show_layer_activations: shows the activation of layers that have one.
        show_trainable: shows for layers with weights whether training changes them.
        splines: how edges run: `"spline"`, `"ortho"`, `"polyline"`, `"curved"` or `"line"`.
        color_by: `"flops"`, `"params"` or `"activations"`: shows how much of it each layer has, by
            a line and by the colour of the box.
        costs: what `model.cost` returned, by default for one row.
        forecast: what `model.forecast` returned: colours layers by their time in a step.
        fold: whether blocks, and layers that repeat, are drawn as one box (`24 x 9 layers`); None
            does it for drawings of more than 40 boxes.

    Raises:
        ConfigError: an option is unknown, or the model has no graph and is not built.
    """
    check_keys("model_to_dot", unknown, [])
    if splines not in _SPLINES:
        raise ConfigError(
            "model_to_dot does not know this value of `splines`",
            expected="one of " + ", ".join(map(repr, _SPLINES)),
            received=repr(splines),
        )
    options = Options(
        show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable,
        expand_nested, rankdir, fold,
    )  # fmt: skip
    drawing = drawn(model, options, color_by, costs, forecast)
    return drawing_to_dot(drawing, rankdir, dpi, splines, subgraph)


def drawing_to_dot(
    drawing: Drawing, rankdir: str, dpi: int, splines: str, subgraph: bool = False
) -> pydot.Dot | pydot.Cluster:
    """Returns a drawing as a graph of pydot."""
    import pydot

    if subgraph:
        graph: Any = _cluster(0, drawing.name)
    else:
        graph = pydot.Dot("model", graph_type="digraph", rankdir=rankdir, dpi=dpi, splines=splines)
    graph.set_node_defaults(shape="plain", fontname="Helvetica")
    graph.set_edge_defaults(color='"#475569"', fontname="Helvetica")
    places: dict[Path, Any] = {(): graph}
    for number, (path, title) in enumerate(drawing.groups.items(), start=1):
        places[path] = _cluster(number)
        places[path[:-1]].add_subgraph(places[path])
        # A node, and no label of the cluster: edges run across labels, and round nodes.
        places[path].add_node(pydot.Node(f"title{number}", label=_title(title), margin=0))
    for number, box in enumerate(drawing.boxes):
        places[box.group].add_node(pydot.Node(f"layer{number}", label=_table(box)))
    for edge in drawing.edges:
        ends = f"layer{edge.source}", f"layer{edge.target}"
        graph.add_edge(pydot.Edge(*ends))
        if edge.masked:
            graph.add_edge(pydot.Edge(*ends, style="dashed", color='"#b45309"', tooltip="mask"))
    return graph


def _cluster(number: int, title: str = "") -> pydot.Cluster:
    import pydot

    options: Any = {"label": _title(title), "labeljust": "l"} if title else {}
    return pydot.Cluster(f"model{number}", style="dashed", fontname="Helvetica", **options)


def _title(text: str) -> str:
    return f"<{escape(printable(text))}>"


def _table(box: Box) -> str:
    """Returns the label of a box: Graphviz' own small kind of HTML."""
    color = box.color or "#1e293b"
    head = f'<td bgcolor="{color}"><font color="white"><b>{escape(box.title)}</b></font></td>'
    rows = [head, *(f'<td bgcolor="white">{escape(line)}</td>' for line in box.lines)]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f'<<table border="0" cellborder="1" cellspacing="0" cellpadding="6">{body}</table>>'
