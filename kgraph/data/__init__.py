"""Batches of arrays from what users pass as data. Host side; knows nothing of graphs or models."""

from kgraph.data.ahead import ahead, ahead_if_slow
from kgraph.data.array_source import ArraySource, Shuffle
from kgraph.data.arrays import as_arrays
from kgraph.data.batch import (
    Batch,
    ClassWeight,
    as_batch,
    pack_x_y_sample_weight,
    unpack_x_y_sample_weight,
)
from kgraph.data.checks import check_batch_size, check_finite, check_rows, check_steps
from kgraph.data.class_weight import class_weights_to_sample_weights
from kgraph.data.hugging_face import from_hugging_face
from kgraph.data.indexed_source import IndexedSource
from kgraph.data.iterable_source import IterableSource
from kgraph.data.iterator_state import is_place_for_all
from kgraph.data.kinds import is_dataset, refuse_with_dataset
from kgraph.data.make_source import make_source
from kgraph.data.mapped import mapped
from kgraph.data.py_dataset import PyDataset
from kgraph.data.row_dataset import RowDataset
from kgraph.data.source import Source
from kgraph.data.split import check_validation_split, split

__all__ = [
    "ArraySource",
    "Batch",
    "ClassWeight",
    "IndexedSource",
    "IterableSource",
    "PyDataset",
    "RowDataset",
    "Shuffle",
    "Source",
    "ahead",
    "ahead_if_slow",
    "as_arrays",
    "as_batch",
    "check_batch_size",
    "check_finite",
    "check_rows",
    "check_steps",
    "check_validation_split",
    "class_weights_to_sample_weights",
    "from_hugging_face",
    "is_dataset",
    "is_place_for_all",
    "make_source",
    "mapped",
    "pack_x_y_sample_weight",
    "refuse_with_dataset",
    "split",
    "unpack_x_y_sample_weight",
]
