"""clear_session: gives back the memory of models that nobody has any more."""

from __future__ import annotations

import ctypes
import gc
import sys

import jax

from kgraph.layers.base.equal_sizes import forget_equal_sizes
from kgraph.layers.base.symbolic import forget_inferred
from kgraph.training.compilation import forget_shared


def clear_session(free_memory: bool = True) -> None:
    """Forgets what was compiled and traced for models, of which JAX keeps all until it is told.

    For a loop that makes many models, as a search does. Models that are still there work on: what
    they need again is compiled again. kgraph keeps no names or graphs for the process.

    Args:
        free_memory: whether to give the memory back to the system at once.
    """
    forget_shared()
    forget_inferred()
    forget_equal_sizes()
    jax.clear_caches()
    if not free_memory:
        return
    gc.collect()
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    trim = getattr(libc, "malloc_trim", None)
    if trim is not None:  # glibc keeps what was freed in small pieces
        trim(0)
