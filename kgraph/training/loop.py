"""The loops: epochs of training, and an evaluation."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from kgraph.training.agreement import Agreement, Alone, Wish
from kgraph.training.callbacks import CallbackList
from kgraph.training.doubts import warn_of_loss
from kgraph.training.engine import Engine
from kgraph.training.evaluation import Evaluation
from kgraph.training.interrupt import Preempted
from kgraph.training.job import Form, Job
from kgraph.training.placement import shared_call
from kgraph.training.progress import Progress

Logs: TypeAlias = dict[str, float]


class Work(Protocol):
    """Batches on their way through a function, in order."""

    def more(self) -> bool:
        """Tells whether there is another one."""
        ...

    def run(self, limit: int) -> int:
        """Hands over at least one and at most `limit` of them; returns how many."""
        ...

    def close(self) -> None:
        """Lets go of threads and files."""
        ...


class TrainingWork(Work, Protocol):
    """Batches to train on.

    Attributes:
        examples: how many rows the last `run` handed over.
        form: what their inputs look like.
    """

    examples: int
    form: Form


class Watch(Protocol):
    """What wants to know how far a training is, so that it can be continued."""

    def most_steps(self, step_of_epoch: int) -> int | None:
        """Returns how many steps may pass before it wants to be asked again; None for any."""
        ...

    def after_block(self, epoch: int, step_of_epoch: int, work: Work) -> None:
        """Comes after each block."""
        ...

    def is_due(self, epoch_end: bool) -> bool:
        """Tells whether it wants to save now."""
        ...

    def save(self) -> None:
        """Comes after a block, if it wanted to save or another process did."""
        ...

    def after_epoch(self, epoch: int, logs: Logs, last: bool, stopped: bool, due: bool) -> None:
        """Comes after the callbacks of an epoch: the last, because something stopped training?

        Args:
            epoch: its index.
            logs: its logs.
            last: whether training ends with it.
            stopped: whether something else than the number of epochs ends it.
            due: whether it wanted to save, or another process did.
        """
        ...

    def preempted(self) -> None:
        """Comes when the process has to end: last chance to save."""
        ...


class Unwatched:
    """A watch that does nothing."""

    def most_steps(self, step_of_epoch: int) -> int | None:
        return None

    def after_block(self, epoch: int, step_of_epoch: int, work: Work) -> None:
        pass

    def is_due(self, epoch_end: bool) -> bool:
        return False

    def save(self) -> None:
        pass

    def after_epoch(self, epoch: int, logs: Logs, last: bool, stopped: bool, due: bool) -> None:
        pass

    def preempted(self) -> None:
        raise Preempted(saved=False)


@dataclass
class Fit:
    """A training: everything that the loop over epochs asks.

    Fields:
        engine: running.
        epochs: indices of the epochs, from 0.
        work: returns the steps of an epoch from a batch on: `work(epoch, start)`.
        callbacks: told of epochs, and of batches if one of them listens.
        progress: shows how far it is.
        should_stop: asked after each batch hook and each epoch.
        validate: returns the logs of validation (without `val_`) after an epoch, or None.
        exhausted: whether the data have ended for good.
        finished: told of each epoch whose steps are done, before callbacks are.
        watch: told of blocks and epochs.
        start: batch of the first epoch to begin with; its accumulators then go on.
        job: told what the time goes into.
        logs: of the last epoch that has ended.
    """

    engine: Engine
    epochs: range
    work: Callable[[int, int], TrainingWork]
    callbacks: CallbackList
    progress: Progress
    should_stop: Callable[[], bool]
    validate: Callable[[int], Logs | None]
    exhausted: Callable[[], bool]
    finished: Callable[[int], None]
    watch: Watch = field(default_factory=Unwatched)
    start: int = 0
    job: Job = field(default_factory=Job)
    logs: Logs = field(default_factory=dict)
    _begin: tuple[int, int] = (0, 0)  # the running epoch, and the steps before it

    def run(self) -> None:
        """Trains. Nothing is fetched from the device but for display and at the end of epochs.

        Ctrl-C says how far the training has come.
        """
        call = shared_call(self.engine.placement)
        agreement = Alone() if call is None else Agreement(call)
        self.engine.guard.decides = call is None
        self._begin = self.epochs.start, int(self.engine.state.step) - self.start
        try:
            self._run(agreement)
            if self.job.profile is not None:
                self.job.profile.warn_if_too_late()
        except Preempted:
            self.watch.preempted()
            raise
        except KeyboardInterrupt as interrupt:
            if call is None and not interrupt.args:
                epoch, before = self._begin
                done = int(self.engine.state.step) - before
                interrupt.args = (f"stopped after step {done} of epoch {epoch + 1}; weights kept",)
            raise
        finally:
            if self.job.profile is not None:
                self.job.profile.end()

    def _run(self, agreement: Alone) -> None:
        start, logs, count = self.start, {}, 0
        for epoch in self.epochs:
            self._begin = epoch, self._begin[1] + count
            if start:  # the saved state has already had what callbacks do at the beginning
                with self.engine.unchanged():
                    self.callbacks.on_epoch_begin(epoch)
            else:
                self.engine.reset_metrics()
                self.callbacks.on_epoch_begin(epoch)
            self.progress.epoch_begin(epoch)
            with self.job.spending("steps"):
                count = self._steps(epoch, start, agreement)
                ended = self.engine.logs() if count else {}  # has waited for all steps
            start = 0
            if count == 0:
                self.watch.after_epoch(epoch - 1, logs, True, True, True)
                break
            self.finished(epoch)
            before, logs = logs, ended
            warn_of_loss(logs, before, self.engine.program)
            self.progress.update(count, logs.copy)  # so the time is known
            validated = self.validate(epoch)
            if validated is not None:
                logs.update({f"val_{key}": value for key, value in validated.items()})
            self.callbacks.on_epoch_end(epoch, logs)
            self.logs = logs
            self.progress.epoch_end(logs)
            agreed = agreement.after_epoch(self._wish(epoch_end=True))
            stopped = agreed is Wish.STOP
            last = stopped or epoch + 1 == self.epochs.stop
            self.watch.after_epoch(epoch, logs, last, stopped, agreed >= Wish.SAVE)
            if last:
                break
            if agreed is Wish.LEAVE:
                raise Preempted

    def _steps(self, epoch: int, start: int, agreement: Alone) -> int:
        """Runs the steps of an epoch; returns how many it has."""
        listens = self.callbacks.wants_batches("train")
        count = start
        with contextlib.closing(self.work(epoch, start)) as work:
            while self._more(work):
                if listens:
                    self.callbacks.on_train_batch_begin(count)
                count += self._block(work, self._limit(count, listens))
                self.progress.update(count - self.engine.throttle.waiting, self.engine.logs)
                if listens:
                    self.callbacks.on_train_batch_end(count - 1, self.engine.logs())
                self.watch.after_block(epoch, count, work)
                agreed = agreement.after_block(self._wish(stops=listens))
                if agreed is Wish.LEAVE:
                    raise Preempted
                if agreed is Wish.STOP:
                    break
                if agreed is Wish.SAVE:
                    self.watch.save()
        return count

    def _more(self, work: TrainingWork) -> bool:
        with self.job.spending("data"):
            return work.more()

    def _limit(self, count: int, listens: bool) -> int:
        """Returns how many steps the next block of an epoch may have at most."""
        if listens or self.engine.checks_finite:
            return 1
        profile = self.job.profile
        bounds = self.watch.most_steps(count), profile and profile.most_steps()
        size = self.engine.throttle.pace.next_size()
        return min([size, *(bound for bound in bounds if bound is not None)])

    def _block(self, work: TrainingWork, limit: int) -> int:
        """Hands over a block; returns how many steps it has."""
        job, wait = self.job, self.engine.throttle.wait
        if job.profile is not None:
            with job.spending("other"):
                job.profile.before_block(wait)
        steps = work.run(limit)
        job.handed_over(steps, work.examples, work.form)
        if job.profile is not None:
            with job.spending("other"):
                job.profile.after_block(steps, wait)
        return steps

    def _wish(self, stops: bool = True, epoch_end: bool = False) -> Wish:
        """Returns what this process wants. `stops` tells whether it may stop just now."""
        if epoch_end and (self.should_stop() or self.exhausted()):
            return Wish.STOP
        if self.engine.guard.terminated:
            return Wish.LEAVE
        if stops and self.should_stop():
            return Wish.STOP
        return Wish.SAVE if self.watch.is_due(epoch_end) else Wish.GO_ON


def evaluate(
    work: Work,
    evaluation: Evaluation,
    engine: Engine,
    callbacks: CallbackList,
    progress: Progress | None,
) -> Logs:
    """Returns the logs of evaluating all batches of `work` with `evaluation`."""
    listens = callbacks.wants_batches("test")
    callbacks.on_test_begin()
    count = 0
    with contextlib.closing(work):
        while work.more():
            if listens:
                callbacks.on_test_batch_begin(count)
            count += work.run(1 if listens else engine.test_throttle.pace.next_size())
            if listens:
                callbacks.on_test_batch_end(count - 1, evaluation.logs())
            if progress is not None:
                progress.update(count - engine.test_throttle.waiting, evaluation.logs)
            if not engine.is_elsewhere:
                engine.guard.check()
            if callbacks.asked_to("stop_evaluating"):
                break
    logs = evaluation.logs()
    if progress is not None:
        progress.update(count, logs.copy)  # the fetch has waited
    evaluation.end()
    callbacks.on_test_end(logs)
    return logs
