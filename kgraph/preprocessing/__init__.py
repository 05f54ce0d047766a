"""The public names that Keras keeps under `keras.preprocessing`."""

from kgraph.preprocessing import image, sequence
from kgraph.utils.image_folder import image_dataset_from_directory
from kgraph.utils.text_folder import text_dataset_from_directory
from kgraph.utils.windows import timeseries_dataset_from_array

__all__ = [
    "image",
    "image_dataset_from_directory",
    "sequence",
    "text_dataset_from_directory",
    "timeseries_dataset_from_array",
]
