"""The public names of utils, config and backend take what Keras' take, with the same defaults."""

from __future__ import annotations

import inspect

import keras
import pytest

import kgraph

# What Keras has and kgraph has not, with the reason.
LEFT_OUT = {
    "utils": {
        "legacy",  # names of Keras 2
    },
    "config": {
        "enable_unsafe_deserialization",  # nothing unsafe can be loaded
    },
    "backend": set(),
    "utils.bounding_boxes": set(),
}
# Not the same on purpose.
OTHER = {
    *(
        f"utils.{name}"
        for name in (
            "image_dataset_from_directory",
            "text_dataset_from_directory",
            "timeseries_dataset_from_array",
        )
    ),  # format=None: not everybody has TensorFlow
    "utils.deserialize_keras_object",  # no unknown keywords
    "utils.get_registered_name",  # older than this test, and called by position
    "utils.get_registered_object",  # no modules to search
    "utils.model_to_dot",  # more options, and curves that Graphviz draws around nodes
    "utils.plot_model",
}


def found(root, path):
    for part in path.split("."):
        root = getattr(root, part)
    return root


def public(module):
    return {name for name in dir(module) if not name.startswith("_")}


@pytest.mark.parametrize("path", LEFT_OUT)
def test_no_other_name_is_missing(path):
    ours = found(kgraph, path)
    missing = {name for name in public(found(keras, path)) if not hasattr(ours, name)}
    assert missing == LEFT_OUT[path]


def parameters(function):
    given = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, p.default) for p in given]


@pytest.mark.parametrize("path", LEFT_OUT)
def test_functions_take_the_same_arguments(path):
    theirs, ours = found(keras, path), found(kgraph, path)
    compared, different = 0, {}
    for name in sorted(public(theirs) - LEFT_OUT[path]):
        function = getattr(theirs, name)
        home = getattr(function, "__module__", None) or ""
        if not callable(function) or not home.startswith("keras") or f"{path}.{name}" in OTHER:
            continue
        compared += 1
        if parameters(getattr(ours, name)) != parameters(function):
            different[name] = parameters(getattr(ours, name)), parameters(function)
    assert different == {}
    assert compared >= 7
