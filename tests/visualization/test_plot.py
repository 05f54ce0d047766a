"""plot_model: files by Graphviz and without it."""

from __future__ import annotations

import os
import shutil
from xml.etree import ElementTree

import pytest
from dot_reading import read_dot
from guide_models import mnist_model, toy_resnet

import kgraph
from kgraph.errors import ConfigError
from kgraph.visualization import plot_model

needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
STARTS = {"png": b"\x89PNG\r\n", "pdf": b"%PDF-", "jpg": b"\xff\xd8\xff"}


@pytest.fixture
def no_dot(monkeypatch):
    monkeypatch.setenv("PATH", "")


@pytest.mark.parametrize("suffix", ["png", "pdf", "jpg"])
def test_without_graphviz_an_svg_is_written_and_said_so(tmp_path, no_dot, capsys, suffix):
    plot = plot_model(mnist_model(kgraph), tmp_path / f"model.{suffix}", show_shapes=True)
    assert plot.path == tmp_path / "model.svg"
    assert os.listdir(tmp_path) == ["model.svg"]
    assert "(None, 784)" in plot.path.read_text()
    ElementTree.parse(plot.path)
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "'dot' of Graphviz is not installed" in said
    assert str(plot.path) in said


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
    plot = plot_model(mnist_model(kgraph), tmp_path / "model.png")
    assert plot.path == tmp_path / "model.svg"
    assert "failed (no fonts here)" in capsys.readouterr().out


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


def test_a_name_without_a_suffix_is_a_png(tmp_path, no_dot):
    assert plot_model(mnist_model(kgraph), tmp_path / "model").path == tmp_path / "model.svg"


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
    with pytest.raises(ConfigError, match=r"cannot write [\s\S]*No space left on device"):
        plot_model(mnist_model(kgraph), tmp_path / "model.svg")
    assert os.listdir(tmp_path) == ["model.svg"]
    assert (tmp_path / "model.svg").read_text() == "old"


def test_unknown_options_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"plot_model has no 'show_shape'"):
        plot_model(mnist_model(kgraph), tmp_path / "model.svg", show_shape=True)
