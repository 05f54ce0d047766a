"""fit: the stateful face of training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kgraph.checks import check_count
from kgraph.data import Source, check_validation_split, make_source, refuse_with_dataset
from kgraph.data import split as split_rows
from kgraph.data.array_source import Shuffle
from kgraph.distribution.together import together
from kgraph.errors import ConfigError
from kgraph.hooks import is_overridden
from kgraph.interrupts import held
from kgraph.models.costing import row_flops
from kgraph.models.data import (
    Data,
    answer,
    check_data,
    compilations,
    number_of_rows,
    open_data,
    own_validation,
    place_rows,
    spread_batch,
    training_work,
    validator,
)
from kgraph.models.limits import limited_epochs, limited_steps
from kgraph.models.trainer import Trainer
from kgraph.saving import checkpoints
from kgraph.saving.files import pending
from kgraph.training import callbacks as callback_classes
from kgraph.training.callbacks import CallbackList, History
from kgraph.training.doubts import warn_of_doubts
from kgraph.training.engine import Engine
from kgraph.training.first_block import begin_batch, is_first
from kgraph.training.identity import training_identity
from kgraph.training.interrupt import Preempted
from kgraph.training.job import Job
from kgraph.training.loop import Fit
from kgraph.training.progress import Progress
from kgraph.training.recovery import Recovery, Saving, Start, Unsaved
from kgraph.types import CallbackLike, DataLike, Verbose

if TYPE_CHECKING:
    from kgraph.models.model import Model


def fit(
    self: Model,
    x: DataLike | None = None,
    y: DataLike | None = None,
    batch_size: int | None = None,
    epochs: int = 1,
    verbose: Verbose = "auto",
    callbacks: CallbackLike | None = None,
    validation_split: float = 0.0,
    validation_data: DataLike | None = None,
    shuffle: Shuffle = True,
    class_weight: Mapping[int, float] | None = None,
    sample_weight: DataLike | None = None,
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    validation_steps: int | None = None,
    validation_batch_size: int | None = None,
    validation_freq: int | Sequence[int] = 1,
    seed: int | None = None,
    checkpoint: checkpoints.Checkpoint | None = None,
    check_finite: bool = False,
) -> History:
    """Trains the model, and returns its History.

    Args:
        x: an array, a list in the order of the inputs, a dict by input name, or a dataset or
            generator of `x`, `(x, y)` or `(x, y, sample_weight)`.
        y: targets: an array, a list in the order of the outputs, or a dict by output name.
        batch_size: rows per step, 32 by default. The last batch may be smaller.
        epochs: index at which training ends (so, with `initial_epoch`, not a number of epochs).
        verbose: 0 silent, 1 bar, 2 one line per epoch, "auto".
        callbacks: a list of Callback objects.
        validation_split: part of the arrays, from their end, that is validated on.
        validation_data: `(x, y)` or `(x, y, sample_weight)`, or a dataset.
        shuffle: True for a new order each epoch, decided by the seed; "batch"; or False.
        class_weight: weight of each class, for a single output.
        sample_weight: weight of each row (and step).
        initial_epoch: index of the first epoch.
        steps_per_epoch: batches per epoch.
        validation_steps, validation_batch_size, validation_freq: as in Keras.
        seed: decides the order of rows and all random layers of this training; by default from
            `set_random_seed`'s stream, once per `compile`.
        checkpoint: where the training is saved as it goes. If there is a training in it
            already, `fit` goes on with that, in the middle of an epoch as well, and ends with
            the same weights, history and random numbers, bit for bit, as if it had never been
            interrupted (on the same device and versions). What it must have in common with
            that training says `kgraph/training/identity.py`. SIGTERM then saves and ends the
            process with exit status 75.
        check_finite: True looks for NaN and infinity after every step, which is slow, and
            raises an error that names the step and the first layer that gave one.

    Raises:
        StateError: the model is not compiled; the checkpoint is of another training; or (as
            NonFiniteError) `check_finite` found a number that is not finite.
        DataError: the data do not fit the model or each other; or processes that train together
            have unequal numbers of batches.
        ProcessError: another process that trains with this one has failed.
        OSError: the checkpoint cannot be written; or a save of the model in the background,
            of which nobody has heard, has failed before.

    Other threads may call, evaluate, predict with, copy and save the model meanwhile: they see the
    weights of a finished block of steps. What they set counts from the next block on.

    Ctrl-C, and exceptions in callbacks or data, leave the model with the weights of the last
    finished step, and `model.history` with the epochs before it.
    """
    trainer = self._kgraph.trainer
    trainer.require_compiled("fit")
    pending.raise_failed(self)
    initial_epoch = check_count("fit", "initial_epoch", initial_epoch, 0)
    epochs = limited_epochs(check_count("fit", "epochs", epochs, 0))
    batch_size, steps_per_epoch = limited_steps(x, batch_size, steps_per_epoch)
    if validation_split:
        check_validation_split(validation_split)
        refuse_with_dataset(x, validation_split=validation_split)
    if validation_split and validation_data is None:
        (x, y, sample_weight), apart = split_rows((x, y, sample_weight), validation_split)
        validation_data = apart
    checkpoint = _checkpoint(checkpoint, callbacks)
    placement = trainer.programs.placement()
    job = Job()
    saver = Unsaved() if checkpoint is None else Recovery(checkpoint, job)
    with (
        held(), trainer.alone(), _known(trainer, job), together("fit", Preempted), saver as recovery
    ):  # fmt: skip
        seeds = recovery.seeds(trainer.seeds(seed))
        source = make_source(
            x, y, sample_weight, batch_size, shuffle, steps_per_epoch, class_weight,
            int(seeds[0]) << 32 | int(seeds[1]),
        )  # fmt: skip
        recovery.require(lambda: training_identity(
            trainer.given() or {}, source, class_weight, seed, trainer.reached is not None,
            placement and placement.distribution,
        ))  # fmt: skip
        base = 0 if trainer.reached is None else int(trainer.reached.epoch)
        start = recovery.start or Start(initial_epoch, 0, base - initial_epoch)
        data, engine = _opened(trainer, source, recovery, start, recovery.is_over(epochs))
        warn_of_doubts(engine, data.first)
        reached = trainer.reached_by(engine, seeds)
        job.runs_on(engine.placement, row_flops(self), checkpoint is not None)
        self.history = history = History()
        params = {"verbose": verbose, "epochs": epochs, "steps": source.steps}
        call_list = CallbackList([callbacks, history], self, params)
        progress = Progress(0 if call_list.shows_progress else verbose, epochs, source.steps)
        size = validation_batch_size or batch_size
        how = validation_data, size, validation_steps, validation_freq
        if is_overridden(self, "evaluate"):
            validate = own_validation(self, *how, callbacks)
        else:
            validate = validator(trainer.feed_for, engine, *how, call_list, recovery.validation)
        metrics = recovery.restore(engine, reached)
        recovery.keep_example(data.example)
        begins = is_first(engine, reached) and not call_list.acts_first and start.epoch < epochs
        with job.spending("compile"):
            work = training_work(engine, data, start, recovery.position(), recovery.padded, begins)
        run = Fit(
            engine, range(start.epoch, epochs), work, call_list, progress,
            lambda: self.stop_training, validate, lambda: source.exhausted,
            lambda epoch: reached.count_epochs(start.number(epoch) + 1), recovery, start.batch, job,
        )  # fmt: skip
        self.stop_training = False
        engine.checks_finite = check_finite
        with (
            trainer.owning(engine, reached, metrics),
            trainer.compiler.telling(compilations(progress, job)),
        ):
            _train(run, recovery, start)
    return history


def _checkpoint(given: object, callbacks: CallbackLike | None) -> checkpoints.Checkpoint | None:
    """Returns the checkpoint that `fit` was given, or that of a BackupAndRestore."""
    if not isinstance(given, (checkpoints.Checkpoint, type(None))):
        raise ConfigError(
            "fit needs a Checkpoint to save the training", received=repr(given),
            hint=f"checkpoint=kgraph.Checkpoint({given!r})",
        )  # fmt: skip
    if given is None and callbacks is not None:
        return callback_classes.BackupAndRestore.checkpoint_among(callbacks)
    return given


@contextlib.contextmanager
def _known(trainer: Trainer, job: Job) -> Iterator[None]:
    """Lets callbacks know a job for as long as it runs: what they do later is not of a `fit`."""
    trainer.job = job
    try:
        yield
    finally:
        trainer.job = None


def _opened(
    trainer: Trainer, source: Source, recovery: Saving, start: Start, over: bool
) -> tuple[Data, Engine]:
    """Returns the data, checked and on their way to the device, and what trains on them."""
    if not over:
        recovery.seek(source)
    number = start.number(start.epoch)
    data = open_data(trainer.feed_for, source, number, start.batch, recovery.example(), over)
    if not over:
        recovery.check_rows(data.first.rows)
    engine = trainer.engine_for(data.like, data.feed)
    recovery.require(lambda: {"model": trainer.programs.fingerprint()})
    check_data(data, engine)
    place_rows(data, engine.placement, spare=True)
    return data, engine


def _train(run: Fit, recovery: Saving, start: Start) -> None:
    """Runs a fit from its first callback to its last."""
    run.callbacks.on_train_begin()
    recovery.begin(run.engine, run.callbacks, start)
    if not recovery.finished:
        with run.progress:
            run.run()
    run.engine.finalize()
    run.callbacks.on_train_end(dict(run.logs))


def train_on_batch(
    self: Model,
    x: DataLike,
    y: DataLike | None = None,
    sample_weight: DataLike | None = None,
    class_weight: Mapping[int, float] | None = None,
    return_dict: bool = False,
) -> Any:
    """Runs one training step on one batch and returns its loss and metrics.

    Each call hands the weights over and back. For a loop of your own, `kgraph.lower(model)` has
    the pure functions.
    """
    trainer = self._kgraph.trainer
    trainer.require_compiled("train_on_batch")
    rows = number_of_rows(x)
    source = make_source(x, y, sample_weight, rows or 1, shuffle=False, class_weight=class_weight)
    with held(), trainer.alone():
        data = open_data(trainer.feed_for, source)
        engine = trainer.engine_for(data.like, data.feed)
        check_data(data, engine)
        reached = trainer.reached_by(engine, trainer.seeds(None))
        batch = spread_batch(engine, data.first)
        if is_first(engine, reached):
            begin_batch(engine, *batch)
        with trainer.owning(engine, reached, alone=True):
            engine.train_batch(*batch)
            logs = engine.logs()
    return answer(engine, logs, return_dict)
