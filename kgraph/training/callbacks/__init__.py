"""Callbacks: objects that take part in training, evaluation and prediction."""

from __future__ import annotations

from kgraph.training.callbacks.backup_and_restore import BackupAndRestore
from kgraph.training.callbacks.callback import Callback
from kgraph.training.callbacks.callback_list import CallbackList
from kgraph.training.callbacks.csv_logger import CSVLogger
from kgraph.training.callbacks.early_stopping import EarlyStopping
from kgraph.training.callbacks.history import History
from kgraph.training.callbacks.json_logger import JSONLogger
from kgraph.training.callbacks.lambda_callback import LambdaCallback
from kgraph.training.callbacks.learning_rate_scheduler import LearningRateScheduler
from kgraph.training.callbacks.model_checkpoint import ModelCheckpoint
from kgraph.training.callbacks.orbax_checkpoint import OrbaxCheckpoint
from kgraph.training.callbacks.progbar_logger import ProgbarLogger
from kgraph.training.callbacks.reduce_lr_on_plateau import ReduceLROnPlateau
from kgraph.training.callbacks.remote_monitor import RemoteMonitor
from kgraph.training.callbacks.swap_ema_weights import SwapEMAWeights
from kgraph.training.callbacks.tensor_board import TensorBoard
from kgraph.training.callbacks.terminate_on_nan import TerminateOnNaN

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "JSONLogger",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "OrbaxCheckpoint",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "RemoteMonitor",
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
]
