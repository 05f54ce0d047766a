"""Words and categories to numbers: text on the host before `fit`, integers in graphs as well."""

from kgraph.layers.text.integer_lookup import IntegerLookup
from kgraph.layers.text.string_lookup import StringLookup
from kgraph.layers.text.text_vectorization import TextVectorization

__all__ = ["IntegerLookup", "StringLookup", "TextVectorization"]
