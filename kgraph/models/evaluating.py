"""evaluate and predict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from kgraph.data import ArraySource, is_dataset, make_source
from kgraph.distribution.together import together
from kgraph.errors import DataError
from kgraph.graph.graph import Graph
from kgraph.graph.structure import fill
from kgraph.interrupts import held
from kgraph.models.data import (
    Data,
    answer,
    check_data,
    compilations,
    evaluation_work,
    in_larger_batches,
    is_one_batch,
    number_of_rows,
    open_data,
    place_rows,
    prediction_batches,
)
from kgraph.models.limits import limited_steps
from kgraph.training.callbacks import CallbackList
from kgraph.training.evaluation import Evaluation
from kgraph.training.loop import evaluate as run_evaluation
from kgraph.training.prediction import Predictor, predict_rows, predict_stream
from kgraph.training.progress import Progress
from kgraph.training.stateful_prediction import StatefulPredictor
from kgraph.types import CallbackLike, DataLike, Verbose

if TYPE_CHECKING:
    from kgraph.models.model import Model


def evaluate(
    self: Model,
    x: DataLike | None = None,
    y: DataLike | None = None,
    batch_size: int | None = None,
    verbose: Verbose = "auto",
    sample_weight: DataLike | None = None,
    steps: int | None = None,
    callbacks: CallbackLike | None = None,
    return_dict: bool = False,
) -> Any:
    """Returns the loss, or a list of loss and metrics, or (`return_dict`) a dict of them.

    Args:
        x, y, sample_weight: as in `fit`.
        batch_size: rows at once. By default 32, or more where rows do not depend on each other and
            memory allows it.
        verbose: 0 silent, 1 bar, 2 one line, "auto".
        steps: batches to evaluate; by default all there are.
        callbacks: a list of Callback objects.
        return_dict: whether to return a dict by name.
    """
    trainer = self._kgraph.trainer
    trainer.require_compiled("evaluate")
    batch_size, steps = limited_steps(x, batch_size, steps)
    with held(), together("evaluate"):
        source = make_source(x, y, sample_weight, batch_size, shuffle=False, steps_per_epoch=steps)
        data = open_data(trainer.feed_for, source)
        engine = trainer.engine_for(data.like, data.feed)
        check_data(data, engine)
        call_list = CallbackList(callbacks, self, {"steps": source.steps})
        trainer.programs.create_values(engine.program)
        each = 1
        if batch_size is None and steps is None:
            each = in_larger_batches(data, engine.pads_evaluation, call_list, "test")
        # One batch, or few large ones, are not needed twice.
        if each == 1 and not is_one_batch(data.source):
            place_rows(data, engine.placement)
        progress = Progress(verbose, 1, source.steps, each=each)
        evaluation = Evaluation(engine, data.like)
        with progress, trainer.compiler.telling(compilations(progress)):
            progress.epoch_begin(0)
            work = evaluation_work(evaluation, engine, data, steps)
            logs = run_evaluation(work, evaluation, engine, call_list, progress)
            progress.epoch_end(logs)
    return answer(engine, logs, return_dict)


def predict(
    self: Model,
    x: DataLike,
    batch_size: int | None = None,
    verbose: Verbose = "auto",
    steps: int | None = None,
    callbacks: CallbackLike | None = None,
) -> Any:
    """Returns the outputs for all rows as NumPy arrays, in the structure of the outputs.

    Args:
        x: as in `fit`.
        batch_size, verbose, steps, callbacks: as in `evaluate`.
    """
    trainer = self._kgraph.trainer
    if not is_dataset(x) and number_of_rows(x) == 0:
        return _no_rows(trainer.programs.known_live.graph)
    with held(), together("predict"):
        source = make_source(x, None, None, batch_size, shuffle=False, steps_per_epoch=steps)
        data = open_data(trainer.feed_for_predictions, source)
        data.first = data.first._replace(targets=[], weights=[])
        check_data(data, None)
        predictor = trainer.predictor(data.feed)
        call_list = CallbackList(callbacks, self, {"steps": source.steps})
        each = 1
        if batch_size is None and steps is None:
            each = in_larger_batches(data, predictor.pads, call_list, "predict")
        listened = call_list.wants_batches("predict")
        one_by_one = listened or predictor.keeps_state
        if each == 1 and not one_by_one and not is_one_batch(data.source):
            place_rows(data, predictor.placement)
        progress = Progress(verbose, 1, source.steps, each=each)
        with progress, trainer.compiler.telling(compilations(progress)):
            progress.epoch_begin(0)
            outputs = _predict(predictor, data, call_list, progress, steps)
            progress.epoch_end({})
    if outputs is None:
        raise DataError("The data gave no batch to predict on")
    if isinstance(predictor, StatefulPredictor) and predictor.own_step is not None:
        return jax.tree.unflatten(predictor.own_step.structure, outputs)
    return fill(trainer.programs.known_live.graph.result_structure, outputs)


def _predict(
    predictor: Predictor,
    data: Data,
    callbacks: CallbackList,
    progress: Progress,
    steps: int | None,
) -> list[np.ndarray] | None:
    def told(done: int) -> None:
        progress.update(done, dict)

    callbacks.on_predict_begin()
    if data.rows is not None:
        assert isinstance(data.source, ArraySource)
        found = predict_rows(predictor, data.source, data.rows, told)
    else:
        listener = callbacks if callbacks.wants_batches("predict") else None
        arrays = isinstance(data.source, ArraySource)
        room = predictor.sizes.room(data.first.rows) if is_one_batch(data.source) else 0
        batches = prediction_batches(data, steps)
        found = predict_stream(predictor, batches, arrays, room, told, listener)
    callbacks.on_predict_end()
    return found


def _no_rows(graph: Graph) -> Any:
    """Returns outputs with 0 rows, in shape and dtype as for data with rows."""
    specs = [graph.spec(ref) for ref in graph.outputs]
    empty = [np.zeros((0, *(d or 0 for d in s.shape[1:])), s.dtype) for s in specs]
    return fill(graph.result_structure, empty)


def evaluate_on_batch(
    self: Model,
    x: DataLike,
    y: DataLike | None = None,
    sample_weight: DataLike | None = None,
    return_dict: bool = False,
) -> Any:
    """Returns the loss and metrics of one batch."""
    return evaluate(self, x, y, number_of_rows(x) or 1, 0, sample_weight, return_dict=return_dict)


def predict_on_batch(self: Model, x: DataLike) -> Any:
    """Returns the outputs of one batch as NumPy arrays."""
    return predict(self, x, batch_size=number_of_rows(x) or 1, verbose=0)
