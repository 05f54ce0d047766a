"""compile, fit, evaluate, predict: the stateful face of training."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from kgraph import optimizers
from kgraph.data import Source, check_validation_split, is_dataset, make_source, refuse_with_dataset
from kgraph.data import split as split_rows
from kgraph.errors import ConfigError, DataError, StateError
from kgraph.graph.structure import fill
from kgraph.models.session import Session
from kgraph.training.callbacks import CallbackList, History
from kgraph.training.engine import predictor
from kgraph.training.feed import check_ids, flat_batch, with_first
from kgraph.training.loop import evaluate_batches, fit_epochs, predict_batches
from kgraph.training.objective import CompileOptions, Objective, check_options
from kgraph.training.progress import Progress
from kgraph.training.step import Batch
from kgraph.types import Tree


class Trainable(Session):
    """The part of a model that trains it."""

    history: History | None = None
    _predict: Any = None

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Sets how the model is trained. A new call starts a new optimizer; weights stay.

        Args:
            optimizer: a name or object with Keras' numbers, or any optax transformation, which
                means what it means in optax.
            loss: a name, a Loss or a function of (y_true, y_pred); or a list with one for each
                output, or a dict by output name.
            loss_weights: factors of the outputs' losses in the total, as list or dict.
            metrics: names, Metric objects or functions; for several outputs a list of lists or a
                dict by output name. They ignore sample weights.
            weighted_metrics: the same, with sample weights.
            run_eagerly, steps_per_execution, jit_compile: accepted as in Keras; steps are always
                compiled.
            auto_scale_loss: accepted as in Keras.

        Raises:
            ConfigError: a name is unknown, or a dict has a key that is no output.
        """
        if isinstance(steps_per_execution, bool) or steps_per_execution < 1:
            raise ConfigError("steps_per_execution is at least 1", received=steps_per_execution)
        options = CompileOptions(loss, loss_weights, metrics, weighted_metrics)
        check_options(options, self.lowering_graph)
        self.optimizer = optimizers.get(optimizer)
        self._options = options
        self._engine = self._training = None
        self.stop_training = False

    # --- fit -------------------------------------------------------------------------------------

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: Any = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Sequence[int] = 1,
        seed: int | None = None,
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

        Raises:
            StateError: the model is not compiled.
            DataError: the data do not fit the model or each other.

        Ctrl-C, and exceptions in callbacks or data, leave the model with the weights of the last
        finished step, and `model.history` with the epochs before it.
        """
        self._require_compiled("fit")
        if self._running is not None:
            raise StateError(f"{self.label} is being trained already", hint="wait for that fit")
        _check_epochs(epochs, initial_epoch)
        if validation_split:
            check_validation_split(validation_split)
            refuse_with_dataset(x, validation_split=validation_split)
            if validation_data is None:
                (x, y, sample_weight), held = split_rows((x, y, sample_weight), validation_split)
                validation_data = held
        seeds = self._seed_words(seed)
        source = make_source(
            x, y, sample_weight, batch_size, shuffle, steps_per_epoch, class_weight,
            int(seeds[0]) << 32 | int(seeds[1]),
        )  # fmt: skip
        first, first_epoch = self._begin(source, self._epoch_base())
        engine = self._engine_for(flat_batch(self._known_lowering_graph(), *first))
        check = self._checker(engine.objective)
        checked = self._check_data(source, check)
        training = self._training_for(engine, seeds)
        base = int(training["epoch"])

        def batches_of(epoch: int) -> Generator[Batch, None, None]:
            started = first_epoch if epoch == initial_epoch else None
            raw = started if started is not None else source.epoch(base + epoch - initial_epoch)
            yield from self._flat(raw, None if checked else check)

        history = History()
        self.history = history
        steps = source.steps
        params = {"verbose": verbose, "epochs": epochs, "steps": steps}
        call_list = CallbackList([callbacks, history], self, params)
        progress = Progress(0 if call_list.shows_progress else verbose, epochs, steps)

        def finished(epoch: int) -> None:
            training["epoch"] = np.int32(base + epoch - initial_epoch + 1)

        validate = self._validator(
            engine, validation_data, validation_batch_size or batch_size, validation_steps,
            validation_freq, call_list, check,
        )  # fmt: skip
        self.stop_training = False
        with self._owning(engine, training):
            call_list.on_train_begin()
            with progress:
                fit_epochs(
                    engine, range(initial_epoch, epochs), batches_of, call_list, progress,
                    lambda: self.stop_training, validate, lambda: source.exhausted, finished,
                )  # fmt: skip
            engine.finalize()
            call_list.on_train_end()
        return history

    def _begin(self, source: Source, epoch: int) -> tuple[Any, Iterator[Any]]:
        """Returns the first batch of an epoch, and the batches of that epoch with it in front."""
        iterator = source.epoch(epoch)
        first = next(iterator, None)
        if first is None:
            raise DataError("The data have no batch", hint="pass at least one row")
        self.trace_for(first[0])
        return first, with_first(first, iterator)

    def _flat(self, raw: Iterator[Any], check: Any) -> Iterator[Batch]:
        graph = self._known_lowering_graph()
        for x, y, sample_weight in raw:
            batch = flat_batch(graph, x, y, sample_weight)
            if check is not None:
                check(batch)
            yield batch

    def _check_data(self, source: Source, check: Callable[[Batch], None]) -> bool:
        """Checks whole arrays once, on the host; returns whether there are any."""
        arrays = getattr(source, "arrays", None)
        if arrays is not None:
            check(flat_batch(self._known_lowering_graph(), *arrays))
        return arrays is not None

    def _checker(self, objective: Objective) -> Callable[[Batch], None]:
        """Returns a function that raises DataError for labels or ids that cannot be right."""
        graph = self._known_lowering_graph()
        shapes = [graph.spec(ref).shape for ref in graph.outputs]

        def check(batch: Batch) -> None:
            check_ids(self.lowering_layers, graph, batch.inputs)
            objective.check_labels(batch.targets, shapes)

        return check

    # --- evaluate and predict --------------------------------------------------------------------

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Returns the loss, or a list of loss and metrics, or (`return_dict`) a dict of them."""
        self._require_compiled("evaluate")
        source = make_source(x, y, sample_weight, batch_size, shuffle=False, steps_per_epoch=steps)
        first, epoch = self._begin(source, 0)
        engine = self._engine_for(flat_batch(self._known_lowering_graph(), *first))
        check = self._checker(engine.objective)
        checked = self._check_data(source, check)
        progress = Progress(verbose, 1, source.steps)
        call_list = CallbackList(callbacks, self, {"steps": source.steps})
        self.variables_of(engine.program)
        with engine.evaluating(), progress:
            progress.epoch_begin(0)
            batches = self._flat(epoch, None if checked else check)
            logs = evaluate_batches(engine, batches, call_list, progress, steps)
            progress.epoch_end(logs)
        if return_dict:
            return logs
        values = engine.objective.in_order(logs)
        return values[0] if len(values) == 1 else values

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Tree:
        """Returns the outputs for all rows as NumPy arrays, in the structure of the outputs."""
        if not is_dataset(x) and self._rows(x) == 0:
            return self._no_rows(x)
        source = make_source(x, None, None, batch_size, shuffle=False, steps_per_epoch=steps)
        _, epoch = self._begin(source, 0)
        program = self.program_for()
        self.variables_of(program)
        progress = Progress(verbose, 1, source.steps)
        call_list = CallbackList(callbacks, self, {"steps": source.steps})
        if self._predict is None or self._predict[0] is not program:
            self._predict = (program, predictor(program))
        only_x = ((x, None, None) for x, _, _ in epoch)
        with progress:
            progress.epoch_begin(0)
            outputs = predict_batches(
                self._predict[1], self._flat(only_x, self._check_ids), call_list, progress, steps
            )
            progress.epoch_end({})
        if outputs is None:
            raise DataError("The data gave no batch to predict on")
        return fill(self._known_lowering_graph().output_structure, outputs)

    def metrics_direction(self, key: str) -> str | None:
        """Returns "up" if more is better for a key in logs, "down" if less is, None if unknown."""
        key = key.removeprefix("val_")
        if key == "loss" or key.endswith("_loss"):
            return "down"
        tracked = self._engine.objective.tracked if self._engine is not None else []
        return next((t.metric.direction for t in tracked if t.key == key), None)

    def _check_ids(self, batch: Batch) -> None:
        check_ids(self.lowering_layers, self._known_lowering_graph(), batch.inputs)

    @staticmethod
    def _rows(x: Any) -> int | None:
        arrays = list(x.values()) if isinstance(x, Mapping) else x
        arrays = arrays if isinstance(arrays, (list, tuple)) else [arrays]
        shape = getattr(arrays[0], "shape", None) if arrays else None
        return shape[0] if shape else None

    def _no_rows(self, x: Any) -> Tree:
        """Returns outputs with 0 rows, in shape and dtype as for data with rows."""
        del x
        graph = self._known_lowering_graph()
        specs = [graph.spec(ref) for ref in graph.outputs]
        empty = [np.zeros((0, *(d or 0 for d in s.shape[1:])), s.dtype) for s in specs]
        return fill(graph.output_structure, empty)

    # --- one batch at a time ---------------------------------------------------------------------

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Runs one training step on one batch and returns its loss and metrics."""
        self._require_compiled("train_on_batch")
        rows = self._rows(x)
        source = make_source(
            x, y, sample_weight, rows or 1, shuffle=False, class_weight=class_weight
        )
        raw, _ = self._begin(source, 0)
        batch = flat_batch(self._known_lowering_graph(), *raw)
        engine = self._engine_for(batch)
        self._check_data(source, self._checker(engine.objective))
        training = self._training_for(engine, self._seed_words(None))
        with self._owning(engine, training):
            engine.train(batch)
            logs = engine.logs()
        return self._answer(engine.objective, logs, return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Returns the loss and metrics of one batch."""
        return self.evaluate(x, y, self._rows(x) or 1, 0, sample_weight, return_dict=return_dict)

    def predict_on_batch(self, x: Any) -> Tree:
        """Returns the outputs of one batch as NumPy arrays."""
        return self.predict(x, batch_size=self._rows(x) or 1, verbose=0)

    @staticmethod
    def _answer(objective: Objective, logs: dict[str, Any], return_dict: bool) -> Any:
        if return_dict:
            return logs
        values = objective.in_order(logs)
        return values[0] if len(values) == 1 else values


def _check_epochs(epochs: Any, initial_epoch: Any) -> None:
    for name, value in (("epochs", epochs), ("initial_epoch", initial_epoch)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
            raise ConfigError(
                f"fit needs a whole number of at least 0 as {name}", received=repr(value)
            )
