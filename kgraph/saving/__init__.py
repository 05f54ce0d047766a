"""Models and weights in files, and the names under which your own classes are found in them."""

from typing import TYPE_CHECKING

from kgraph.lazy import lazy_names

if TYPE_CHECKING:
    from kgraph.custom_objects import CustomObjectScope as CustomObjectScope
    from kgraph.custom_objects import custom_object_scope as custom_object_scope
    from kgraph.custom_objects import get_custom_objects as get_custom_objects
    from kgraph.custom_objects import get_registered_name as get_registered_name
    from kgraph.custom_objects import get_registered_object as get_registered_object
    from kgraph.custom_objects import register_keras_serializable as register_keras_serializable
    from kgraph.saving.files.pending import PendingSave as PendingSave
    from kgraph.saving.in_memory import model_from_bytes as model_from_bytes
    from kgraph.saving.in_memory import model_to_bytes as model_to_bytes
    from kgraph.saving.keras_format.configs import functional_from_keras as functional_from_keras
    from kgraph.saving.kgraph_format.own_objects import live_objects as live_objects
    from kgraph.saving.load import load_model as load_model
    from kgraph.saving.model_json import model_from_json as model_from_json
    from kgraph.saving.model_json import model_to_json as model_to_json
    from kgraph.saving.objects import deserialize_keras_object as deserialize_keras_object
    from kgraph.saving.objects import serialize_keras_object as serialize_keras_object
    from kgraph.saving.save import save_model as save_model
    from kgraph.saving.verify import Verified as Verified
    from kgraph.saving.verify import verify_file as verify_file
    from kgraph.saving.weight_report import WeightReport as WeightReport
    from kgraph.saving.weights import load_weights as load_weights
    from kgraph.saving.weights import save_weights as save_weights
else:
    __getattr__, __dir__ = lazy_names(__name__)
