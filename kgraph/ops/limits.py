"""What a call may cost before it is refused: a file of a kilobyte could ask for any number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kgraph.graph.structure import leaves

MOST_WRITTEN_OUT = 10_000
"""How many pieces or rounds a node may be written out as."""

MOST_ENTRIES, MOST_GROWTH = 2**28, 64
"""How many entries a result may have, or else how many times those of the largest input."""

_TAPS = {
    "extract_patches": (1, "size"),
    "extract_patches_3d": (1, "size"),
    "fold": (2, "kernel_size"),
    "gaussian_blur": (1, "kernel_size"),
    "ssim": (3, "filter_size"),
    "unfold": (1, "kernel_size"),
}
"""Functions that take every tap of a window by itself, and where they are told its size."""

_MOST_SEARCHED = 8  # tensors of an einsum; finding its best order takes exponential time


def written_out(name: str, args: Sequence[Any], kwargs: Mapping[str, object]) -> int:
    """Returns in how many pieces or rounds JAX traces a call of a function."""

    def argument(place: int, name: str, default: Any) -> Any:
        return args[place] if len(args) > place else kwargs.get(name, default)

    if name in ("split", "array_split", "dsplit", "hsplit", "vsplit"):
        sections = argument(1, "indices_or_sections", 1)
        return len(sections) + 1 if np.ndim(sections) else int(sections)
    if name == "diff":
        return argument(1, "n", 1)
    first = args[0] if args else next(iter(kwargs.values()), None)
    shape = getattr(first, "shape", ())
    if name == "unstack":
        return _size(shape, argument(2, "axis", 0))
    if name == "pad" and argument(2, "mode", "constant") not in ("constant", "edge", "empty"):
        sizes = [size for size in shape if isinstance(size, int) and size > 0]
        widest = max(map(abs, leaves(argument(1, "pad_width", 0))), default=0)
        return widest // min(sizes, default=1)
    if name == "einsum" and kwargs.get("optimize") not in (None, "auto", "greedy", False):
        return 1 if len(args) <= _MOST_SEARCHED + 1 else MOST_WRITTEN_OUT + 1
    if name in _TAPS:
        size = argument(*_TAPS[name], 1)
        rank = 3 if name.endswith("3d") else 2
        return math.prod(size if isinstance(size, (list, tuple)) else (size,) * rank)
    return 1


def _size(shape: Sequence[Any], axis: int) -> int:
    size = shape[axis] if -len(shape) <= axis < len(shape) else None
    return size if isinstance(size, int) else 1
