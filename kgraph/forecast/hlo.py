"""The text of a compiled program as data, and which of its instructions run how often.

A text is a list of computations, one of them the entry. An instruction may name others: the body
and the condition of a loop, the branches of a choice, and what a fusion does inside of one kernel.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) (?:\(.*\) -> .*)?\{\s*$")
_LINE = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = (.*)$")
_OPCODE = re.compile(r"(?<=[\])} ])([a-z][a-z0-9\-]*)\(")
_OPERAND = re.compile(r"%([\w.\-]+)")
_ARRAY = re.compile(r"\b([a-z]+\d*[a-z0-9]*)\[([\d,]*)\](?:\{[^}]*?(S\(\d+\))?\})?")
_CONTINUED = re.compile(r"\n(?=\"|\}\}, metadata)")
_CONSTANT = re.compile(r"constant\((\d+)\)")
_INDEX = re.compile(r"^get-tuple-element\(.*?, index=(\d+)")
_CALLED = re.compile(r"(?:to_apply|calls|(?:true|false)_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")

_BITS = {"pred": 8, "s4": 4, "u4": 4, "s2": 2, "u2": 2, "token": 0, "opaque": 0}


class Shaped(NamedTuple):
    """One array of a result.

    Fields:
        dtype: XLA's name.
        shape: sizes.
        near: whether it lies in a fast memory beside the chip's own.
    """

    dtype: str
    shape: tuple[int, ...]
    near: bool

    @property
    def bytes(self) -> int:
        return size_of(self.dtype) * math.prod(self.shape) // 8


@dataclass(frozen=True)
class Instruction:
    """One line of a computation.

    Fields:
        name: unique in the program.
        result: type and shape of what it gives, as text; of several in parentheses.
        opcode: such as "fusion" or "all-gather".
        operands: names of the instructions that it reads.
        rest: the text from its opcode on: operands and attributes.
        is_root: whether its computation gives its result.
    """

    name: str
    result: str
    opcode: str
    operands: tuple[str, ...]
    rest: str
    is_root: bool

    @cached_property
    def arrays(self) -> tuple[Shaped, ...]:
        """The arrays of its result."""
        return tuple(
            Shaped(dtype, tuple(int(size) for size in shape.split(",") if size), bool(place))
            for dtype, shape, place in _ARRAY.findall(self.result)
        )

    @cached_property
    def bytes(self) -> int:
        """Bytes of its result."""
        return sum(array.bytes for array in self.arrays)

    @cached_property
    def memory_bytes(self) -> int:
        """Bytes of its result that lie in the chip's own memory."""
        return sum(array.bytes for array in self.arrays if not array.near)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of its first array."""
        return self.arrays[0].shape

    def number(self, name: str) -> int | None:
        """Returns a whole number that an attribute gives in quotes, such as `"flops":"12"`."""
        found = re.search(rf'"{name}":"?(\d+)"?', self.rest)
        return int(found[1]) if found else None

    @cached_property
    def op_name(self) -> str:
        """Where it comes from in what JAX traced; "" if the compiler does not say."""
        found = re.search(r'op_name="([^"]*)"', self.rest)
        return found[1].partition(";")[0] if found else ""

    @cached_property
    def called(self) -> tuple[str, ...]:
        """Names of the computations that it calls, but for those of a loop."""
        branches = _BRANCHES.search(self.rest)
        inside = _OPERAND.findall(branches[1]) if branches else []
        return (*_CALLED.findall(self.rest), *inside)


@dataclass(frozen=True)
class Module:
    """A compiled program.

    Fields:
        computations: the instructions of each, by its name.
        entry: name of the first.
    """

    computations: Mapping[str, tuple[Instruction, ...]]
    entry: str

    def executed(self) -> Iterator[tuple[Instruction, int]]:
        """Yields each instruction that is started on its own, and how often it runs.

        What a fusion does inside is no instruction of its own; see `inside`.
        """
        pending = [(self.entry, 1)]
        while pending:
            name, times = pending.pop()
            for instruction in self.computations[name]:
                yield instruction, times
                if instruction.opcode == "while":
                    body, condition = (_named(instruction, key) for key in ("body", "condition"))
                    trips = self.trips(instruction)
                    pending += [(body, times * trips), (condition, times * (trips + 1))]
                elif instruction.opcode in ("call", "conditional", "async-start"):
                    pending += [(called, times) for called in instruction.called]

    def inside(self, instruction: Instruction) -> Iterator[tuple[str, Instruction]]:
        """Yields what a fusion does, fusions in it as well, with the computation's name."""
        if instruction.opcode != "fusion":
            return
        pending = list(instruction.called)
        while pending:
            name = pending.pop()
            for inner in self.computations[name]:
                yield name, inner
                if inner.opcode == "fusion":
                    pending += inner.called

    def trips(self, loop: Instruction) -> int:
        """Returns how often the body of a loop runs; 1 where the text does not say.

        TPU's loops name no number. Their condition compares a counter with its one constant; the
        counter is a part of the loop's state that the body adds a constant to: 1 for a scan, 2
        where the compiler has put two steps into one, as in products that bring pieces of a matrix
        together while they compute.
        """
        known = re.search(r'known_trip_count":\{"n":"(\d+)"', loop.rest)
        if known:
            return int(known[1])
        body, condition = (self.by_name[_named(loop, key)] for key in ("body", "condition"))
        limits = [_value(condition, name) for name in condition]
        limits = [limit for limit in limits if limit is not None]
        if len(limits) != 1:
            return 1
        places = [int(m[1]) for i in condition.values() if (m := _INDEX.search(i.rest))]
        step, start = 1, 0
        if len(places) == 1:
            root = next(i for i in body.values() if i.is_root)
            counter = body.get(root.operands[places[0]]) if root.opcode == "tuple" else None
            if counter is not None and counter.opcode == "add":
                step = next(filter(None, (_value(body, n) for n in counter.operands)), 1)
            around = self.by_name[self.home[loop.name]]
            state = around.get(loop.operands[0])
            if state is not None and state.opcode == "tuple":
                start = _value(around, state.operands[places[0]]) or 0
        return max(-(-(limits[0] - start) // step), 0)

    @cached_property
    def by_name(self) -> Mapping[str, Mapping[str, Instruction]]:
        """Each instruction by computation and name."""
        return {
            name: {instruction.name: instruction for instruction in instructions}
            for name, instructions in self.computations.items()
        }

    @cached_property
    def home(self) -> Mapping[str, str]:
        """The computation of each instruction, by its name."""
        return {i.name: name for name, found in self.computations.items() for i in found}


def read_module(text: str) -> Module:
    """Reads what `compiled.as_text()` returns."""
    computations: dict[str, list[Instruction]] = {}
    entry, now = "", None
    for line in _CONTINUED.sub(" ", text).splitlines():
        head = _HEAD.match(line)
        if head:
            now = computations.setdefault(head[2], [])
            entry = head[2] if head[1] else entry
        elif now is not None and (found := _LINE.match(line)):
            instruction = _instruction(found[2], found[3], bool(found[1]))
            if instruction is not None:
                now.append(instruction)
    return Module({name: tuple(found) for name, found in computations.items()}, entry)


def _instruction(name: str, text: str, is_root: bool) -> Instruction | None:
    opcode = _OPCODE.search(text.partition(", metadata=")[0])
    if opcode is None:
        return None
    operands = _OPERAND.findall(text[opcode.end() : _closing(text, opcode.end())])
    start = opcode.start()
    return Instruction(name, text[:start], opcode[1], tuple(operands), text[start:], is_root)


def _value(names: Mapping[str, Instruction], name: str) -> int | None:
    """Returns the whole number that an instruction gives, if it is a constant or a copy of one."""
    found = names.get(name)
    while found is not None and found.opcode in ("copy", "bitcast"):
        found = names.get(found.operands[0])
    constant = None if found is None else _CONSTANT.match(found.rest)
    return int(constant[1]) if constant else None


def _closing(text: str, start: int) -> int:
    """Returns where the parenthesis ends that was opened before `start`."""
    depth = 1
    for found in re.compile(r"[()]").finditer(text, start):
        depth += 1 if found[0] == "(" else -1
        if not depth:
            return found.start()
    return len(text)


def _named(instruction: Instruction, key: str) -> str:
    found = re.search(rf"{key}=%?([\w.\-]+)", instruction.rest)
    assert found is not None, f"{instruction.name} has no {key}"
    return found[1]


def size_of(dtype: str) -> int:
    """Returns the bits of a number of XLA's types."""
    if dtype in _BITS:
        return _BITS[dtype]
    found = re.search(r"\d+", dtype)
    return int(found[0]) if found else 8
