"""How many rows to evaluate at once where nobody has said so."""

from __future__ import annotations

import math

import numpy as np

from kgraph.data.checks import DEFAULT_BATCH_SIZE
from kgraph.graph.graph import Graph

_BYTES = 32 * 2**20
_MOST_ROWS = 1024
_UNKNOWN_SIZE = 512


def rows_at_once(graph: Graph) -> int:
    """Returns a size for batches of rows that do not depend on each other.

    Never below the default of 32; above it as long as the outputs of all nodes together, a bound on
    what has to be kept, stay below 32 MiB. A power of two times 32.
    """
    specs = [spec for node in graph.nodes for spec in node.outputs]
    row = sum(
        math.prod(d if isinstance(d, int) else _UNKNOWN_SIZE for d in spec.dims[1:])
        * np.dtype(_known(spec.dtype)).itemsize
        for spec in specs
    )
    size = DEFAULT_BATCH_SIZE
    while size < _MOST_ROWS and 2 * size * row <= _BYTES:
        size *= 2
    return size


def _known(dtype: str) -> str:
    return {"bfloat16": "float16", "bool": "bool"}.get(dtype, dtype)
