"""evaluate and predict."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from kgraph.data import ArraySource, is_dataset, make_source
from kgraph.errors import DataError
from kgraph.graph.structure import fill
from kgraph.models.fitting import (
    Data,
    check_data,
    evaluation_work,
    graph_of,
    in_larger_batches,
    open_data,
    place_rows,
    prediction_batches,
    show_compilation,
)
from kgraph.models.limits import limited_steps
from kgraph.models.session import Session
from kgraph.training.callbacks import CallbackList
from kgraph.training.evaluation import Evaluation
from kgraph.training.loop import Logs, evaluate
from kgraph.training.objective import Objective
from kgraph.training.prediction import Predictor, predict_rows, predict_stream
from kgraph.training.progress import Progress
from kgraph.types import Tree


class Evaluating(Session):
    """The part of a model that evaluates and predicts."""

    _predictor: Predictor | None = None

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
        """Returns the loss, or a list of loss and metrics, or (`return_dict`) a dict of them.

        Args:
            x, y, sample_weight: as in `fit`.
            batch_size: rows at once. By default 32, or more where rows do not depend on each other
                and memory allows it.
            verbose: 0 silent, 1 bar, 2 one line, "auto".
            steps: batches to evaluate; by default all there are.
            callbacks: a list of Callback objects.
            return_dict: whether to return a dict by name.
        """
        self._require_compiled("evaluate")
        batch_size, steps = limited_steps(x, batch_size, steps)
        source = make_source(x, y, sample_weight, batch_size, shuffle=False, steps_per_epoch=steps)
        data = open_data(self, source)
        engine = self.engine_for(data.first)
        check_data(self, data, engine)
        call_list = CallbackList(callbacks, self, {"steps": source.steps})
        self._create_values(engine.program)
        each = 1
        if batch_size is None and steps is None:
            each = in_larger_batches(data, self, engine.pads_evaluation, call_list, "test")
        if each == 1:  # else they come in few large batches, and none is needed twice
            place_rows(data, engine.placement)
        progress = Progress(verbose, 1, source.steps, each=each)
        evaluation = Evaluation(engine)
        with progress, self._showing(progress):
            progress.epoch_begin(0)
            work = evaluation_work(evaluation, self, engine, data, steps)
            logs = evaluate(work, evaluation, engine, call_list, progress)
            progress.epoch_end(logs)
        return answer(engine.objective, logs, return_dict)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Tree:
        """Returns the outputs for all rows as NumPy arrays, in the structure of the outputs.

        Args:
            x: as in `fit`.
            batch_size, verbose, steps, callbacks: as in `evaluate`.
        """
        if not is_dataset(x) and number_of_rows(x) == 0:
            return self._no_rows()
        batch_size, steps = limited_steps(x, batch_size, steps)
        source = make_source(x, None, None, batch_size, shuffle=False, steps_per_epoch=steps)
        data = open_data(self, source)
        data.first = data.first._replace(targets=[], weights=[])
        check_data(self, data, None)
        inference = self.inference_for()
        call_list = CallbackList(callbacks, self, {"steps": source.steps})
        if self._predictor is None or self._predictor.inference is not inference:
            self._predictor = Predictor(inference, self.compiler, self._placement())
        each = 1
        if batch_size is None and steps is None:
            each = in_larger_batches(data, self, self._predictor.pads, call_list, "predict")
        if each == 1 and not call_list.wants_batches("predict"):
            place_rows(data, self._placement())
        progress = Progress(verbose, 1, source.steps, each=each)
        with progress, self._showing(progress):
            progress.epoch_begin(0)
            outputs = self._predict(data, call_list, progress, steps)
            progress.epoch_end({})
        if outputs is None:
            raise DataError("The data gave no batch to predict on")
        return fill(graph_of(self).output_structure, outputs)

    def _predict(
        self, data: Data, callbacks: CallbackList, progress: Progress, steps: int | None
    ) -> list[np.ndarray] | None:
        predictor, source = self._predictor, data.source
        assert predictor is not None
        callbacks.on_predict_begin()
        if data.rows is not None:
            assert isinstance(source, ArraySource)
            found = predict_rows(
                predictor, source, data.rows, lambda done: progress.update(done, dict)
            )
        else:
            listener = callbacks if callbacks.wants_batches("predict") else None
            batches = prediction_batches(self, data, steps)
            found = predict_stream(
                predictor, batches, lambda done: progress.update(done, dict), listener
            )
        callbacks.on_predict_end()
        return found

    def metrics_direction(self, key: str) -> str | None:
        """Returns "up" if more is better for a key in logs, "down" if less is, None if unknown."""
        key = key.removeprefix("val_")
        if key == "loss" or key.endswith("_loss"):
            return "down"
        tracked = self._engine.objective.tracked if self._engine is not None else []
        return next((t.metric.direction for t in tracked if t.key == key), None)

    def _no_rows(self) -> Tree:
        """Returns outputs with 0 rows, in shape and dtype as for data with rows."""
        graph = self._known_lowering_graph()
        specs = [graph.spec(ref) for ref in graph.outputs]
        empty = [np.zeros((0, *(d or 0 for d in s.shape[1:])), s.dtype) for s in specs]
        return fill(graph.output_structure, empty)

    @contextlib.contextmanager
    def _showing(self, progress: Progress) -> Iterator[None]:
        """Tells a display about compilations within the block."""
        before = self.compiler.notice
        self.compiler.notice = show_compilation(progress)
        try:
            yield
        finally:
            self.compiler.notice = before

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Returns the loss and metrics of one batch."""
        return self.evaluate(
            x, y, number_of_rows(x) or 1, 0, sample_weight, return_dict=return_dict
        )

    def predict_on_batch(self, x: Any) -> Tree:
        """Returns the outputs of one batch as NumPy arrays."""
        return self.predict(x, batch_size=number_of_rows(x) or 1, verbose=0)


def number_of_rows(x: Any) -> int | None:
    """Returns the rows of arrays in any nesting; None for what has none."""
    arrays = list(x.values()) if isinstance(x, Mapping) else x
    arrays = arrays if isinstance(arrays, (list, tuple)) else [arrays]
    shape = getattr(arrays[0], "shape", None) if arrays else None
    return shape[0] if shape else None


def answer(objective: Objective, logs: Logs, return_dict: bool) -> Any:
    """Returns logs in the form that Keras' methods return: a number, a list, or a dict."""
    if return_dict:
        return logs
    values = objective.in_order(logs)
    return values[0] if len(values) == 1 else values
