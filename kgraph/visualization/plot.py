"""Drawings of models in files."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgraph.compiler.costs import Costs
from kgraph.errors import ConfigError, StateError, check_keys, nearest
from kgraph.tracebacks import entry
from kgraph.visualization.dot import drawing_to_dot
from kgraph.visualization.drawing import Drawing, Options
from kgraph.visualization.folding import drawn
from kgraph.visualization.heat import Timed, with_costs
from kgraph.visualization.interactive import drawing_to_html
from kgraph.visualization.svg import drawing_to_svg
from kgraph.writing import write_file

if TYPE_CHECKING:
    from kgraph.models.model import Model


_FORMATS = ("png", "svg", "pdf", "dot", "html", "jpg", "jpeg")
_BITMAPS = ("png", "jpg", "jpeg")
_PATIENCE = 300.0
_VECTOR_DPI, _SVG_DPI = 72, 96


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing that was made; notebooks show it.

    Fields:
        path: the file it is in; None if it is in no file.
        format: `"png"`, `"svg"`, `"pdf"`, `"dot"`, `"html"` or `"jpg"`.
        data: the content of the file.
    """

    path: Path | None
    format: str
    data: bytes = field(repr=False)

    def _repr_svg_(self) -> str | None:
        return self.data.decode() if self.format == "svg" else None

    def _repr_html_(self) -> str | None:
        if self.format != "html":
            return None
        page = escape(self.data.decode())
        style = "width:100%;height:40em;border:0"
        return f'<iframe srcdoc="{page}" sandbox="allow-scripts" style="{style}"></iframe>'

    def _repr_png_(self) -> bytes | None:
        return self.data if self.format == "png" else None

    def _repr_jpeg_(self) -> bytes | None:
        return self.data if self.format in ("jpg", "jpeg") else None


@entry
def plot_model(
    model: Model,
    to_file: str | os.PathLike[str] | None = "model.png",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "spline",
    color_by: str | None = None,
    costs: Costs | None = None,
    forecast: Timed | None = None,
    fold: bool | None = None,
    **unknown: Any,
) -> Plot:
    """Draws a model into a file, with Graphviz where its program `dot` is installed.

    Without `dot` the layout is kgraph's own: for .svg, and with resvg (`pip install
    "kgraph-jax[draw]"`) for .png. The file appears when it is complete.

    Args:
        model: a model.
        to_file: a name that ends in .png, .svg, .pdf, .jpg, .dot or .html; None writes no file. A
            page (.html) is one file without a network, in which blocks are folded and unfolded,
            and layers searched and hovered over.
        show_shapes, show_dtype, show_layer_names, rankdir, expand_nested, show_layer_activations,
            show_trainable, splines, color_by, costs, forecast, fold: see `model_to_dot`.
        dpi: dots per inch of .png and .jpg.

    Returns:
        The drawing, as an object that a notebook shows.

    Raises:
        ConfigError: there is no such folder, or an option cannot have its value.
        OSError: the file cannot be written; names the path and the bytes.
        StateError: what the format needs is not installed, or fails.
    """
    check_keys("plot_model", unknown, [])
    path = None if to_file is None else Path(to_file)
    file_format = _format(path)
    options = Options(
        show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable,
        expand_nested, rankdir, fold,
    )  # fmt: skip
    if path is not None:
        _check_folder(path)
    if file_format == "html":
        options = replace(options, fold=False)  # what is folded, one opens in the page
    drawing = drawn(model, options, color_by, costs, forecast)
    if file_format == "html":
        data = drawing_to_html(with_costs(drawing, model, costs), rankdir).encode()
    else:
        data = _drawn_as(drawing, file_format, rankdir, dpi, splines)
    if path is not None:
        write_file(path, data)
    return Plot(path, file_format, data)


def _format(path: Path | None) -> str:
    if path is None:
        return "svg"
    suffix = path.suffix.lower().removeprefix(".") or "png"
    if suffix not in _FORMATS:
        raise ConfigError(
            f"plot_model cannot write a file of the kind {path.suffix!r}",
            expected=", ".join(f".{name}" for name in _FORMATS),
            received=str(path),
            hint=nearest(suffix, _FORMATS),
        )
    return suffix


def _drawn_as(drawing: Drawing, file_format: str, rankdir: str, dpi: int, splines: str) -> bytes:
    """Returns the drawing by Graphviz, or by kgraph's own layout where that is not there."""
    try:
        return _by_graphviz(drawing, file_format, rankdir, dpi, splines)
    except StateError as error:
        return _by_own_layout(drawing, file_format, rankdir, dpi, error)


def _by_graphviz(drawing: Drawing, file_format: str, rankdir: str, dpi: int, splines: str) -> bytes:
    """Returns the drawing as Graphviz makes it; raises StateError where it cannot."""
    dpi = dpi if file_format in _BITMAPS else _VECTOR_DPI
    try:
        text = drawing_to_dot(drawing, rankdir, dpi, splines).to_string()
    except ImportError:
        raise StateError("pydot is not installed") from None
    if file_format == "dot":
        return text.encode()
    program = shutil.which("dot")
    if program is None:
        raise StateError("the program 'dot' of Graphviz is not installed")
    try:
        run = subprocess.run(
            [program, f"-T{file_format}"],
            input=text.encode(), capture_output=True, timeout=_PATIENCE, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StateError(f"the program 'dot' of Graphviz failed ({error})") from error
    if run.returncode or not run.stdout:
        said = run.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise StateError(f"the program 'dot' of Graphviz failed ({said or run.returncode})")
    return run.stdout


def _by_own_layout(
    drawing: Drawing, file_format: str, rankdir: str, dpi: int, error: StateError
) -> bytes:
    """Returns the drawing by kgraph's own layout; raises StateError for what that cannot be."""
    text = drawing_to_svg(drawing, rankdir)
    if file_format == "svg":
        return text.encode()
    if file_format == "png" and (png := _by_resvg(text, dpi / _SVG_DPI)) is not None:
        return png
    resvg = 'or pip install "kgraph-jax[draw]", ' if file_format == "png" else ""
    raise StateError(
        f"plot_model cannot write a .{file_format}: {error.what}",
        hint=f"install Graphviz (apt install graphviz, brew install graphviz), {resvg}or write an "
        ".svg, which needs neither",
    ) from None


def _by_resvg(text: str, zoom: float) -> bytes | None:
    """Returns an SVG image as PNG; None where resvg is not installed."""
    try:
        import resvg_py  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    # Machines without fonts draw no text: matplotlib brings one along.
    found = importlib.util.find_spec("matplotlib")
    folder = Path((found and found.origin) or "").parent / "mpl-data" / "fonts" / "ttf"
    options = {}
    if folder.is_dir():
        options = {"font_dirs": [str(folder)], "sans_serif_family": "DejaVu Sans"}
    return bytes(resvg_py.svg_to_bytes(svg_string=text, zoom=zoom, **options))


def _check_folder(path: Path) -> None:
    if not path.parent.is_dir():
        raise ConfigError(
            f"plot_model cannot write {str(path)!r}",
            expected="a folder that exists",
            received=f"{str(path.parent)!r}, which is none",
            hint="make the folder first",
        )
    if path.is_dir():
        raise ConfigError(
            f"plot_model cannot write {str(path)!r}: it is a folder", hint="name a file in it"
        )
