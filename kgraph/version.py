"""The version of kgraph: the one place that names it for the code."""

__version__ = "0.1.0"
