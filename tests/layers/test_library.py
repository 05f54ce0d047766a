"""The layers as a whole: which names there are, and what their constructors and calls take."""

from __future__ import annotations

import inspect
from typing import Any

import keras
from checks import LIBRARY

from kgraph.layers import base

ABSENT = {
    "TorchModuleWrapper": "wraps a PyTorch module, which no JAX program can trace",
    "TFSMLayer": "runs a TensorFlow SavedModel, which no JAX program can trace",
    "MaxNumBoundingBoxes": "image layers move images, labels and masks, and refuse bounding boxes",
}
"""Names of `keras.layers` that kgraph leaves out, and why."""

NEVER_OPTIONS = {
    "quantization_config": "quantisation is a pass over the graph, not an option of each layer",
    "gptq_unpacked_column_size": "quantisation is a pass over the graph",
    "native_serialization_platforms": "is about export to TensorFlow",
}
"""Options that no layer of kgraph has, and why."""

EXTRA_OPTIONS = {
    ("InputLayer", "dims"): "exact sizes by name, as configs keep them",
    ("InputLayer", "input_shape"): "Keras takes it among **kwargs",
    ("SpectralNormalization", "divide_in_inference"): "Keras does not, and its files say so",
}
"""Options that Keras has not, and why."""

OTHER_CALLS = {
    "Layer": "the base takes what each layer takes",
    "Wrapper": "has no call of its own",
    "InputLayer": "passes its data through as any layer does; in Keras it has no call",
    "FlaxLayer": "calls modules with several inputs as well",
    **dict.fromkeys(
        ("RNN", "SimpleRNN", "LSTM", "GRU", "StackedRNNCells", "ConvLSTM1D", "ConvLSTM2D",
         "ConvLSTM3D"),
        "constants for the cell are an argument of every recurrent layer",
    ),
}  # fmt: skip
"""Layers whose call takes other arguments than in Keras, and why."""

BASE_OPTIONS = {"name", "dtype", "trainable", "autocast", "activity_regularizer"} | {
    "lora_rank", "lora_alpha",  # of layers with enable_lora
}  # fmt: skip
"""Options of every layer: keywords, whether a constructor lists them or not."""


def public(namespace: Any) -> set[str]:
    return {name for name in dir(namespace) if not name.startswith("_")}


def test_every_layer_of_keras_is_here_or_has_a_reason():
    missing = {name for name in public(keras.layers) if not hasattr(LIBRARY, name)}
    assert missing == set(ABSENT)


COMMON = sorted(name for name in public(keras.layers) if hasattr(LIBRARY, name))


def test_options_their_order_and_their_defaults_are_those_of_keras():
    wrong: dict[str, Any] = {}
    for name in COMMON:
        ours, theirs = options(getattr(LIBRARY, name)), options(getattr(keras.layers, name))
        extra = {o for o in ours if o not in theirs and (name, o) not in EXTRA_OPTIONS}
        listed = [
            o for o in theirs if o not in NEVER_OPTIONS and (o in ours or o not in BASE_OPTIONS)
        ]
        same_order = [o for o in ours if o in theirs] == listed
        defaults = {
            o: (ours[o], theirs[o])
            for o in listed
            if o in ours and meaning(ours[o]) != meaning(theirs[o])
        }
        if extra or defaults or not same_order:
            wrong[name] = extra, defaults, [*ours], listed
    assert wrong == {}


def test_arguments_of_calls_are_those_of_keras():
    wrong: dict[str, Any] = {}
    for name in COMMON:
        cls, other = getattr(LIBRARY, name), getattr(keras.layers, name)
        if not (inspect.isclass(cls) and issubclass(cls, base.Layer)) or name in OTHER_CALLS:
            continue
        ours, theirs = arguments(cls.call), arguments(other.call)
        if ours != theirs:
            wrong[name] = ours, theirs
    assert wrong == {}


def arguments(call: Any) -> dict[str, Any]:
    """Returns arguments and defaults of a call, without the first, which is given by position."""
    general = ("training", "mask")  # reach every layer, whether it names them or not
    named = [*options(call, 2).items()]
    return {name: meaning(default) for name, default in named if name not in general}


def options(function: Any, skipped: int = 0) -> dict[str, Any]:
    """Returns the default of each named parameter."""
    parameters = list(inspect.signature(function).parameters.values())[skipped:]
    return {
        p.name: p.default for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }


def meaning(default: Any) -> Any:
    """Returns one form of a default for all that mean the same."""
    if isinstance(default, str):
        return default.lower()  # names of initializers are known in both forms
    if isinstance(default, (list, tuple)):
        items = [meaning(item) for item in default]
        return items[0] if len(set(items)) == 1 else tuple(items)  # one size for all axes
    return default
