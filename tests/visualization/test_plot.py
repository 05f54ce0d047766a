"""plot_model: files by Graphviz and without it."""

from __future__ import annotations

import io
import os
import shutil
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from dot_reading import read_dot
from guide_models import mnist_model, toy_resnet
from PIL import Image

import kgraph
from kgraph.errors import ConfigError, StateError
from kgraph.visualization import plot_model

needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
STARTS = {"png": b"\x89PNG\r\n", "pdf": b"%PDF-", "jpg": b"\xff\xd8\xff"}


@pytest.fixture
def no_dot(monkeypatch):
    monkeypatch.setenv("PATH", "")


@pytest.mark.parametrize("suffix", ["png", "pdf", "jpg"])
def test_what_is_not_installed_is_named_and_no_other_file_written(
    tmp_path, no_dot, monkeypatch, suffix
):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(StateError, match="'dot' of Graphviz is not installed") as caught:
        plot_model(mnist_model(kgraph), tmp_path / f"model.{suffix}")
    assert os.listdir(tmp_path) == []
    assert "apt install graphviz" in str(caught.value)
    assert ("kgraph-jax[draw]" in str(caught.value)) is (suffix == "png")


def test_without_graphviz_a_png_is_drawn_by_resvg(tmp_path, no_dot):
    pytest.importorskip("resvg_py")
    images = [
        plot_model(mnist_model(kgraph), tmp_path / "model.png", dpi=dpi)._repr_png_()
        for dpi in (96, 192)
    ]
    sizes = []
    for data in images:
        assert data.startswith(STARTS["png"])
        image = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
        sizes.append(np.array(image.shape))
        assert (image[:50] == 255).mean() > 0.5  # the first box: light letters on dark
        dark = image[sizes[-1][0] // 2 - 40 : sizes[-1][0] // 2 + 40]
        assert ((dark > 60) & (dark < 200)).sum() > 0  # and edges of letters
    assert abs(sizes[1] - 2 * sizes[0]).max() <= 2
    assert (tmp_path / "model.png").read_bytes() == images[1]


def test_without_graphviz_an_svg_is_what_was_asked_for(tmp_path, no_dot, capsys):
    plot = plot_model(mnist_model(kgraph), tmp_path / "model.svg")
    assert capsys.readouterr().out == ""
    assert plot._repr_svg_() == (tmp_path / "model.svg").read_text()
    assert plot._repr_png_() is None


def test_dot_text_needs_no_program(tmp_path, no_dot):
    plot_model(mnist_model(kgraph), tmp_path / "model.dot")
    graph = read_dot((tmp_path / "model.dot").read_text())
    assert len(graph.get_edges()) == 3


def test_a_graphviz_that_fails_is_like_none(tmp_path, monkeypatch, capsys):
    program = tmp_path / "bin" / "dot"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'no fonts here' >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    with pytest.raises(StateError, match=r"failed \(no fonts here\)"):
        plot_model(mnist_model(kgraph), tmp_path / "model.pdf")
    plot_model(mnist_model(kgraph), tmp_path / "model.svg")
    ElementTree.parse(tmp_path / "model.svg")


@needs_dot
@pytest.mark.parametrize("suffix", STARTS)
def test_graphviz_writes_images(tmp_path, capsys, suffix):
    path = tmp_path / f"model.{suffix}"
    plot = plot_model(mnist_model(kgraph), path, show_shapes=True, dpi=40)
    assert plot.path == path
    assert path.read_bytes().startswith(STARTS[suffix])
    assert os.listdir(tmp_path) == [path.name]
    assert capsys.readouterr().out == ""
    assert (plot._repr_png_() is not None) == (suffix == "png")
    assert (plot._repr_jpeg_() is not None) == (suffix == "jpg")


@needs_dot
def test_graphviz_writes_svg(tmp_path):
    plot = plot_model(toy_resnet(kgraph), tmp_path / "model.svg", show_layer_names=True)
    assert "global_average_pooling2d" in (plot._repr_svg_() or "")
    ElementTree.parse(tmp_path / "model.svg")


@needs_dot
def test_a_name_without_a_suffix_is_a_png(tmp_path):
    plot = plot_model(mnist_model(kgraph), tmp_path / "model")
    assert (plot.path, plot.format) == (tmp_path / "model", "png")


def test_no_file_is_written_without_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plot = plot_model(mnist_model(kgraph), None)
    assert (plot.path, os.listdir(tmp_path)) == (None, [])
    assert "<svg" in (plot._repr_svg_() or "")


def test_a_file_that_is_there_is_replaced_whole(tmp_path, no_dot):
    (tmp_path / "model.svg").write_text("old")
    plot_model(mnist_model(kgraph), tmp_path / "model.svg")
    assert (tmp_path / "model.svg").read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("model.pgn", r"of the kind '\.pgn'[\s\S]*expected  \.png, [\s\S]*try       did you mean"),
        ("nowhere/model.png", r"cannot write '.*model\.png'[\s\S]*nowhere.*which is none"),
        ("folder.png", r"it is a folder"),
    ],
)
def test_places_that_cannot_be_written_are_refused_at_once(tmp_path, name, text):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ConfigError, match=text):
        plot_model(mnist_model(kgraph), tmp_path / name)


def test_a_write_that_fails_leaves_nothing_behind(tmp_path, no_dot, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    (tmp_path / "model.svg").write_text("old")
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match=r"No space left .* needs [\d,]+ bytes: .*model\.svg"):
        plot_model(mnist_model(kgraph), tmp_path / "model.svg")
    assert os.listdir(tmp_path) == ["model.svg"]
    assert (tmp_path / "model.svg").read_text() == "old"


def test_unknown_options_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"plot_model has no 'show_shape'"):
        plot_model(mnist_model(kgraph), tmp_path / "model.svg", show_shape=True)
