"""Datasets as `tf.data.Dataset`, for programs that go on with TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from kgraph.data.row_dataset import RowDataset
from kgraph.errors import ConfigError, check_choice
from kgraph.graph.structure import map_structure
from kgraph.interrupts import held


def check_format(owner: str, format: str | None) -> None:
    """Raises ConfigError if there is no such format, or it needs TensorFlow, which is missing."""
    check_choice(owner, "format", format, (None, "tf", "grain"))
    if format == "tf":
        import_tensorflow(owner)


def import_tensorflow(owner: str) -> Any:
    """Returns the TensorFlow module.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        with held():
            import tensorflow  # type: ignore[reportMissingModuleSource]
    except ImportError:
        raise ConfigError(
            f'{owner} makes tf.data of TensorFlow with format="tf", which is not installed',
            hint="pip install tensorflow, or leave `format` out: the dataset has tf.data's methods",
        ) from None
    return tensorflow


def in_format(owner: str, format: str | None, made: Any) -> Any:
    """Returns a dataset, or a list of them, in the form that was asked for."""
    if format != "tf":
        return made
    tf = import_tensorflow(owner)
    return [_as_tf(tf, one) for one in made] if isinstance(made, list) else _as_tf(tf, made)


def _as_tf(tf: Any, dataset: RowDataset) -> Any:
    def batches() -> Iterator[Any]:
        return map(_arrays, dataset)

    def spec(array: np.ndarray) -> Any:
        dtype = tf.string if array.dtype.kind in "OSU" else tf.as_dtype(array.dtype)
        rest = array.shape if dataset.batch_size is None else (None, *array.shape[1:])
        return tf.TensorSpec(rest, dtype)

    signature = map_structure(spec, _arrays(dataset[0]))
    made = tf.data.Dataset.from_generator(batches, output_signature=signature)
    made = made.apply(tf.data.experimental.assert_cardinality(len(dataset)))
    made = made.prefetch(tf.data.AUTOTUNE)
    for name in ("class_names", "file_paths"):
        if hasattr(dataset, name):
            setattr(made, name, getattr(dataset, name))
    return made


def _arrays(batch: Any) -> Any:
    """Returns the parts of a batch as arrays; a list of texts is one part."""
    return tuple(map(_array, batch)) if isinstance(batch, tuple) else _array(batch)


def _array(value: Any) -> np.ndarray:
    array = np.asarray(value)
    return array.astype(object) if array.dtype.kind == "U" else array
