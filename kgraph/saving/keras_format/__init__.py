"""Keras' own files: `.keras` models and `.weights.h5`, read safely and written.

`archive` and `hdf5` read and write the bytes; `objects_in`, `functional_in` and `models_in` turn a
config into a model, `objects_out` and `models_out` a model into a config; `operations` and `names`
are the closed tables of what both sides have; `weight_paths` and `optimizer_slots` say where arrays
are kept. `load`, `save` and `weights_file` put these together.
"""

from typing import TYPE_CHECKING

from kgraph.lazy import lazy_names

if TYPE_CHECKING:
    from kgraph.saving.keras_format.configs import functional_from_keras as functional_from_keras
    from kgraph.saving.keras_format.configs import model_from_keras as model_from_keras
    from kgraph.saving.keras_format.load import load_keras_model as load_keras_model
    from kgraph.saving.keras_format.save import check_keras_model as check_keras_model
    from kgraph.saving.keras_format.save import save_keras_model as save_keras_model
    from kgraph.saving.keras_format.suffixes import Format as Format
    from kgraph.saving.keras_format.suffixes import keras_format_of as keras_format_of
    from kgraph.saving.keras_format.weights_file import KerasWeights as KerasWeights
    from kgraph.saving.keras_format.weights_file import save_keras_weights as save_keras_weights
else:
    __getattr__, __dir__ = lazy_names(__name__)
