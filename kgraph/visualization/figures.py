"""matplotlib, where it is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kgraph.errors import ConfigError
from kgraph.types import FilePath

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
        figure.savefig(path)
    return figure
