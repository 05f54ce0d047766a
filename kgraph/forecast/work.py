"""How much an instruction computes and moves, by the shapes in the text."""

from __future__ import annotations

import math
import re
from functools import cache

from kgraph.forecast.hlo import Instruction, Module

_FREE = frozenset({
    "parameter", "get-tuple-element", "tuple", "bitcast", "constant", "while", "conditional",
    "call", "after-all", "partition-id", "replica-id", "iota", "opt-barrier", "async-start",
})  # fmt: skip
"""What moves nothing by itself."""

_SLICES = frozenset({"dynamic-slice", "slice", "gather"})
_RENAMES = frozenset({"bitcast", "get-tuple-element"})


def flops_of(module: Module, instruction: Instruction) -> int:
    """Returns the FLOPs of matrix products and convolutions; a fused multiplication and sum are 2.

    All else is little beside it, and is left out.
    """
    if instruction.opcode in ("dot", "convolution"):
        return _product(module, module.home[instruction.name], instruction)
    return sum(
        _product(module, name, inner)
        for name, inner in module.inside(instruction)
        if inner.opcode in ("dot", "convolution")
    )


def _product(module: Module, computation: str, product: Instruction) -> int:
    names = module.by_name[computation]
    left, right = (names[name].shape for name in product.operands[:2])
    if product.opcode == "dot":
        axes = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", product.rest)
        contracted = [int(n) for n in axes[1].split(",") if n] if axes else []
        return 2 * math.prod(product.shape) * math.prod(left[axis] for axis in contracted)
    return _convolution(product, left, right)


def _convolution(product: Instruction, left: tuple[int, ...], right: tuple[int, ...]) -> int:
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", product.rest)
    if labels is None:
        return 0
    window = re.search(r"window=\{([^}]*)\}", product.rest)
    text = window[1] if window else ""
    spatial = sorted(letter for letter in labels[1] if letter.isdigit())
    pairs = 1
    for at, letter in enumerate(spatial):
        size, out = left[labels[1].index(letter)], product.shape[labels[3].index(letter)]
        kernel = right[labels[2].index(letter)]
        low, _ = _window(text, "pad", at, "0_0").split("_")
        steps = (_window(text, name, at, "1") for name in ("stride", "lhs_dilate", "rhs_dilate"))
        pairs *= _pairs(size, out, kernel, int(low), *map(int, steps))
    batch, features = (product.shape[labels[3].index(letter)] for letter in "bf")
    groups = re.search(r"batch_group_count=(\d+)", product.rest)
    return (
        2
        * batch
        * features
        * right[labels[2].index("i")]
        * pairs
        // int(groups[1] if groups and batch % int(groups[1]) else 1)
    )


def _window(text: str, name: str, at: int, usual: str) -> str:
    found = re.search(rf"(?:^| ){name}=(\S+)", text)
    return found[1].split("x")[at] if found else usual


@cache
def _pairs(
    size: int, out: int, kernel: int, low: int, stride: int, spread: int, kernel_spread: int
) -> int:
    """Returns how many products one axis of a convolution makes, padding and holes left out.

    A product of a batch of matrices is a convolution over padding for TPU's compiler: most of its
    window then meets none of the input.
    """
    count = 0
    for k in range(kernel):
        first = k * kernel_spread - low  # where the first output meets the dilated input
        for o in range(out):
            place = first + o * stride
            count += 0 <= place <= (size - 1) * spread and place % spread == 0
    return count


def bytes_of(module: Module, instruction: Instruction) -> int:
    """Returns the bytes that an instruction reads from the chip's memory and writes to it.

    Of an array of which a fusion takes a slice only the slice counts, and of one that it updates in
    place only the update: the weights of all blocks are an operand of each trip of a loop.
    """
    if instruction.opcode in _FREE or instruction.opcode.endswith("-done"):
        return 0
    names = module.by_name[module.home[instruction.name]]
    operands = [names[name] for name in instruction.operands if name in names]
    if instruction.opcode in _SLICES:
        return operands[0].memory_bytes and instruction.bytes + instruction.memory_bytes
    if instruction.opcode == "dynamic-update-slice":
        return 2 * operands[1].bytes if instruction.memory_bytes else 0
    if instruction.opcode.endswith("-start"):  # its results are the operand as well, and flags
        return max(instruction.memory_bytes, sum(operand.memory_bytes for operand in operands))
    if instruction.opcode != "fusion" or not instruction.called:
        return instruction.memory_bytes + sum(operand.memory_bytes for operand in operands)
    body = module.computations[instruction.called[0]]
    read = [_bytes_read(body, at, operand) for at, operand in enumerate(operands)]
    return sum(read) + _bytes_written(body, instruction)


def _bytes_read(body: tuple[Instruction, ...], number: int, operand: Instruction) -> int:
    wanted = f"parameter({number})"
    names = {i.name for i in body if i.rest.startswith(wanted)}
    sliced = 0
    for inner in body:
        if names.isdisjoint(inner.operands):
            continue
        if inner.opcode in _RENAMES:
            names.add(inner.name)
        elif inner.opcode in _SLICES and inner.operands[0] in names:
            sliced += inner.bytes
        elif inner.opcode != "dynamic-update-slice" or inner.operands[0] not in names:
            return operand.memory_bytes
    return min(sliced, operand.memory_bytes)


def _bytes_written(body: tuple[Instruction, ...], fusion: Instruction) -> int:
    by_name = {inner.name: inner for inner in body}
    root = next(inner for inner in body if inner.is_root)
    ends = [by_name[name] for name in root.operands] if root.opcode == "tuple" else [root]
    return min(sum(_written(by_name, end) for end in ends), fusion.memory_bytes)


def _written(by_name: dict[str, Instruction], end: Instruction) -> int:
    inner = end
    while inner.opcode == "bitcast":
        inner = by_name[inner.operands[0]]
    if inner.opcode == "dynamic-update-slice":
        return by_name[inner.operands[1]].bytes
    return end.memory_bytes
