"""What kernels cost that the compiler does not look into: as they state it, or by their shapes."""

from __future__ import annotations

import math
import re

from kgraph.distribution.chips import Chip
from kgraph.forecast.hlo import Instruction, Module

_PALLAS = ("tpu_custom_call", "__gpu$xla.gpu.triton")
_SPLASH = re.compile(r"splash_m[hq]a_(fwd|dq|dkv)")
_PRODUCTS = {"fwd": 2, "dq": 3, "dkv": 4}
"""Products of queries and keys of their size that each kernel of splash attention makes."""


def is_kernel(instruction: Instruction) -> bool:
    """Tells whether an instruction is a kernel that was written by hand, in Pallas."""
    return instruction.opcode == "custom-call" and any(
        f'custom_call_target="{target}"' in instruction.rest for target in _PALLAS
    )


def kernel_flops(module: Module, kernel: Instruction) -> int | None:
    """Returns the FLOPs that a kernel states, or that its shapes tell; None if neither does."""
    stated = kernel.number("flops")
    return _splash_flops(module, kernel) if stated is None else stated


def kernel_cycles(module: Module, kernel: Instruction, chip: Chip) -> int | None:
    """Returns how long a kernel takes that computes and moves what it has to, without waiting."""
    flops, moved = kernel_flops(module, kernel), kernel.number("bytes_accessed")
    if flops is None and moved is None:
        return None
    seconds = max((flops or 0) / chip.flops, (moved or 0) / chip.bandwidth)
    return round(seconds * chip.clock)


def _splash_flops(module: Module, kernel: Instruction) -> int | None:
    """Returns the FLOPs of a kernel of JAX's splash attention, which states none.

    Of a mask only the blocks are known that are visited: no more than those, and no more than half
    of all, as for a causal mask, are counted. So it is a bound from below.
    """
    found = _SPLASH.search(kernel.op_name)
    if found is None:
        return None
    names = module.by_name[module.home[kernel.name]]
    given = [array for name in kernel.operands for array in names[name].arrays]
    wide = [array.shape for array in given if array.dtype != "s8" and len(array.shape) > 2]
    masks = [array.shape for array in given if array.dtype == "s8"]
    query, key = wide[:2]
    pairs = math.prod(query) * key[-2]
    if masks:
        visited = math.prod(masks[0][-2:]) / max(masks[0][-2:]) ** 2
        pairs = int(pairs * min(visited, 0.5))
    return 2 * _PRODUCTS[found[1]] * pairs
