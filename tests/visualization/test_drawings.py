"""DOT, SVG, Mermaid and HTML of models."""

from __future__ import annotations

import re
from html import escape
from xml.etree import ElementTree

import pydot
import pytest
from dot_reading import read_dot
from guide_models import GUIDE, mnist_model, nested, siamese, ticket, toy_resnet

import kgraph
from kgraph.errors import ConfigError
from kgraph.visualization import model_html, model_to_dot, model_to_svg, to_mermaid
from kgraph.visualization.drawing import Options, draw

EVERYTHING = {
    "show_shapes": True,
    "show_dtype": True,
    "show_layer_names": True,
    "show_layer_activations": True,
    "show_trainable": True,
    "expand_nested": True,
}
EVIL = '<script>alert("x")</script>&\'\n\x00{|}#;]]>--%'
SVG = "{http://www.w3.org/2000/svg}"


def texts_of(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def evil_model():
    x = kgraph.Input((3,), name="a<b")
    return kgraph.Model(x, kgraph.layers.Dense(2, name=EVIL.replace("/", "|"))(x), name="<i>")


@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "everything"])
@pytest.mark.parametrize("name", GUIDE)
def test_every_text_can_be_read_back(name, options):
    model = GUIDE[name](kgraph)
    drawing = draw(model, Options(**options))
    names = [box.path[-1] for box in drawing.boxes]

    graph = read_dot(model_to_dot(model, **options).to_string())
    nodes, edges = list(graph.get_nodes()), graph.get_edges()
    pending = list(graph.get_subgraphs())
    while pending:
        nodes += pending[0].get_nodes()
        pending = pending[1:] + pending[0].get_subgraphs()
    labels = [node.get_label() for node in nodes if node.get_label()]
    assert len(labels) == len(names) + len(drawing.groups)  # which have a title each
    assert all(any(f">{name}</td>" in label for label in labels) for name in names)
    assert len(edges) == len(drawing.edges)

    svg = model_to_svg(model, **options)
    assert set(names) <= set(texts_of(svg))
    assert "<script" not in svg

    lines = to_mermaid(model, **options).splitlines()
    assert len([line for line in lines if "-->" in line]) == len(drawing.edges)
    assert len([line for line in lines if re.match(r' +layer\d+\["', line)]) == len(names)


def test_equal_models_give_equal_text():
    for write in (lambda m: model_to_dot(m).to_string(), model_to_svg, to_mermaid):
        assert write(toy_resnet(kgraph)) == write(toy_resnet(kgraph))


def test_edges_are_the_connections_of_the_graph():
    model = toy_resnet(kgraph)
    drawing = draw(model, Options())
    names = [box.path[-1] for box in drawing.boxes]
    drawn = {(names[edge.source], names[edge.target]) for edge in drawing.edges}
    assert drawn == {(ref.node, node.name) for node in model.graph.nodes for ref in node.inputs}


def test_a_shared_layer_is_one_box_with_an_edge_for_each_call():
    drawing = draw(siamese(kgraph), Options())
    names = [box.path[-1] for box in drawing.boxes]
    drawn = [(names[edge.source], names[edge.target]) for edge in drawing.edges]
    assert names.count("shared") == 1
    assert {("left", "shared"), ("right", "shared"), ("shared", "shared")} <= set(drawn)


def test_an_expanded_model_is_wired_to_the_layers_inside():
    drawing = draw(nested(kgraph), Options(expand_nested=True))
    paths = ["/".join(box.path) for box in drawing.boxes]
    drawn = {(paths[edge.source], paths[edge.target]) for edge in drawing.edges}
    assert ("img", "encoder/original_img") in drawn
    assert ("encoder/global_max_pooling2d", "decoder/encoded_img") in drawn
    assert list(drawing.groups.values()) == ["encoder (Functional)", "decoder (Functional)"]
    assert not any(path in ("encoder", "decoder") for path in paths)


def test_inputs_of_an_expanded_model_are_wired_by_name():
    a, b = kgraph.Input((3,), name="a"), kgraph.Input((3,), name="b")
    inner = kgraph.Model({"a": a, "b": b}, kgraph.layers.Subtract()([a, b]), name="inner")
    left, right = kgraph.Input((3,), name="left"), kgraph.Input((3,), name="right")
    model = kgraph.Model([left, right], inner({"b": left, "a": right}))
    drawing = draw(model, Options(expand_nested=True))
    paths = ["/".join(box.path) for box in drawing.boxes]
    drawn = {(paths[edge.source], paths[edge.target]) for edge in drawing.edges}
    outer = {pair for pair in drawn if pair[0] in ("left", "right")}
    assert outer == {("left", "inner/b"), ("right", "inner/a")}


def test_a_nested_sequential_model_has_no_input_box():
    inner = kgraph.Sequential(
        [kgraph.Input((3,)), kgraph.layers.Dense(4), kgraph.layers.Dense(2)], name="inner"
    )
    model = kgraph.Model(x := kgraph.Input((3,), name="x"), inner(x))
    drawing = draw(model, Options(expand_nested=True))
    assert ["/".join(box.path) for box in drawing.boxes] == ["x", "inner/dense", "inner/dense_1"]
    assert [(edge.source, edge.target) for edge in drawing.edges] == [(1, 2), (0, 1)]
    assert len(draw(inner, Options()).boxes) == 2


def test_masks_run_dashed_beside_their_tensors():
    model = ticket(kgraph, mask_zero=True)
    drawing = draw(model, Options())
    names = [box.path[-1] for box in drawing.boxes]
    masked = [(names[e.source], names[e.target]) for e in drawing.edges if e.masked]
    assert masked == [("embedding", "lstm")]
    assert model_to_dot(model).to_string().count("dashed") == 1
    assert model_to_svg(model).count("stroke-dasharray") == 1
    assert to_mermaid(model).count("-. mask .->") == 1
    assert "dash" not in model_to_svg(ticket(kgraph))


def test_boxes_show_what_is_asked_for():
    model = mnist_model(kgraph)
    model.layers[1].trainable = False
    boxes = {box.path[-1]: box for box in draw(model, Options(**EVERYTHING)).boxes}
    assert boxes["dense"].title == "Dense"
    assert boxes["dense"].lines == (
        "dense", "activation: relu", "dtype: float32", "input: (None, 784)",
        "output: (None, 64)", "not trainable",
    )  # fmt: skip
    assert boxes["dense_1"].lines[-1] == "trainable"
    assert boxes["input_layer"].lines == ("input_layer", "dtype: float32", "output: (None, 784)")
    bare = draw(model, Options(show_layer_names=False)).boxes[1]
    assert (bare.title, bare.lines) == ("Dense", ())


def test_a_subclassed_model_is_one_box_once_it_is_built():
    class Mlp(kgraph.Model):
        def __init__(self):
            super().__init__(name="mlp")
            self.dense = kgraph.layers.Dense(2)

        def call(self, inputs):
            return self.dense(inputs)

    model = Mlp()
    with pytest.raises(ConfigError, match=r"'mlp' \(Mlp\) cannot be drawn before it is built"):
        model_to_svg(model)
    model.built = True
    assert texts_of(model_to_svg(model, show_shapes=True)) == ["Mlp", "mlp", "output: ?"]


@pytest.mark.parametrize("rankdir", ["TB", "BT", "LR", "RL"])
def test_directions(rankdir):
    svg = ElementTree.fromstring(model_to_svg(mnist_model(kgraph), rankdir=rankdir))
    wide = float(svg.attrib["width"]) > float(svg.attrib["height"])
    assert wide == (rankdir in ("LR", "RL"))
    assert model_to_dot(mnist_model(kgraph), rankdir=rankdir).get_rankdir() == rankdir
    assert to_mermaid(mnist_model(kgraph), rankdir=rankdir).startswith(f"flowchart {rankdir}\n")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"rankdir": "down"}, r"does not know this value of `rankdir`"),
        ({"splines": "wavy"}, r"does not know this value of `splines`[\s\S]*'wavy'"),
        ({"layer_range": ["a", "b"]}, r"model_to_dot has no 'layer_range'"),
    ],
)
def test_unknown_options_are_refused(options, text):
    with pytest.raises(ConfigError, match=text):
        model_to_dot(mnist_model(kgraph), **options)


def test_a_subgraph_is_a_cluster_with_the_name_of_the_model():
    cluster = model_to_dot(mnist_model(kgraph), subgraph=True)
    assert isinstance(cluster, pydot.Cluster)
    assert "mnist_model" in cluster.get_label()


def test_names_cannot_break_out_of_any_format():
    model = evil_model()
    shown = EVIL.replace("/", "|").replace("\n", "\\n").replace("\x00", "\\x00")
    assert shown in texts_of(model_to_svg(model))
    dot = model_to_dot(model).to_string()
    assert len(read_dot(dot).get_edges()) == 1
    assert f">{escape(shown)}</td>" in dot
    assert "<script" not in dot
    mermaid = to_mermaid(model)
    assert "<script" not in mermaid
    assert mermaid.count('"') == 4
    html = model_html(model)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "<i>" not in html


@pytest.mark.parametrize("name", GUIDE)
def test_html_is_well_formed_and_has_the_whole_summary(name):
    model = GUIDE[name](kgraph)
    page = ElementTree.fromstring(model_html(model).replace("<br>", "<br/>"))
    cells = ["".join(cell.itertext()) for cell in page.iter("td")]
    assert len(list(page.iter("tr"))) == len(model.graph.layers) + 1
    assert any(cell.startswith(model.layers[-1].name) for cell in cells)
    assert f"{model.count_params():,} (" in "".join(page.itertext())
    assert len(list(page.iter(f"{SVG}svg"))) == 1


def test_html_never_raises():
    class Broken:
        @property
        def _kgraph_inner_graph(self):
            raise RuntimeError("<no graph>")

    assert model_html(Broken()) == (
        "<pre>Broken (cannot be shown: RuntimeError: &lt;no graph&gt;)</pre>"
    )


def test_html_of_a_model_without_a_graph_is_its_summary():
    html = model_html(kgraph.Sequential([kgraph.layers.Dense(3)]))
    assert "0 (unbuilt)" in html
    assert "<svg" not in html


def test_html_of_a_huge_model_points_to_plot_model():
    x = inputs = kgraph.Input((1,))
    for _ in range(301):
        x = kgraph.layers.Identity()(x)
    html = model_html(kgraph.Model(inputs, x))
    assert "302 layers: draw them into a file with plot_model" in html
    assert "<svg" not in html
