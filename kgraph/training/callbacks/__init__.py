"""Callbacks: objects that take part in training, evaluation and prediction."""

from typing import TYPE_CHECKING

from kgraph.lazy import lazy_names

if TYPE_CHECKING:
    from kgraph.training.callbacks.backup_and_restore import BackupAndRestore as BackupAndRestore
    from kgraph.training.callbacks.callback import Callback as Callback
    from kgraph.training.callbacks.callback_list import CallbackList as CallbackList
    from kgraph.training.callbacks.csv_logger import CSVLogger as CSVLogger
    from kgraph.training.callbacks.early_stopping import EarlyStopping as EarlyStopping
    from kgraph.training.callbacks.history import History as History
    from kgraph.training.callbacks.job_metrics import JobMetrics as JobMetrics
    from kgraph.training.callbacks.json_logger import JSONLogger as JSONLogger
    from kgraph.training.callbacks.lambda_callback import LambdaCallback as LambdaCallback
    from kgraph.training.callbacks.learning_rate_scheduler import (
        LearningRateScheduler as LearningRateScheduler,
    )
    from kgraph.training.callbacks.model_checkpoint import ModelCheckpoint as ModelCheckpoint
    from kgraph.training.callbacks.orbax_checkpoint import OrbaxCheckpoint as OrbaxCheckpoint
    from kgraph.training.callbacks.progbar_logger import ProgbarLogger as ProgbarLogger
    from kgraph.training.callbacks.reduce_lr_on_plateau import (
        ReduceLROnPlateau as ReduceLROnPlateau,
    )
    from kgraph.training.callbacks.remote_monitor import RemoteMonitor as RemoteMonitor
    from kgraph.training.callbacks.swap_ema_weights import SwapEMAWeights as SwapEMAWeights
    from kgraph.training.callbacks.tensor_board import TensorBoard as TensorBoard
    from kgraph.training.callbacks.terminate_on_nan import TerminateOnNaN as TerminateOnNaN
else:
    __getattr__, __dir__ = lazy_names(__name__, kinds=("callback",))
