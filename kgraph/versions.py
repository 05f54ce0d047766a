"""The version of kgraph: the one place that names it for the code."""

__version__ = "0.1.0"


def version() -> str:
    """Returns the version of kgraph, as `kgraph.__version__`."""
    return __version__
