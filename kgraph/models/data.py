"""From the arguments of fit, evaluate and predict to batches on their way through the engine."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import jax

from kgraph.data import ArraySource, Source, make_source, unpack_x_y_sample_weight
from kgraph.errors import DataError
from kgraph.interrupts import heard, listening
from kgraph.models.limits import limited_steps
from kgraph.training.callbacks import CallbackList
from kgraph.training.callbacks.callback import Mode
from kgraph.training.device_rows import DeviceRows, fits_on_device, on_device
from kgraph.training.engine import Engine
from kgraph.training.evaluation import Evaluation
from kgraph.training.feed import Feed, GraphFeed, with_first
from kgraph.training.first_block import begin_batch
from kgraph.training.grouping import rows_at_once
from kgraph.training.job import Job
from kgraph.training.loop import Logs, TrainingWork, Work, evaluate
from kgraph.training.placement import Placement
from kgraph.training.progress import Progress
from kgraph.training.recovery import Start
from kgraph.training.rows_work import TestRows, TrainRows
from kgraph.training.step import Batch
from kgraph.training.stream_work import PaddedSize, Stream, for_one_device
from kgraph.training.validation_place import ValidationPlace
from kgraph.types import CallbackLike, DataLike

if TYPE_CHECKING:
    pass


FeedFor: TypeAlias = Callable[[Any, Any, Any], Feed]
"""Returns what makes batches flat, from the first of them: x, y and sample weights."""


@dataclass
class Data:
    """A source, what was taken off it, and its arrays on the device where they fit.

    Fields:
        feed: makes flat batches of them.
        source: gives the batches.
        first: the first batch, or all rows of an ArraySource, flat.
        begun: the batches of the first epoch, where an iterator has been started; else None.
        rows: all rows on the device, or None if batches come one by one.
        check: raises DataError for a batch that cannot be right; None if all rows were checked.
        example: a batch as the source gives it; None for an ArraySource.
    """

    feed: Feed
    source: Source
    first: Batch
    begun: Iterator[Any] | None
    rows: DeviceRows | None = None
    check: Callable[[Batch], None] | None = None
    example: Any = None

    @property
    def like(self) -> Batch:
        """Shapes and dtypes of one batch."""
        source, rows = self.source, self.first.rows
        if isinstance(source, ArraySource):
            rows = min(rows, source.batch_size)
        return jax.tree.map(
            lambda a: jax.ShapeDtypeStruct((rows, *a.shape[1:]), a.dtype), self.first
        )


def open_data(
    feed_for: FeedFor,
    source: Source,
    epoch: int = 0,
    start: int = 0,
    example: Any = None,
    over: bool = False,
) -> Data:
    """Takes a first look at the data, by which a subclassed model gets its graph.

    Args:
        feed_for: of the model that is to run on them.
        source: gives the batches.
        epoch, start: where to begin.
        example: stands for the first batch where there may be none: at the end of the data.
        over: whether no batch is wanted, so that the data are left alone.
    """
    if isinstance(source, ArraySource):
        feed = feed_for(*source.arrays)
        return Data(feed, source, feed.flat(*source.arrays), None)
    iterator = iter(()) if over else source.epoch(epoch, start)
    with heard():
        raw = next(iterator, None)
    begun = iter(()) if raw is None else with_first(raw, iterator)
    raw = example if raw is None else raw
    if raw is None:
        raise DataError("The data have no batch", hint="pass at least one row")
    feed = feed_for(*raw)
    return Data(feed, source, feed.flat(*raw), begun, example=raw)


def check_data(data: Data, engine: Engine | None) -> None:
    """Checks labels and ids: whole arrays now and once, batches as they come.

    Without an engine, for predictions, there are no labels.
    """
    feed = data.feed  # and not `data`: in a cycle, its iterator and threads would outlive the fit
    objective = None if engine is None else engine.objective

    def check(batch: Batch) -> None:
        feed.check(batch, objective)

    if isinstance(data.source, ArraySource):
        check(data.first)
    else:
        data.check = check


def place_rows(data: Data, placement: Placement | None, spare: bool = False) -> None:
    """Puts arrays on the device as a whole, if they fit: for data that are used more than once."""
    if isinstance(data.source, ArraySource) and fits_on_device(data.first, placement):
        data.rows = on_device(data.first, placement, spare)


def is_one_batch(source: Source) -> bool:
    """Tells whether arrays are one batch: it may have any size, and is padded to one of few."""
    return isinstance(source, ArraySource) and source.rows <= source.batch_size


def spread_batch(engine: Engine, batch: Batch) -> tuple[Batch, Any]:
    """Returns a batch for several devices, and which of its rows count; on one, as it is."""
    placement, kept = engine.placement, None
    size = training_size(engine, placement, lambda: engine.train_sizes.room(batch.rows))
    if size is not None:
        batch, kept = size.fit(batch)
    return (batch, kept) if placement is None else placement.batch((batch, kept), batch.rows)


def training_size(
    engine: Engine, placement: Placement | None, rows: Callable[[], int]
) -> PaddedSize | None:
    """Returns what pads batches to train on, at least to so many rows; None if nothing may."""
    if engine.pads_training:
        return PaddedSize(rows(), placement)
    # Processes that read rows of their own have to run the same program, whoever has few.
    if engine.pads_last and not (placement and placement.reads_own):
        return PaddedSize(rows(), placement, only_smaller=True)
    return None


def prepare(data: Data) -> Callable[[Any], Batch]:
    """Returns a function that makes a flat, checked batch of what a source yields."""
    feed, check = data.feed, data.check

    def make(raw: Any) -> Batch:
        batch = feed.flat(*raw)
        if check is not None:
            check(batch)
        return batch

    return make


def training_work(
    engine: Engine,
    data: Data,
    first: Start,
    position: Callable[[], Any] | None,
    padded: int = 0,
    begins: bool = False,
) -> Callable[[int, int], TrainingWork]:
    """Returns what gives the steps of an epoch, by its index and the batch to begin with.

    Args:
        engine: runs the steps.
        data: opened and checked.
        first: the place for which `data` was opened.
        position: tells where the data are; None where nobody wants to know.
        padded: rows to which batches were padded before the first; 0 for none.
        begins: whether XLA begins with the first block now.
    """
    source, placement = data.source, engine.placement
    if placement is not None:
        placement = placement.reading(isinstance(source, ArraySource), data.first.rows)
        usual = data.first.rows
        if isinstance(source, ArraySource):
            usual = min(source.batch_size, source.rows)
        placement.warn_of(usual, engine.pads_training)
    if data.rows is not None:
        assert isinstance(source, ArraySource)
        rows, arrays, made = data.rows, source, list[TrainRows]()

        def of_rows(epoch: int, start: int) -> TrainRows:
            number = first.number(epoch)
            return made.pop() if made else TrainRows(engine, arrays, rows, number, start)

        if begins:
            made.append(of_rows(first.epoch, first.batch))
            made[0].begin()
        return of_rows
    size = training_size(engine, placement, lambda: padded)
    if begins:
        one = jax.tree.map(lambda a: a[: data.like.rows], data.first)
        begun = (one, None) if size is None else size.fit(one)
        spread = placement and placement.batch(begun, begun[0].rows)
        begin_batch(engine, *(spread or for_one_device(begun)))

    def work(epoch: int, start: int) -> TrainingWork:
        begun = data.begun if (epoch, start) == (first.epoch, first.batch) else None
        raw = begun if begun is not None else source.epoch(first.number(epoch), start)
        make = prepare(data)
        return Stream(raw, make, engine.train_batch, size, position, placement=placement)

    return work


def evaluation_work(evaluation: Evaluation, engine: Engine, data: Data, most: int | None) -> Work:
    """Returns the batches of one evaluation, at most so many of them."""
    source = data.source
    if data.rows is not None:
        assert isinstance(source, ArraySource)
        return TestRows(evaluation, engine, source, data.rows)
    placement = engine.placement
    if placement is not None:
        placement = placement.reading(isinstance(source, ArraySource), data.first.rows)
    rows = engine.test_sizes.room(data.first.rows) if is_one_batch(source) else 0
    size = PaddedSize(rows, placement) if engine.pads_evaluation else None
    raw = data.begun if data.begun is not None else source.epoch(0)
    data.begun = None
    make = prepare(data)
    return Stream(raw, make, evaluation.batch, size, None, most, placement)


def in_larger_batches(
    data: Data, rows_are_independent: bool, callbacks: CallbackList, mode: Mode
) -> int:
    """Lets data for which no batch size was given be evaluated in larger batches than 32.

    Only where rows do not depend on each other, and nobody listens to batches. Returns how many
    batches of the size that users know one of them is.
    """
    source = data.source
    arrays = isinstance(source, ArraySource)
    if not arrays or not rows_are_independent or callbacks.wants_batches(mode):
        return 1
    if not isinstance(data.feed, GraphFeed):
        return 1
    size = rows_at_once(data.feed.live.graph)
    data.source = source.with_batch_size(size)
    return size // source.batch_size


def prediction_batches(data: Data, most: int | None) -> Iterator[Batch]:
    """Returns the batches to predict on, at most so many, one by one."""
    source = data.source
    raw = data.begun if data.begun is not None else source.epoch(0)
    make = prepare(data)
    flat = (make((x, None, None)) for x, _, _ in listening(raw))
    return flat if most is None else itertools.islice(flat, most)


def validator(
    feed_for: FeedFor,
    engine: Engine,
    given: object,
    batch_size: int | None,
    steps: int | None,
    frequency: int | Sequence[int],
    callbacks: CallbackList,
    place: ValidationPlace,
) -> Callable[[int], Logs | None]:
    """Returns a function that evaluates after an epoch, and returns None where none is due.

    Arrays are checked, and put on the device, once. An iterator goes on from its place.
    """
    if given is None:
        return lambda epoch: None
    if isinstance(given, (tuple, list)) and 1 <= len(given) <= 3:
        x, y, sample_weight = unpack_x_y_sample_weight(tuple(given))
    else:
        x, y, sample_weight = given, None, None
    size, steps = limited_steps(x, batch_size if y is not None else None, steps)
    source = make_source(x, y, sample_weight, size, False, steps)
    place.begin(source)
    if place.warn_if_ended():
        return lambda epoch: None
    data = open_data(feed_for, source)
    check_data(data, engine)
    place_rows(data, engine.placement)
    if batch_size is None and steps is None:
        in_larger_batches(data, engine.pads_evaluation, callbacks, "test")

    def validate(epoch: int) -> Logs | None:
        if not _is_due(epoch, frequency) or place.warn_if_ended():
            return None
        evaluation = Evaluation(engine, data.like)
        work = evaluation_work(evaluation, engine, data, steps)
        logs = evaluate(work, evaluation, engine, callbacks, None)
        place.moved(getattr(work, "taken", 0))
        return logs

    return validate


def own_validation(
    model: Any,
    given: object,
    batch_size: int | None,
    steps: int | None,
    frequency: int | Sequence[int],
    callbacks: CallbackLike | None,
) -> Callable[[int], Logs | None]:
    """Returns what validates by the `evaluate` of a model's class."""

    def validate(epoch: int) -> Logs | None:
        if given is None or not _is_due(epoch, frequency):
            return None
        data = tuple(given) if isinstance(given, (tuple, list)) else given
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        return model.evaluate(
            x=x, y=y, sample_weight=sample_weight, batch_size=batch_size, steps=steps, verbose=0,
            callbacks=callbacks, return_dict=True,
        )  # fmt: skip

    return validate


def _is_due(epoch: int, frequency: int | Sequence[int]) -> bool:
    """Tells whether there is a validation after an epoch."""
    number = epoch + 1
    return number % frequency == 0 if isinstance(frequency, int) else number in frequency


def compilations(progress: Progress, job: Job | None = None) -> Callable[[Any], None]:
    """Returns what tells a display about compilations, and keeps them out of the time per step."""
    shown, total, since = "", 0.0, None

    def notice(entry: Any) -> None:
        nonlocal shown, total, since
        if entry is None:
            since = time.monotonic() if since is None else since
            text = f"compiling {total + time.monotonic() - since:.0f} s"
        else:
            waited, since = time.monotonic() - (since or time.monotonic()), None
            progress.skip(waited)
            if job is not None:
                job.compiled(waited)
            total += entry.traced + entry.compiled  # of which some went by before
            text = f"compiling {total:.1f} s"
        progress.note(text, replaces=shown)
        shown = text

    return notice


def number_of_rows(x: DataLike) -> int | None:
    """Returns the rows of arrays in any nesting; None for what has none."""
    arrays = list(x.values()) if isinstance(x, Mapping) else x
    arrays = arrays if isinstance(arrays, (list, tuple)) else [arrays]
    shape = getattr(arrays[0], "shape", None) if arrays else None
    return shape[0] if shape else None


def answer(engine: Engine, logs: Logs, return_dict: bool) -> Any:
    """Returns logs in the form that Keras' methods return: a number, a list, or a dict."""
    if return_dict:
        return logs
    values = (engine.own or engine.objective).in_order(logs)
    return values[0] if len(values) == 1 else values
