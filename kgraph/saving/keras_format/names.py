"""Which Keras names stand for which objects of kgraph: closed lists, used in both directions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kgraph import layers

KINDS: Mapping[str, str] = {
    "keras": "layer",
    "keras.models": "layer",
    "keras.src.models.functional": "layer",
    "keras.src.models.sequential": "layer",
    "keras.src.models.model": "layer",
    "keras.layers": "layer",
    "keras.activations": "activation",
    "keras.initializers": "initializer",
    "keras.regularizers": "regularizer",
    "keras.constraints": "constraint",
    "keras.losses": "loss",
    "keras.metrics": "metric",
    "keras.optimizers": "optimizer",
    "keras.optimizers.schedules": "schedule",
}
"""The registry's kind for each module that a Keras file names. Modules are never imported."""

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
}
"""The module that Keras files name for each kind."""

FUNCTIONAL = ("keras.src.models.functional", "Functional")
SEQUENTIAL = ("keras", "Sequential")

NOT_IN_KERAS = frozenset({"FlaxLayer", "JaxLayer", "Layer", "RecurrentCell"})
"""Public layers of kgraph's that no Keras file describes by their name."""


def is_exchanged(name: str) -> bool:
    """Tells whether a Keras file may name this layer of kgraph's own: a public one, or a model."""
    public = name in layers.__all__ and name not in NOT_IN_KERAS
    return public or name in ("Functional", "Sequential")


DTYPES = (
    "float32", "float16", "bfloat16", "float64", "int8", "int16", "int32", "int64", "uint8",
    "uint16", "uint32", "uint64", "bool",
)  # fmt: skip
"""The dtypes of inputs, and of arrays in a config."""

INNER_NAMES: Mapping[str, str] = {
    "Model": "Functional", "GroupQueryAttention": "GroupedQueryAttention",
}  # fmt: skip
"""What Keras calls a class inside, and so in the paths of arrays, if not by its public name."""

DEFAULTS: Mapping[str, Any] = {
    "quantization_config": None,
    "lora_rank": None,
    "rms_scaling": False,
    "zero_output_for_mask": False,
    "unroll": False,
    "sparse": False,
    "ragged": False,
}
"""Options that not every layer of kgraph has. With these values they change nothing."""

MEANINGLESS: Mapping[str, frozenset[str]] = {"AdditiveAttention": frozenset({"seed"})}
"""Options that Keras writes for a class but never reads."""

UNWRITTEN: Mapping[str, frozenset[str]] = {
    f"SpatialDropout{n}D": frozenset({"trainable"}) for n in (1, 2, 3)
} | {"Discretization": frozenset({"trainable"}), "Pipeline": frozenset({"trainable", "dtype"})}
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

KERAS_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "SpectralNormalization": {"divide_in_inference": False},
}
"""Options that only kgraph's class has, with the values that mean Keras' behaviour."""

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
