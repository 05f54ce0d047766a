"""Callbacks: objects that take part in training, evaluation and prediction."""

from __future__ import annotations

from kgraph.training.callbacks.callback import Callback
from kgraph.training.callbacks.callback_list import CallbackList
from kgraph.training.callbacks.csv_logger import CSVLogger
from kgraph.training.callbacks.early_stopping import EarlyStopping
from kgraph.training.callbacks.history import History
from kgraph.training.callbacks.lambda_callback import LambdaCallback
from kgraph.training.callbacks.learning_rate_scheduler import LearningRateScheduler
from kgraph.training.callbacks.model_checkpoint import ModelCheckpoint
from kgraph.training.callbacks.progbar_logger import ProgbarLogger
from kgraph.training.callbacks.reduce_lr_on_plateau import ReduceLROnPlateau
from kgraph.training.callbacks.terminate_on_nan import TerminateOnNaN

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
]
