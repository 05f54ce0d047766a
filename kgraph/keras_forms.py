"""How Keras writes objects down: what in its configs and files stands for what of kgraph's."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, TypeGuard

import numpy

from kgraph.declared import is_own
from kgraph.errors import ConfigError

LAMBDA = (
    "write a subclass of Layer in its place (or a function registered under a name) and save the "
    "model anew: Python bytecode from a file is never run"
)
"""What to do about a lambda in a file."""

FEATURES = "keras.src.layers.preprocessing.feature_space"
"""Where Keras keeps the parts of a FeatureSpace."""

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
    FEATURES: "feature",
}
"""The registry's kind for each module that a Keras file names. Modules are never imported."""

INSIDE: Mapping[str, tuple[str, str]] = {
    "BranchDropout": ("keras.src.applications.convnext", "StochasticDepth"),
    "BranchScale": ("keras.src.applications.convnext", "LayerScale"),
    "FeatureIdentity": (FEATURES, "TFDIdentity"),
    "FeatureSpace": ("keras.utils", "FeatureSpace"),
    "ScaledAdd": ("keras.src.applications.inception_resnet_v2", "CustomScaleLayer"),
}
"""Layers that Keras keeps outside of `keras.layers`: module and name there, by kgraph's name."""

_NAMES_INSIDE: Mapping[tuple[str, str], str] = {place: name for name, place in INSIDE.items()}

DTYPES = (
    "float32", "float16", "bfloat16", "float64", "int8", "int16", "int32", "int64", "uint8",
    "uint16", "uint32", "uint64", "bool",
)  # fmt: skip
"""The dtypes of inputs, and of arrays in a config."""

DEFAULTS: Mapping[str, Any] = {
    "quantization_config": None,
    "lora_rank": None,
    "oov_method": "floormod",
    "rms_scaling": False,
    "zero_output_for_mask": False,
    "unroll": False,
    "sparse": False,
    "ragged": False,
}
"""Options that not every layer of kgraph has. With these values they change nothing."""

MEANINGLESS: Mapping[str, frozenset[str]] = {"AdditiveAttention": frozenset({"seed"})}
"""Options that Keras writes for a class but never reads."""

KERAS_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "SpectralNormalization": {"divide_in_inference": False},
}
"""Options that only kgraph's class has, with the values that mean Keras' behaviour."""


def kind_and_name(module: object, name: str) -> tuple[str | None, str]:
    """Returns kind and name, here, of the class that a Keras file names; no kind for a user's."""
    if not isinstance(module, str):
        return None, name
    if (module, name) in _NAMES_INSIDE:
        return "layer", _NAMES_INSIDE[module, name]
    return KINDS.get(module), name


def is_keras_form(data: object) -> TypeGuard[Mapping[str, Any]]:
    """Tells whether a value stands for an object as Keras writes it: with a module, not a kind."""
    return isinstance(data, Mapping) and {"class_name", "config", "module"} <= set(data)


def says_nothing(cls: type, option: str, value: object) -> bool:
    """Tells whether an option of Keras' can be left out: kgraph has no other behaviour."""
    if is_own(cls) and option in MEANINGLESS.get(cls.__name__, ()):
        return True
    if not is_own(cls) and option in inspect.signature(cls.__init__).parameters:
        return False
    default = DEFAULTS.get(option, ...)
    return type(value) is type(default) and value == default


def is_special(data: Mapping[str, Any]) -> bool:
    """Tells whether what Keras has written stands for a value that is no object of Keras'."""
    name = data.get("class_name")
    if not isinstance(name, str) or "config" not in data:
        return False
    return name.startswith("__") or (name.endswith("Policy") and is_keras_form(data))


def special_value(class_name: str, config: Any) -> Any:
    """Returns the value: a dtype's name, a slice, an ellipsis, bytes, or an array.

    Raises:
        ConfigError: it is none of these. Code (`__lambda__`) never is.
    """
    if class_name == "__lambda__":
        raise ConfigError(
            "A lambda in a config is code, which is never run", received="marshalled code",
            hint=LAMBDA,
        )  # fmt: skip
    if class_name == "DTypePolicy" and isinstance(config.get("name"), str):
        return config["name"]
    if class_name == "__ellipsis__":
        return Ellipsis
    if class_name == "__bytes__":
        return config["value"].encode()
    if class_name == "__slice__":
        parts = [config[part] for part in ("start", "stop", "step")]
        if not all(part is None or type(part) is int for part in parts):
            raise ConfigError("This is a slice of what are no whole numbers", received=parts)
        return slice(*parts)
    if class_name in ("__numpy__", "__tensor__"):
        if config["dtype"] not in DTYPES:  # "S1000000000", say
            raise ConfigError(f"This is an array of {config['dtype']}, which is no dtype here")
        return numpy.asarray(config["value"], numpy.dtype(config["dtype"]))
    raise ConfigError("Keras has a value here that kgraph has not", received=class_name)
