"""Options for XLA's compiler that a program needs on its platform."""

from __future__ import annotations

from functools import cache

import jax

_ON_CPU: dict[str, str | bool] = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"
}
"""Leaves convolutions to XLA's own code (Eigen's, on all cores).

jax 0.10 gives those of images to YNNPACK, which computes them on one core and in more memory: two
to three times slower on 2 cores. Matrix products stay with it.
"""


def xla_options(text: str) -> dict[str, str | bool]:
    """Returns the options for a lowered program, as `compile` takes them.

    Args:
        text: the program.
    """
    convolves = "stablehlo.convolution" in text
    return _understood() if convolves and jax.default_backend() == "cpu" else {}


@cache
def _understood() -> dict[str, str | bool]:
    """Returns the options if this version of XLA has them, and none otherwise."""
    try:
        jax.jit(lambda: 0).lower().compile(compiler_options=dict(_ON_CPU))
    except (jax.errors.JaxRuntimeError, ValueError):
        return {}
    return _ON_CPU
