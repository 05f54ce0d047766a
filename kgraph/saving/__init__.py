"""Models and weights in files, and the names under which your own classes are found in them."""

from kgraph.registry import (
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)
from kgraph.saving.load import load_model
from kgraph.saving.model_json import model_from_json, model_to_json
from kgraph.saving.objects import deserialize_keras_object, serialize_keras_object
from kgraph.saving.save import save_model
from kgraph.saving.weight_report import WeightReport
from kgraph.saving.weights import load_weights, save_weights

CustomObjectScope = custom_object_scope

__all__ = [
    "CustomObjectScope",
    "WeightReport",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "load_model",
    "load_weights",
    "model_from_json",
    "model_to_json",
    "register_keras_serializable",
    "save_model",
    "save_weights",
    "serialize_keras_object",
]
