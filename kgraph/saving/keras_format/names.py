"""Which Keras names stand for which objects of kgraph: closed lists, used in both directions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kgraph import layers
from kgraph.keras_forms import FEATURES, INSIDE

MODULES: Mapping[str, str] = {
    "layer": "keras.layers",
    "activation": "keras.activations",
    "initializer": "keras.initializers",
    "regularizer": "keras.regularizers",
    "constraint": "keras.constraints",
    "loss": "keras.losses",
    "metric": "keras.metrics",
    "metric_function": "keras.metrics",
    "optimizer": "keras.optimizers",
    "schedule": "keras.optimizers.schedules",
    "feature": FEATURES,
}
"""The module that Keras files name for each kind."""

FUNCTIONAL = ("keras.src.models.functional", "Functional")
SEQUENTIAL = ("keras", "Sequential")

NOT_IN_KERAS = frozenset({"FlaxLayer", "JaxLayer", "Layer", "RecurrentCell"})
"""Public layers of kgraph's that no Keras file describes by their name."""


def is_exchanged(name: str) -> bool:
    """Tells whether a Keras file may name this layer of kgraph's own: a public one, or a model."""
    public = name in layers.__all__ and name not in NOT_IN_KERAS
    return public or name in ("Functional", "Sequential", *INSIDE)


INNER_NAMES: Mapping[str, str] = {
    "Model": "Functional", "GroupQueryAttention": "GroupedQueryAttention",
} | {ours: theirs for ours, (_, theirs) in INSIDE.items()}  # fmt: skip
"""What Keras calls a class inside, and so in the paths of arrays, if not by its public name."""


UNWRITTEN: Mapping[str, frozenset[str]] = {
    f"SpatialDropout{n}D": frozenset({"trainable"}) for n in (1, 2, 3)
} | {
    "Discretization": frozenset({"trainable"}), "FeatureSpace": frozenset({"trainable", "dtype"}),
    "Pipeline": frozenset({"trainable", "dtype"}),
}  # fmt: skip
"""Options that all layers have but for which Keras' constructor has no argument."""

LEFT_OUT: Mapping[str, Any] = {
    "flash_attention": None,
    "ignore_class": None,
    "input_axes": None,
    "oov_method": "floormod",
    "output_axes": None,
    "renorm": False,
    "renorm_clipping": None,
    "renorm_momentum": 0.99,
    "salt": None,
    "sliding_window": None,
    "use_gate": False,
}
"""Options that Keras 3.12 does not know. With these values, its behaviour, they are not written."""


NEEDED: Mapping[str, frozenset[str]] = {"Muon": frozenset({"rms_rate"})}
"""Options without which a config is of an older release, whose class computes something else."""

SPELLED: Mapping[str, Mapping[str, str]] = {
    "activation": {
        "jax.nn.relu": "relu", "jax.nn.softmax": "softmax", "jax.nn.log_softmax": "log_softmax",
    },
    "loss": {"kullback_leibler_divergence": "kl_divergence", "logcosh": "log_cosh"},
    "metric": {
        "kld": "kl_divergence", "KLD": "kl_divergence", "logcosh": "log_cosh_error",
        "rmse": "root_mean_squared_error", "RMSE": "root_mean_squared_error",
    },
}  # fmt: skip
"""Names that Keras spells otherwise, by kind."""

RENAMED_ATTRIBUTES: Mapping[tuple[str, str], str] = {
    ("MultiHeadAttention", "gate_dense"): "_gate_dense",
    ("GroupQueryAttention", "gate_dense"): "_gate_dense",
    ("GroupQueryAttention", "query_dense"): "_query_dense",
    ("GroupQueryAttention", "key_dense"): "_key_dense",
    ("GroupQueryAttention", "value_dense"): "_value_dense",
    ("GroupQueryAttention", "output_dense"): "_output_dense",
}
"""Attributes that hold layers and are called otherwise in Keras, where they are part of a path."""
