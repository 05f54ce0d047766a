"""The public names that Keras keeps under `keras.mixed_precision`."""

from kgraph.config import DTypePolicy, dtype_policy, set_dtype_policy
from kgraph.optimizers.loss_scale import LossScaleOptimizer

Policy = DTypePolicy
global_policy = dtype_policy
set_global_policy = set_dtype_policy

__all__ = [
    "DTypePolicy",
    "LossScaleOptimizer",
    "Policy",
    "dtype_policy",
    "global_policy",
    "set_dtype_policy",
    "set_global_policy",
]
