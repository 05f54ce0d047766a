"""How much memory a training step needs, from the compiled step, before there are any data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from kgraph.compiler.executables import shapes_of
from kgraph.errors import ConfigError, StateError
from kgraph.tables import readable
from kgraph.training.abstract_step import abstract_step
from kgraph.training.compilation import Compiler
from kgraph.training.engine import Engine
from kgraph.training.state import TrainState
from kgraph.training.step import Batch
from kgraph.types import Array

_MOST_STEPS = 24


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on the device for one training step on one batch, as the compiler plans it.

    Of several devices, these are the bytes on each.

    Fields:
        batch_size: rows of the batch.
        arguments: weights, optimizer state, metrics and the batch.
        outputs: all of that but the batch, after the step.
        aliased: outputs that take the place of arguments, which are given away to the step.
        temporary: everything in between: activations, gradients, work space.
    """

    batch_size: int
    arguments: int
    outputs: int
    aliased: int
    temporary: int

    @property
    def total(self) -> int:
        """The most that is needed at once."""
        return self.arguments + self.outputs - self.aliased + self.temporary

    def __repr__(self) -> str:
        parts = {
            "arguments": self.arguments, "outputs": self.outputs, "aliased": self.aliased,
            "temporary": self.temporary, "total": self.total,
        }  # fmt: skip
        lines = [f"  {name:<10}{readable(n):>12}" for name, n in parts.items()]
        return "\n".join([f"Memory of a training step, batch {self.batch_size}", *lines])


def step_memory(engine: Engine, batch: Batch, compiler: Compiler) -> Memory:
    """Returns what the compiler plans for one training step.

    Args:
        engine: whose step.
        batch: abstract arrays.
        compiler: makes the executable.

    Raises:
        StateError: this backend does not say.
    """
    step = abstract_step(engine, batch)

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Array]:
        state = step(state, batch)
        return state, state.step

    form = (("batch", batch.rows), ("data", shapes_of(batch)))
    placed = None
    if engine.placement is not None:
        placed = (step.results, engine.placement.distribution.replicated)
    args = (step.state, step.batch)
    executable: Any = compiler.compile("memory forecast", train_step, (0,), form, args, placed)
    try:
        found = executable.memory_analysis()
        return Memory(
            batch.rows, found.argument_size_in_bytes, found.output_size_in_bytes,
            found.alias_size_in_bytes, found.temp_size_in_bytes,
        )  # fmt: skip
    except (AttributeError, NotImplementedError, RuntimeError) as error:
        raise StateError(
            "This device does not say how much memory a step needs",
            received=jax.default_backend(),
        ) from error


def largest_batch(measure: Callable[[int], int], limit: int, start: int, most: int) -> int:
    """Returns the largest batch whose memory is within a limit.

    Memory grows almost linearly with the batch, so each size to try is where the line through the
    last two measurements crosses the limit; the answer itself has been measured.

    Args:
        measure: the bytes of a batch size.
        limit: bytes.
        start: size to begin with.
        most: no size above it is tried.

    Raises:
        ConfigError: not even one row fits.
    """
    known: dict[int, int] = {}

    def fits(size: int) -> bool:
        known[size] = measure(size)
        return known[size] <= limit

    low, high = 0, most + 1
    size = min(start, most)
    for _ in range(_MOST_STEPS):
        if fits(size):
            low = size
        else:
            high = size
        if high - low <= 1:
            break
        guess = _crossing(known, limit) if len(known) > 1 else 2 * size if low else size // 2
        size = min(max(guess, low + 1), high - 1)
    if not low:
        raise ConfigError(
            "Not even a batch of one row fits", expected=f"at least {readable(known[min(known)])}",
            received=readable(limit),
        )  # fmt: skip
    return low


def _crossing(known: dict[int, int], limit: int) -> int:
    """Returns where the line through the two measurements next to the limit crosses it."""
    a, b = sorted(sorted(known, key=lambda size: abs(known[size] - limit))[:2])
    slope = (known[b] - known[a]) / (b - a)
    if slope <= 0:
        return 2 * b
    return int(a + (limit - known[a]) / slope)
