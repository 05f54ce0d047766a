"""compile and fit: the stateful face of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from kgraph import optimizers
from kgraph.compiler import Pass
from kgraph.compiler.lower import Remat, Stacking, check_stacking
from kgraph.data import check_validation_split, make_source, refuse_with_dataset
from kgraph.data import split as split_rows
from kgraph.distribution.current import check_distribution
from kgraph.distribution.current import distribution as in_force
from kgraph.errors import ConfigError
from kgraph.models.evaluating import Evaluating, answer, number_of_rows
from kgraph.models.fitting import (
    check_data,
    open_data,
    place_rows,
    refuse_several_processes,
    spread_batch,
    training_work,
    validator,
)
from kgraph.models.limits import limited_epochs, limited_steps
from kgraph.saving import checkpoints
from kgraph.saving.files import pending
from kgraph.training import callbacks as callback_classes
from kgraph.training.callbacks import CallbackList, History
from kgraph.training.compile_options import CompileOptions, check_options
from kgraph.training.custom_loss import LossFn
from kgraph.training.identity import training_identity
from kgraph.training.loop import Fit
from kgraph.training.progress import Progress
from kgraph.training.recovery import Recovery, Start, Unsaved
from kgraph.types import Tree

if TYPE_CHECKING:
    from kgraph.distribution.base import Distribution


class Trainable(Evaluating):
    """The part of a model that trains it."""

    history: History | None = None

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int | Literal["auto"] = "auto",
        jit_compile: bool | Literal["auto"] = "auto",
        auto_scale_loss: bool = True,
        loss_fn: LossFn | None = None,
        stack: Stacking = "auto",
        remat: Remat | None = None,
        passes: Sequence[Pass] | None = None,
        distribution: Distribution | None = None,
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
            run_eagerly: True runs steps as plain Python, operation by operation, to look into them
                with prints and debuggers. Slow.
            steps_per_execution: how many steps go to the device at once, for data that are arrays;
                "auto" chooses it from the measured time of a step. It changes no result.
            jit_compile: False is the same as `run_eagerly=True`.
            auto_scale_loss: wraps the optimizer into a LossScaleOptimizer if the model computes in
                float16, whose small gradients would vanish.
            loss_fn: a pure function that computes the loss in the place of `loss`, for models whose
                loss is not a sum over outputs: `loss_fn(program, variables, batch, key)` returns
                the loss, a scalar, and a dict. `program` and `variables` are as in
                `kgraph.lower`; `batch` has the fields `x`, `y` and `sample_weight`; `key` is a JAX
                key in training and None in evaluation. Of the dict, "state" is the new state of the
                layers, "outputs" the model's outputs (metrics need them), and every other entry a
                scalar that is logged. Regularizers count only if it adds
                `program.penalties(variables["params"])`.
            stack: whether repeated blocks are computed by one body, so that the time to compile
                does not grow with their number; see `kgraph.lower`.
            remat: "blocks", the name of a policy of `jax.checkpoint`, or names of layers: what is
                computed again in the backward pass, to save memory; see `kgraph.lower`.
            passes: what to run over the graph in the place of the standard pipeline, in this
                order; () runs none, and losses are then computed from the outputs as they are.
                Predictions run them as well.
            distribution: how weights and batches are spread over several devices, in `fit`,
                `evaluate`, `predict` and calls; by default what `set_distribution` has put in
                force, if anything. `print(distribution.plan(model))` shows what lies where.

        Raises:
            ConfigError: a name is unknown, a dict has a key that is no output, or a weight does not
                fit its layout.
        """
        if steps_per_execution != "auto" and (
            not isinstance(steps_per_execution, int)
            or isinstance(steps_per_execution, bool)
            or steps_per_execution < 1
        ):
            raise ConfigError(
                'steps_per_execution is "auto", or at least 1', received=repr(steps_per_execution)
            )
        if loss_fn is not None and not (loss is None and loss_weights is None):
            raise ConfigError(
                "A loss_fn takes the place of loss and loss_weights", hint="give one of the two"
            )
        check_stacking(stack, remat)
        options = CompileOptions(loss, loss_weights, metrics, weighted_metrics, loss_fn)
        check_options(options, self.lowering_graph)
        check_distribution(distribution)
        distribution = in_force() if distribution is None else distribution
        if distribution is not None and self.lowering_graph is not None:
            distribution.plan(self).warn_of_unused()
        made = optimizers.get(optimizer)
        scales = made.loss_scale_factor is not None or isinstance(
            made, optimizers.LossScaleOptimizer
        )
        if auto_scale_loss and not scales and self._computes_in_float16():
            made = optimizers.LossScaleOptimizer(made)
        self.optimizer = made
        self._options, self._distribution = options, distribution
        self._engine = self._training = None
        self._forget_programs()
        self._eager = run_eagerly or jit_compile is False
        self._stack, self._remat = (False if self._eager else stack), remat
        self._passes = None if passes is None else tuple(passes)
        self._block_size = None if steps_per_execution == "auto" else steps_per_execution
        self.stop_training = False

    def _computes_in_float16(self) -> bool:
        return any(layer.compute_dtype == "float16" for layer in self.lowering_layers.values())

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
            DataError: the data do not fit the model or each other.
            OSError: the checkpoint cannot be written; or a save of the model in the background,
                of which nobody has heard, has failed before.

        Ctrl-C, and exceptions in callbacks or data, leave the model with the weights of the last
        finished step, and `model.history` with the epochs before it.
        """
        self._require_compiled("fit")
        self.refuse_second_fit()
        pending.raise_failed(self)
        _check_epochs(epochs, initial_epoch)
        epochs = limited_epochs(epochs)
        batch_size, steps_per_epoch = limited_steps(x, batch_size, steps_per_epoch)
        if validation_split:
            check_validation_split(validation_split)
            refuse_with_dataset(x, validation_split=validation_split)
            if validation_data is None:
                (x, y, sample_weight), held = split_rows((x, y, sample_weight), validation_split)
                validation_data = held
        if checkpoint is None and callbacks is not None:
            checkpoint = callback_classes.BackupAndRestore.checkpoint_among(callbacks)
        refuse_several_processes(checkpoint, self._placement())
        with Unsaved() if checkpoint is None else Recovery(checkpoint) as recovery:
            seeds = recovery.seeds(self.seed_words(seed))
            source = make_source(
                x, y, sample_weight, batch_size, shuffle, steps_per_epoch, class_weight,
                int(seeds[0]) << 32 | int(seeds[1]),
            )  # fmt: skip
            recovery.require(
                lambda: training_identity(
                    self.compile_options() or {}, source, class_weight, seed,
                    self._training is not None,
                )
            )  # fmt: skip
            start = recovery.start or Start(initial_epoch, 0, self._epoch_base() - initial_epoch)
            over = recovery.is_over(epochs)
            if not over:
                recovery.seek(source)
            data = open_data(
                self, source, start.number(start.epoch), start.batch, recovery.example(), over
            )
            engine = self.engine_for(data.first)
            recovery.require(lambda: {"model": self._known_lowering_graph().content_hash})
            check_data(self, data, engine)
            place_rows(data, engine.placement)
            training = self.training_for(engine, seeds)
            self.history = history = History()
            params = {"verbose": verbose, "epochs": epochs, "steps": source.steps}
            call_list = CallbackList([callbacks, history], self, params)
            progress = Progress(
                0 if call_list.shows_progress else verbose, epochs, source.steps
            )  # fmt: skip
            validate = validator(
                self, engine, validation_data, validation_batch_size or batch_size,
                validation_steps, validation_freq, call_list, recovery.validation,
            )  # fmt: skip
            metrics = recovery.restore(engine, training)
            recovery.keep_example(data.example)
            run = Fit(
                engine,
                range(start.epoch, epochs),
                training_work(self, engine, data, start, recovery.position(), recovery.padded),
                call_list,
                progress,
                lambda: self.stop_training,
                validate,
                lambda: source.exhausted,
                lambda epoch: training.update(epoch=np.int32(start.number(epoch) + 1)),
                recovery,
                start.batch,
            )
            self.stop_training = False
            engine.checks_finite = check_finite
            self._train(run, training, metrics, recovery, start)
        return history

    def _train(
        self, run: Fit, training: Any, metrics: Tree, recovery: Unsaved, start: Start
    ) -> None:
        """Runs a fit from its first callback to its last."""
        engine, call_list = run.engine, run.callbacks
        with self.owning(engine, training, metrics), self._showing(run.progress):
            call_list.on_train_begin()
            recovery.begin(engine, call_list, start)
            if not recovery.finished:
                with run.progress:
                    run.run()
            engine.finalize()
            call_list.on_train_end()

    def _epoch_base(self) -> int:
        return int(self._training["epoch"]) if self._training is not None else 0

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Runs one training step on one batch and returns its loss and metrics.

        Each call hands the weights over and back. For a loop of your own, `kgraph.lower(model)` has
        the pure functions.
        """
        self._require_compiled("train_on_batch")
        rows = number_of_rows(x)
        source = make_source(
            x, y, sample_weight, rows or 1, shuffle=False, class_weight=class_weight
        )
        data = open_data(self, source)
        engine = self.engine_for(data.first)
        check_data(self, data, engine)
        training = self.training_for(engine, self.seed_words(None))
        with self.owning(engine, training):
            engine.train_batch(*spread_batch(engine, data.first))
            logs = engine.logs()
        return answer(engine.objective, logs, return_dict)


def _check_epochs(epochs: Any, initial_epoch: Any) -> None:
    for name, value in (("epochs", epochs), ("initial_epoch", initial_epoch)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
            raise ConfigError(
                f"fit needs a whole number of at least 0 as {name}", received=repr(value)
            )
