"""Recovery: a training that saves itself as it goes, and goes on from there bit for bit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from kgraph.data import IterableSource
from kgraph.distribution.coordination import is_leader
from kgraph.errors import StateError
from kgraph.interrupts import heard
from kgraph.saving import checkpoints
from kgraph.source import warn
from kgraph.training.abstract_step import abstract_state
from kgraph.training.callback_states import join_arrays, like_arrays, split_arrays
from kgraph.training.callbacks import Callback, CallbackList
from kgraph.training.callbacks.callback import give_state, state_of
from kgraph.training.engine import Engine
from kgraph.training.identity import Identity, check_identity
from kgraph.training.job import Job
from kgraph.training.loop import Logs, Unwatched, Work
from kgraph.training.own_places import check_rows, gather_places, own_place
from kgraph.training.reached import Reached
from kgraph.training.state import TrainState
from kgraph.training.validation_place import ValidationPlace

VERSION = 1


@dataclass(frozen=True)
class Start:
    """Where a training begins.

    Fields:
        epoch: index of the epoch.
        batch: of that epoch.
        offset: what to add to an epoch's index to get its number in the data: a model that was
            trained before goes on with another order of rows.
    """

    epoch: int
    batch: int
    offset: int

    def number(self, epoch: int) -> int:
        """Returns the number in the data of the epoch with this index."""
        return epoch + self.offset


class Unsaved(Unwatched):
    """A training that nobody saves: it begins at its beginning. See `Recovery`."""

    start: Start | None = None
    padded = 0
    finished = False

    def __init__(self) -> None:
        self.validation = ValidationPlace()

    def __enter__(self) -> Unsaved:
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def require(self, identity: Callable[[], Identity]) -> None:
        pass

    def seeds(self, fresh: np.ndarray) -> np.ndarray:
        return fresh

    def is_over(self, epochs: int) -> bool:
        return False

    def example(self) -> Any:
        return None

    def check_rows(self, rows: int) -> None:
        pass

    def keep_example(self, batch: Any) -> None:
        pass

    def seek(self, source: Any) -> None:
        pass

    def position(self) -> Callable[[], Any] | None:
        return None

    def restore(self, engine: Engine, reached: Reached) -> Any:
        return None

    def begin(self, engine: Engine, callbacks: CallbackList, start: Start) -> None:
        pass


class Recovery:
    """Saves a training to a checkpoint while it runs, and reads where to go on.

    What is saved: parameters, layer state, optimizer state, accumulators of metrics, key, step,
    epoch and batch, position in the data (and those of validation), history, and the state of
    callbacks that have any.

    Args:
        checkpoint: the folder.
        job: told what time saving and going on have taken.

    Attributes:
        start: where to go on, None for a training that has no checkpoint yet.
        padded: rows to which batches were padded: sums over other numbers of rows round otherwise.
        finished: whether something other than the number of epochs had ended the training.
        validation: where the validation data are.
    """

    def __init__(self, checkpoint: checkpoints.Checkpoint, job: Job) -> None:
        self.start: Start | None = None
        self.padded, self.finished = 0, False
        self.validation = ValidationPlace()
        self._checkpoint, self._job = checkpoint, job
        self._identity: dict[str, Any] = {}
        self._meta: dict[str, Any] | None = None
        self._key = np.zeros(2, np.uint32)
        self._engine: Engine | None = None
        self._start: Start | None = None
        self._callbacks: dict[str, Callback] = {}
        self._states: dict[str, Any] = {}
        self._get_position: Callable[[], Any] | None = None
        self._steps = self._first_step = self._batch = 0
        self._at: tuple[int, int, Any] = (0, 0, None)
        self._example: Any = None

    def __enter__(self) -> Recovery:
        self._checkpoint.open()
        try:
            with self._job.spending("restore"):
                self._read()
        except BaseException:
            self._checkpoint.close()
            raise
        return self

    def _read(self) -> None:
        if self._checkpoint.latest() is not None:
            meta: dict[str, Any] = self._checkpoint.read_meta()
            _check_version(meta)
            self._meta = meta
            self.start = Start(*(meta[name] for name in ("epoch", "batch", "offset")))
            self.finished, self.padded = meta["finished"], meta["padded"]
            position, validation = own_place(meta)
            self.validation.restore(validation)
            self._batch = self.start.batch
            self._at = (self.start.epoch, self.start.batch, position)
            if "job" in meta:  # earlier versions did not save it
                self._job.resume(meta["job"])

    def __exit__(self, *error: Any) -> None:
        self._checkpoint.__exit__(*error)  # keeps the user's own exception in front

    # --- going on --------------------------------------------------------------------------------

    def require(self, identity: Callable[[], Identity]) -> None:
        """Compares something of this training with the saved one; it is saved from now on.

        Raises:
            StateError: the checkpoint belongs to another training.
        """
        own = identity()
        if self._meta is not None:
            own = check_identity(self._meta["identity"], own, self._checkpoint.strict)
        self._identity.update(own)

    def seeds(self, fresh: np.ndarray) -> np.ndarray:
        """Returns the raw key of the training: the saved one, or this one."""
        saved = None if self._meta is None else self._meta["key"]
        self._key = fresh if saved is None else np.array(saved, np.uint32)
        return self._key

    def is_over(self, epochs: int) -> bool:
        """Tells whether there is nothing left to train until epoch `epochs`."""
        return self.finished or (self.start is not None and self.start.epoch >= epochs)

    def example(self) -> Any:
        """Returns a batch of the saved training, in shape and dtype; None for arrays."""
        if self._meta is None or self._meta["example"] is None:
            return None
        plain, specs = self._meta["example"]
        return join_arrays(plain, like_arrays(specs))

    def check_rows(self, rows: int) -> None:
        """Compares the rows that this process reads with what all have read together.

        Raises:
            StateError: there are other processes now, and a batch of them all has other rows.
        """
        if self._meta is not None:
            check_rows(self._meta, rows)

    def keep_example(self, batch: Any) -> None:
        """Saves from now on what a batch of these data looks like."""
        if batch is not None:
            plain, arrays = split_arrays(batch)
            self._example = [plain, _specs(arrays)]

    def seek(self, source: Any) -> None:
        """Brings data that move on by themselves to where they were."""
        self._get_position = getattr(source, "get_position", None)
        if isinstance(source, IterableSource):
            source.followed = True
        if self._meta is not None and self._get_position is not None:
            with heard(), self._job.spending("restore"):
                source.set_position(self._at[2], self._meta["batches"])

    def position(self) -> Callable[[], Any] | None:
        """Returns what tells where the data are; None for data of which epoch and batch say all."""
        return self._get_position

    def restore(self, engine: Engine, reached: Reached) -> Any:
        """Sets weights and `reached` to what was saved.

        Returns the accumulators, or None.
        """
        self._steps = int(reached.step)
        self._first_step = self._steps
        if self._meta is None:
            return None
        arrays = self._meta["callback_arrays"]
        template = {
            "state": abstract_state(engine, engine.program.weights.layout),
            "callbacks": like_arrays(arrays),
        }
        with self._job.spending("restore"):
            saved, meta = self._checkpoint.restore(None, template)
        state: TrainState = saved["state"]
        program = engine.program
        values = program.weights.layout.by_weight(state.variables)
        for place in program.weights.places:
            place.weight.assign(values[id(place.weight)])
        number = np.int32(meta["epoch"] + meta["offset"])
        reached.optimizer = engine.packing.restored(state.optimizer)
        reached.step, reached.epoch = state.step, number
        assert engine.optimizer is not None
        engine.optimizer._kgraph_adopt_rate(state.optimizer)
        if meta["learning_rate"] is not None:  # the host's number, of which the state has float32
            engine.optimizer.learning_rate = meta["learning_rate"]
        self._steps, self._first_step = meta["step"], meta["step"] - meta["batches"]
        self._states = join_arrays(meta["callbacks"], saved["callbacks"])
        return state.metrics

    def begin(self, engine: Engine, callbacks: CallbackList, start: Start) -> None:
        """Comes when the engine runs and callbacks have begun: they get their states back."""
        self._engine, self._start = engine, start
        names = [type(callback).__name__ for callback in callbacks.callbacks]
        self._callbacks = {
            f"{name} {names[:place].count(name)}": callback
            for place, (name, callback) in enumerate(zip(names, callbacks.callbacks))
        }
        engine.guard.defer()
        for name, state in self._states.items():
            if name in self._callbacks:
                give_state(self._callbacks[name], state)
        lost = [
            name for name, state in self._states.items() if state and name not in self._callbacks
        ]
        if lost:
            warn(f"The checkpoint has the states of callbacks that are not given now: {lost}")

    # --- saving (a Watch) ------------------------------------------------------------------------

    def most_steps(self, step_of_epoch: int) -> int | None:
        """Returns how many steps there are to the next save that is due by steps."""
        every = self._checkpoint.every
        return every - self._steps % every if isinstance(every, int) else None

    def after_block(self, epoch: int, step_of_epoch: int, work: Work) -> None:
        """Saves if that is due by the number of steps, which is so in all processes."""
        self._steps += step_of_epoch - self._batch
        self._batch = step_of_epoch
        self.padded = getattr(work, "rows", 0)
        self._at = (epoch, step_of_epoch, getattr(work, "position", None))
        if isinstance(self._checkpoint.every, int) and self.is_due(False):
            self.save()

    def is_due(self, epoch_end: bool) -> bool:
        """Tells whether a save is due; where time decides, by the clock of the first process."""
        by_time = not isinstance(self._checkpoint.every, (int, type(None)))
        if by_time and not is_leader():
            return False
        return self._checkpoint.due(self._steps, epoch_end, time.monotonic())

    def save(self) -> None:
        with self._job.spending("save"):
            self._save()

    def after_epoch(self, epoch: int, logs: Logs, last: bool, stopped: bool, due: bool) -> None:
        """Saves if that is due at the end of an epoch; always after the last."""
        self._batch = 0
        self._at = (epoch + 1, 0, self._at[2])
        if last or due:
            with self._job.spending("save"):
                self._save(logs, finished=stopped, last=last)

    def preempted(self) -> None:
        """Saves at once: the process is to end."""
        self._save(wait=True)

    def _save(
        self, logs: Logs | None = None, finished: bool = False, last: bool = False,
        wait: bool = False,
    ) -> None:  # fmt: skip
        engine, start = self._engine, self._start
        assert engine is not None
        assert engine.optimizer is not None
        assert start is not None
        engine.sync_learning_rate()
        states = {name: state_of(callback) for name, callback in self._callbacks.items()}
        plain, arrays = split_arrays(states)
        epoch, batch, position = self._at
        validation = self.validation.saved()
        meta = {
            "version": VERSION, "identity": self._identity, "epoch": epoch, "batch": batch,
            "offset": start.offset, "finished": finished, "step": self._steps,
            "batches": self._steps - self._first_step, "position": position,
            "key": [int(word) for word in self._key], "callbacks": plain,
            "learning_rate": engine.optimizer._kgraph_host_rate,
            "callback_arrays": _specs(arrays), "example": self._example,
            "padded": self.padded, "validation": validation,
            "places": gather_places(engine, [position, validation]), "job": self._job.saved(last),
        }  # fmt: skip
        tree = {"state": engine.plain_state, "callbacks": arrays}
        self._checkpoint.save(self._steps, tree, meta, logs, wait=wait)


def _check_version(meta: Any) -> None:
    if meta.get("version") != VERSION:
        raise StateError(
            "The checkpoint was written by another version of kgraph's fit",
            expected=VERSION,
            received=meta.get("version"),
        )


def _specs(arrays: list[np.ndarray]) -> list[Any]:
    return [[list(a.shape), str(a.dtype)] for a in arrays]


Saving: TypeAlias = Unsaved | Recovery
"""A training with or without a checkpoint."""
