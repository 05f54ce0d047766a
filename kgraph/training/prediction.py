"""predict: outputs of many batches, written into host memory that is made once."""

from __future__ import annotations

import contextlib
import math
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.compiler import Program
from kgraph.data import ArraySource
from kgraph.training.blocks import Cut, predict_blocks
from kgraph.training.callbacks import CallbackList
from kgraph.training.compilation import Compiler, Function, shapes_of
from kgraph.training.device_rows import DeviceRows, padded_batch
from kgraph.training.pace import Pace, Throttle
from kgraph.training.padding import loops_well, padding_is_exact
from kgraph.training.step import Batch, make_predict
from kgraph.types import Array, Tree

_ALL = sys.maxsize

_CHUNK_BYTES = 64 * 2**20
"""How much of the outputs is kept on the device before it is fetched."""


class Predictor:
    """The compiled predictions of a program.

    Args:
        program: what to run.
        compiler: makes the executables.
    """

    def __init__(self, program: Program, compiler: Compiler) -> None:
        self.program, self._compiler = program, compiler
        self.throttle = Throttle(Pace())
        self._predict = make_predict(program)
        self._one = Function(compiler, "predict (one batch)", self._predict)
        self._blocks: dict[Cut, Function] = {}
        self._loops: bool | None = None

    @cached_property
    def pads(self) -> bool:
        """Whether a smaller batch may be padded."""
        return padding_is_exact(self.program, None, False)

    def loops(self, batch: Batch, size: int) -> bool:
        """Tells whether batches of such rows may run in a loop on the device."""
        if self._loops is None:
            well = loops_well(self.program, batch.inputs, size, jax.default_backend())
            self._loops = not self._compiler.eager and well
        return self._loops

    def variables(self) -> Tree:
        """Returns the weights as they are now."""
        values = {id(place.weight): place.weight.value for place in self.program.places}
        return self.program.nest(values)

    def batch(self, variables: Tree, batch: Batch) -> list[Array]:
        """Returns the outputs of one batch, on the device."""
        form = (("data", shapes_of(batch.inputs)), ("variables", shapes_of(variables)))
        with self._eagerly():
            return self._one(form, variables, batch.inputs)

    def shapes(self, variables: Tree, batch: Batch) -> list[Any]:
        """Returns shape and dtype of each output for a batch like this."""
        return jax.eval_shape(self._predict, variables, batch.inputs)

    def block(
        self, variables: Tree, found: list[Array], rows: DeviceRows, cut: Cut, base: int,
        start: int, stop: int,
    ) -> list[Array]:  # fmt: skip
        """Returns `found`, which begins at row `base`, with the batches `start` to `stop`."""
        if cut not in self._blocks:
            made = predict_blocks(self._predict, cut)
            self._blocks[cut] = Function(self._compiler, "predict", made, donate=(1,))
        form = (
            ("batch", (cut.size, cut.padded)), ("data", rows.form), ("found", shapes_of(found)),
            ("variables", shapes_of(variables)),
        )  # fmt: skip
        bounds = np.int32(base), np.int32(start), np.int32(stop)
        args = (variables, found, rows.batch, *bounds)
        executable = self._blocks[cut].prepared(form, *args)
        self.throttle.ready()
        with self._eagerly():
            found, ticket = executable(*args)
        self.throttle.sent(ticket, stop - start)
        return found

    def _eagerly(self) -> contextlib.AbstractContextManager[Any]:
        return jax.disable_jit() if self._compiler.eager else contextlib.nullcontext()


def predict_rows(
    predictor: Predictor, source: ArraySource, rows: DeviceRows, told: Callable[[int], None]
) -> list[np.ndarray]:
    """Returns the outputs for arrays on the device.

    Args:
        predictor: runs the program.
        source: what decides the size of batches and how many there are.
        rows: its arrays, on the device.
        told: called with the number of batches done.
    """
    variables = predictor.variables()
    size = min(source.batch_size, source.rows)
    steps = min(-(-source.rows // size), source.steps)
    total = min(steps * size, source.rows)
    tail = total % size if total == source.rows and not predictor.pads else 0
    example = jax.tree.map(lambda a: a[:size], rows.batch)
    shapes = predictor.shapes(variables, example)
    results = [np.empty((total, *s.shape[1:]), s.dtype) for s in shapes]
    cut = Cut(size, source.rows % size > 0 and predictor.pads, predictor.loops(rows.batch, size))
    whole = steps - (tail > 0)
    for low, high, found, base in _chunks(predictor, variables, rows, cut, shapes, whole, told):
        high = min(high, total)
        for result, array in zip(results, found):
            result[low:high] = np.asarray(array)[low - base : high - base]
    if tail:  # the model mixes rows: a smaller batch cannot be padded
        last = jax.tree.map(lambda a: a[total - tail :], rows.batch)
        for result, array in zip(results, predictor.batch(variables, last)):
            result[total - tail :] = np.asarray(array)
        told(steps)
    return results


def _chunks(
    predictor: Predictor, variables: Tree, rows: DeviceRows, cut: Cut, shapes: Sequence[Any],
    steps: int, told: Callable[[int], None],
) -> Iterator[tuple[int, int, list[Array], int]]:  # fmt: skip
    """Yields (first row, row after the last, outputs, row with which these begin), one chunk late.

    While one chunk is copied to the host, the device is at the next.
    """
    count = rows.batch.rows
    batch_bytes = sum(math.prod(s.shape) * s.dtype.itemsize for s in shapes)
    chunk = max(1, min(steps, _CHUNK_BYTES // max(batch_bytes, 1)))
    waiting: deque[tuple[int, int, list[Array], int]] = deque()
    for first in range(0, steps, chunk):
        stop = min(first + chunk, steps)
        held = min(chunk * cut.size, count)
        base = min(first * cut.size, count - held)
        found = [jnp.zeros((held, *s.shape[1:]), s.dtype) for s in shapes]
        done = first
        while done < stop:
            until = min(stop, done + (predictor.throttle.pace.next_size() if cut.looped else 1))
            found = predictor.block(variables, found, rows, cut, base, done, until)
            told(done := until)
        for array in found:
            array.copy_to_host_async()
        waiting.append((first * cut.size, stop * cut.size, found, base))
        if len(waiting) > 1:
            yield waiting.popleft()
    yield from waiting
    predictor.throttle.fetched()


def predict_stream(
    predictor: Predictor,
    batches: Iterator[Batch],
    told: Callable[[int], None],
    listener: CallbackList | None,
) -> list[np.ndarray] | None:
    """Returns the outputs of all batches, joined; None if there was no batch.

    A batch is fetched while the next one is computed, unless somebody listens.

    Args:
        predictor: runs the program.
        batches: on the device or the host.
        told: called with the number of batches done.
        listener: told of each batch and its outputs.
    """
    variables = predictor.variables()
    found: list[list[np.ndarray]] = []
    waiting: deque[tuple[int, list[Array]]] = deque()
    most = 0

    def fetch() -> None:
        rows, outputs = waiting.popleft()
        found.append([np.asarray(output)[:rows] for output in outputs])

    for number, batch in enumerate(batches):
        if listener is not None:
            listener.on_predict_batch_begin(number)
        most = max(most, batch.rows)
        given = padded_batch(batch, most) if predictor.pads else batch
        outputs = predictor.batch(variables, given)
        # What has no row for each row of the batch is not cut.
        waiting.append((batch.rows if given.rows != batch.rows else _ALL, outputs))
        while len(waiting) > (1 if listener is None else 0):
            fetch()
        if listener is not None:
            listener.on_predict_batch_end(number, {"outputs": found[-1]})
        told(number + 1)
    while waiting:
        fetch()
    return [np.concatenate(parts) for parts in zip(*found)] if found else None
