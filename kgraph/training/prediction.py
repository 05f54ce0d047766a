"""predict: outputs of many batches, written into host memory that is made once."""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import jax
import numpy as np

from kgraph.compiler.executables import shapes_of
from kgraph.compiler.inference import Inference
from kgraph.data import ArraySource
from kgraph.distribution.together import wait_for_devices
from kgraph.layers.base.first_keys import root_key
from kgraph.training.blocks import Cut, on_one_device, predict_blocks
from kgraph.training.callbacks import CallbackList
from kgraph.training.compilation import Compiler, Function
from kgraph.training.device_rows import DeviceRows, padded_batch
from kgraph.training.pace import Pace, Throttle
from kgraph.training.padding import loops_well, padding_is_exact
from kgraph.training.placement import Placement, as_before, shared_call
from kgraph.training.sizes import Sizes
from kgraph.training.step import Batch, Given, make_predict
from kgraph.types import Array, Tree

_ALL = sys.maxsize

_CHUNK_BYTES = 64 * 2**20
"""How much of the outputs is kept on the device before it is fetched."""


class Predictor:
    """The compiled predictions of a program.

    Args:
        inference: what to run, with its weights.
        compiler: makes the executables.
        placement: where arrays lie on several devices; None for one device.
    """

    keeps_state = False

    def __init__(
        self, inference: Inference, compiler: Compiler, placement: Placement | None = None
    ) -> None:
        self.inference, self._compiler, self.placement = inference, compiler, placement
        self._reading = placement
        self.program = program = inference.program
        folded = ", BatchNormalization folded" if program.folds else ""
        self._name = f"predict ({folded[2:]})" if folded else "predict"
        self.throttle = Throttle(Pace(None if placement is None else placement.block_size(None)))
        self._predict = jax.jit(make_predict(program))  # so it is traced once for a form of data
        whole = None if placement is None else placement.distribution.replicated
        placed = None if whole is None else lambda _: whole
        self._one = Function(compiler, f"predict (one batch{folded})", self._predict, (), placed)
        self._blocks: dict[Cut, Function] = {}
        self.sizes = Sizes()
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

    def given(self) -> Given:
        """Returns the weights as they are now, and a new key where one is needed."""
        key = root_key() if self.program.draws_always else None
        return Given(self.inference.variables(), key)

    def batch(self, given: Given, batch: Batch, number: int) -> tuple[list[Array], Given]:
        """Returns the outputs of one batch, on the device, and what the next is predicted with."""
        form = (("data", shapes_of(batch.inputs)), ("variables", shapes_of(given.variables)))
        with self._compiler.eagerly():
            return self._one(form, given, batch.inputs, np.int32(number)), given

    def end(self, given: Given) -> None:
        """Comes after the last batch."""

    def shapes(self, given: Given, batch: Batch) -> list[Any]:
        """Returns shape and dtype of each output for a batch like this."""
        return jax.eval_shape(self._predict, given, batch.inputs, np.int32(0))

    def block(
        self, given: Given, found: list[Array], rows: DeviceRows, cut: Cut, base: int,
        start: int, stop: int,
    ) -> list[Array]:  # fmt: skip
        """Returns `found`, which begins at row `base`, with the batches `start` to `stop`."""
        if cut not in self._blocks:
            spread, placed = on_one_device, None
            if self.placement is not None:
                spread = self.placement.spread(self.pads)
                placed = as_before(1, self.placement.distribution.replicated)
            made = predict_blocks(self._predict, cut, spread)
            self._blocks[cut] = Function(self._compiler, self._name, made, (1,), placed)
        form = (
            ("batch", (cut.size, cut.padded)), ("data", rows.form), ("found", shapes_of(found)),
            ("variables", shapes_of(given.variables)),
        )  # fmt: skip
        bounds = np.int32(base), np.int32(start), np.int32(stop)
        args = (given, found, rows.batch, *bounds)
        executable = self._blocks[cut].prepared(form, *args)
        self.throttle.ready()
        with self._compiler.eagerly():
            found, ticket = executable(*args)
        self.throttle.sent(ticket, stop - start)
        return found

    def put_whole(self, tree: Tree) -> Any:
        """Returns arrays on the device; of several, whole on each."""
        return jax.device_put(tree) if self.placement is None else self.placement.whole(tree)

    def fit(self, batch: Batch, most: int) -> Batch:
        """Returns a batch from the host ready to be run: padded, where that may be, and spread.

        Args:
            batch: some rows.
            most: how many rows it is to have, if it may be padded.
        """
        if self._reading is None:
            return padded_batch(batch, most) if self.pads else batch
        filled = padded_batch(batch, self._reading.rounded(most)) if self.pads else batch
        return self._reading.batch(filled, filled.rows)

    def read(self, arrays: bool, rows: int) -> None:
        """Takes in what is to be predicted on: see `BatchPlacement.reading`."""
        self._reading = self.placement and self.placement.reading(arrays, rows)

    def own(self, output: np.ndarray) -> np.ndarray:
        """Returns the rows of a batch's output that this process has read the data of."""
        placement = self._reading
        if placement is None or not placement.reads_own:
            return output
        rows = placement.agreed * placement.distribution.num_processes
        return output[placement.own_rows()] if output.shape[:1] == (rows,) else output


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
    given = predictor.given()
    size = min(source.batch_size, source.rows)
    steps = min(-(-source.rows // size), source.steps)
    total = min(steps * size, source.rows)
    tail = total % size if total == source.rows and not predictor.pads else 0
    example = jax.tree.map(lambda a: a[:size], rows.batch)
    shapes = predictor.shapes(given, example)
    results = [np.empty((total, *s.shape[1:]), s.dtype) for s in shapes]
    looped = steps > 1 and predictor.loops(rows.batch, size)
    cut = Cut(size, source.rows % size > 0 and predictor.pads, looped)
    whole = steps - (tail > 0)
    for low, high, found, base in _chunks(predictor, given, rows, cut, shapes, whole, told):
        high = min(high, total)
        for result, array in zip(results, found):
            result[low:high] = np.asarray(array)[low - base : high - base]
    if tail:  # the model mixes rows: a smaller batch cannot be padded
        last = jax.tree.map(lambda a: a[total - tail :], rows.batch)
        for result, array in zip(results, predictor.batch(given, last, whole)[0]):
            result[total - tail :] = np.asarray(array)
        told(steps)
    return results


def _chunks(
    predictor: Predictor, given: Given, rows: DeviceRows, cut: Cut, shapes: Sequence[Any],
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
        found = predictor.put_whole([np.zeros((held, *s.shape[1:]), s.dtype) for s in shapes])
        done = first
        while done < stop:
            until = min(stop, done + (predictor.throttle.pace.next_size() if cut.looped else 1))
            found = predictor.block(given, found, rows, cut, base, done, until)
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
    arrays: bool,
    room: int,
    told: Callable[[int], None],
    listener: CallbackList | None,
) -> list[np.ndarray] | None:
    """Returns the outputs of all batches, joined; None if there was no batch.

    A batch is fetched while the next one is computed, unless somebody listens.

    Args:
        predictor: runs the program.
        batches: on the device or the host.
        arrays: whether they are cut from arrays, which each of several processes has whole.
        room: rows to which batches are padded at least, where they can be.
        told: called with the number of batches done.
        listener: told of each batch and its outputs.
    """
    call = shared_call(predictor.placement)
    if call is not None:
        call.begin_data()
    given = predictor.given()
    found: list[list[np.ndarray]] = []
    waiting: deque[tuple[int, list[Array]]] = deque()
    most = room

    def fetch() -> None:
        rows, outputs = waiting.popleft()
        wait_for_devices(outputs)
        found.append([predictor.own(np.asarray(output))[:rows] for output in outputs])

    for number, batch in enumerate(batches):
        if number == 0:
            predictor.read(arrays, batch.rows)
        if call is not None:
            call.took_batch()
        if listener is not None:
            listener.on_predict_batch_begin(number)
        most = max(most, batch.rows)
        filled = predictor.fit(batch, most)
        outputs, given = predictor.batch(given, filled, number)
        # What has no row for each row of the batch is not cut.
        waiting.append((batch.rows if filled.rows != batch.rows else _ALL, outputs))
        while len(waiting) > (1 if listener is None else 0):
            fetch()
        if listener is not None:
            listener.on_predict_batch_end(number, {"outputs": found[-1]})
        told(number + 1)
        if listener is not None and listener.asked_to("stop_predicting"):
            break
    if call is not None:
        call.end_data()
    while waiting:
        fetch()
    predictor.end(given)
    return [np.concatenate(parts) for parts in zip(*found)] if found else None
