"""`kgraph.ops.image`: the functions of `kgraph.ops` that Keras has under this name."""

from kgraph.ops.lifting import namespace

__getattr__, __dir__ = namespace(__name__)
