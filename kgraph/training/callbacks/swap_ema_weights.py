"""SwapEMAWeights: evaluation with the moving average of the weights."""

from __future__ import annotations

from typing import Any

import jax

from kgraph.errors import ConfigError
from kgraph.layers.base.tree import named_weights
from kgraph.training.callbacks.callback import Callback, Logs


class SwapEMAWeights(Callback):
    """Puts the optimizer's average of the weights in their place while the model is evaluated.

    Afterwards the weights are back, in `predict` as well (where Keras leaves the average). The
    optimizer's state is only read, so training is the same with and without this callback.

    Args:
        swap_on_epoch: leaves the average in place from the end of an epoch until the next begins,
            so that callbacks behind this one (`ModelCheckpoint`) see it.

    Raises:
        ConfigError: when anything begins and the optimizer keeps no average.

    >>> averaged = SwapEMAWeights()  # with optimizer=Adam(use_ema=True)
    """

    state_attributes = ("_own",)

    def __init__(self, swap_on_epoch: bool = False) -> None:
        self.swap_on_epoch = swap_on_epoch
        self._own: dict[str, Any] = {}

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._own = {}
        self._optimizer()  # fails now, not at the first validation

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._own = {}  # training ends with the average in place, whoever put it there

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        if self.swap_on_epoch:
            self._swap_out()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.swap_on_epoch:
            self._swap_in()

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._swap_in()

    def on_test_end(self, logs: Logs | None = None) -> None:
        self._swap_out()

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._swap_in()

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self._swap_out()

    def _optimizer(self) -> Any:
        optimizer = getattr(self.model, "optimizer", None)
        if not getattr(optimizer, "use_ema", False):
            raise ConfigError(
                "SwapEMAWeights needs an optimizer that keeps an average of the weights",
                received=type(optimizer).__name__,
                hint="compile with an optimizer made with use_ema=True",
            )
        return optimizer

    def _swap_in(self) -> None:
        optimizer, state = self._optimizer(), self.model._kgraph.trainer.state()
        if self._own or state is None or not int(state["optimizer"].step):
            return  # the average is in place, or nothing has been averaged yet
        trained = {id(weight) for weight in self.model.trainable_weights}
        weights = {p: w for p, w in named_weights(self.model) if id(w) in trained}
        self._own = {path: weight.value for path, weight in weights.items()}
        final = optimizer._kgraph_finalize(_nested(self._own), state["optimizer"])
        for path, average in jax.tree_util.tree_leaves_with_path(final):
            weights[jax.tree_util.keystr(path, simple=True, separator="/")].assign(average)

    def _swap_out(self) -> None:
        weights = dict(named_weights(self.model))
        for path, value in self._own.items():
            weights[path].assign(value)
        self._own = {}


def _nested(leaves: dict[str, object]) -> Any:
    nested: dict[str, Any] = {}
    for path, leaf in leaves.items():
        *parents, last = path.split("/")
        branch = nested
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[last] = leaf
    return nested
