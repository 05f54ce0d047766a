"""The public names that Keras keeps under `keras.utils`."""

from typing import TYPE_CHECKING

from kgraph.lazy import lazy_names

if TYPE_CHECKING:
    from kgraph.config import disable_interactive_logging as disable_interactive_logging
    from kgraph.config import enable_interactive_logging as enable_interactive_logging
    from kgraph.config import is_interactive_logging_enabled as is_interactive_logging_enabled
    from kgraph.config import set_random_seed as set_random_seed
    from kgraph.custom_objects import CustomObjectScope as CustomObjectScope
    from kgraph.custom_objects import custom_object_scope as custom_object_scope
    from kgraph.custom_objects import get_custom_objects as get_custom_objects
    from kgraph.custom_objects import get_registered_name as get_registered_name
    from kgraph.custom_objects import get_registered_object as get_registered_object
    from kgraph.custom_objects import register_keras_serializable as register_keras_serializable
    from kgraph.data import PyDataset as PyDataset
    from kgraph.data import pack_x_y_sample_weight as pack_x_y_sample_weight
    from kgraph.data import unpack_x_y_sample_weight as unpack_x_y_sample_weight
    from kgraph.saving.objects import deserialize_keras_object as deserialize_keras_object
    from kgraph.saving.objects import serialize_keras_object as serialize_keras_object
    from kgraph.utils import bounding_boxes as bounding_boxes
    from kgraph.utils.audio_folder import (
        audio_dataset_from_directory as audio_dataset_from_directory,
    )
    from kgraph.utils.downloading import get_file as get_file
    from kgraph.utils.dtypes import standardize_dtype as standardize_dtype
    from kgraph.utils.features import FeatureSpace as FeatureSpace
    from kgraph.utils.image_folder import (
        image_dataset_from_directory as image_dataset_from_directory,
    )
    from kgraph.utils.images import array_to_img as array_to_img
    from kgraph.utils.images import img_to_array as img_to_array
    from kgraph.utils.images import load_img as load_img
    from kgraph.utils.images import save_img as save_img
    from kgraph.utils.named_values import Config as Config
    from kgraph.utils.numerical import normalize as normalize
    from kgraph.utils.numerical import to_categorical as to_categorical
    from kgraph.utils.progress_bar import Progbar as Progbar
    from kgraph.utils.sequences import Sequence as Sequence
    from kgraph.utils.sequences import pad_sequences as pad_sequences
    from kgraph.utils.session import clear_session as clear_session
    from kgraph.utils.splitting import split_dataset as split_dataset
    from kgraph.utils.symbols import get_source_inputs as get_source_inputs
    from kgraph.utils.symbols import is_keras_tensor as is_keras_tensor
    from kgraph.utils.text_folder import (
        text_dataset_from_directory as text_dataset_from_directory,
    )
    from kgraph.utils.windows import (
        timeseries_dataset_from_array as timeseries_dataset_from_array,
    )
    from kgraph.visualization.dot import model_to_dot as model_to_dot
    from kgraph.visualization.plot import plot_model as plot_model
else:
    __getattr__, __dir__ = lazy_names(__name__)
