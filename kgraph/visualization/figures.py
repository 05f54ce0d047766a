"""matplotlib, where it is installed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgraph.errors import ConfigError
from kgraph.types import FilePath
from kgraph.writing import write_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def pyplot() -> Any:
    """Returns matplotlib's pyplot; raises ConfigError where it is not installed."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ConfigError(
            "Pictures are drawn with matplotlib, which is not installed",
            hint="pip install matplotlib",
        ) from error
    return pyplot


def finished(figure: Figure, path: FilePath | None) -> Figure:
    """Returns a figure that is not shown by itself, for a notebook would show it twice."""
    pyplot().close(figure)
    if path is not None:
        write_figure(figure, path)
    return figure


def write_figure(figure: Figure, path: FilePath, **options: Any) -> None:
    """Writes a figure whole or not at all, in the format that the end of the path names.

    Args:
        options: for matplotlib's `savefig`.

    Raises:
        OSError: it cannot be written; names the path and the bytes.
    """
    ending = Path(path).suffix or f".{pyplot().rcParams['savefig.format']}"
    sink = io.BytesIO()
    figure.savefig(sink, format=ending[1:], **options)
    write_file(Path(path).with_suffix(ending), sink.getvalue())
