"""Options for XLA's compiler that a program needs on its platform."""

from __future__ import annotations

import re
from functools import cache

import jax

Options = dict[str, str | bool]

_CONVOLUTIONS: Options = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"
}
"""Leaves convolutions to XLA's own code (Eigen's, on all cores).

jax 0.10 gives those of images to YNNPACK, which computes them on one core and in more memory: two
to three times slower on 2 cores. Matrix products stay with it.
"""

_MANY_DEVICES: Options = {"xla_cpu_enable_concurrency_optimized_scheduler": False}
"""Keeps sums over virtual devices in one order.

Scheduled to run at once, two of them can each wait for threads that the other has: on 2 loaded
cores a step over 8 devices stood still until XLA ended the process (jax 0.10.2).
"""

_PARTITIONS = re.compile(r"mhlo\.num_partitions = (\d+)")


def xla_options(text: str) -> Options:
    """Returns the options for a lowered program, as `compile` takes them.

    Args:
        text: the program.
    """
    if jax.default_backend() != "cpu":
        return {}
    parts = _PARTITIONS.search(text)
    wanted: Options = {}
    if "stablehlo.convolution" in text:
        wanted |= _understood(*_CONVOLUTIONS.items())
    if parts is not None and parts[1] != "1":
        wanted |= _understood(*_MANY_DEVICES.items())
    return wanted


@cache
def _understood(*options: tuple[str, str | bool]) -> Options:
    """Returns the options if this version of XLA has them, and none otherwise."""
    try:
        jax.jit(lambda: 0).lower().compile(compiler_options=dict(options))
    except (jax.errors.JaxRuntimeError, ValueError):
        return {}
    return dict(options)
