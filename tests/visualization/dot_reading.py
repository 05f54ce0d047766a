"""Reading DOT text back."""

from __future__ import annotations

import warnings

import pydot


def read_dot(text: str) -> pydot.Dot:
    """Returns the graph that a text describes; fails if the text is no DOT."""
    with warnings.catch_warnings():  # pydot's parser calls names that pyparsing is about to drop
        warnings.simplefilter("ignore", DeprecationWarning)
        graphs = pydot.graph_from_dot_data(text)
    assert graphs, text
    return graphs[0]
