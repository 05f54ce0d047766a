"""Layers on tensors of TensorFlow, as in the functions of `tf.data.Dataset.map`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kgraph.errors import DataError
from kgraph.graph.structure import leaves, map_structure
from kgraph.layers.base.core import label_of
from kgraph.source import user_source

if TYPE_CHECKING:
    from kgraph.layers.base.layer import Layer


def has_tensors(args: Any, kwargs: Any) -> bool:
    """Tells whether a call is given tensors of TensorFlow; it is not imported to know that."""
    is_tensor = getattr(sys.modules.get("tensorflow"), "is_tensor", None)
    return is_tensor is not None and any(map(is_tensor, leaves([args, kwargs])))


def call_on_tensors(layer: Layer, args: Any, kwargs: Any) -> Any:
    """Runs a layer on tensors and returns tensors: now, or in a graph as a `numpy_function`.

    In a graph the shapes of the results are those of two runs on zeros (or empty texts), with 2 and
    3 in the place of sizes that are not known: what differs is not known.

    Raises:
        DataError: a tensor is ragged or sparse, or its rank is not known.
    """
    tf: Any = sys.modules["tensorflow"]
    tensors = [item for item in leaves([args, kwargs]) if tf.is_tensor(item)]
    for tensor in tensors:
        _check(layer, tensor, tf)

    def run(arrays: Sequence[Any]) -> Any:
        rest = iter(arrays)
        filled: Any = map_structure(
            lambda item: _as_array(next(rest)) if tf.is_tensor(item) else item, [args, kwargs]
        )
        return map_structure(np.asarray, layer(*filled[0], **filled[1]))

    if all(hasattr(tensor, "numpy") for tensor in tensors):
        return map_structure(tf.convert_to_tensor, run([tensor.numpy() for tensor in tensors]))
    few, more = (run([_sample(tensor, size) for tensor in tensors]) for size in (2, 3))
    kinds = [tf.as_dtype(array.dtype) for array in leaves(few)]
    found = tf.numpy_function(lambda *arrays: list(leaves(run(arrays))), tensors, kinds)
    for result, one, other in zip(found, leaves(few), leaves(more)):
        result.set_shape([n if n == m else None for n, m in zip(one.shape, other.shape)])
    results = iter(found)
    return map_structure(lambda _: next(results), few)


for _function in (has_tensors, call_on_tensors):
    _function.autograph_info__ = {}  # type: ignore[attr-defined]  # AutoGraph leaves them alone


def _check(layer: Layer, tensor: Any, tf: Any) -> None:
    hints = {tf.RaggedTensor: "tensor.to_tensor()", tf.SparseTensor: "tf.sparse.to_dense(tensor)"}
    for kind, hint in hints.items():
        if isinstance(tensor, kind):
            raise DataError(
                f"{label_of(layer)} takes dense tensors", at=user_source(),
                received=kind.__name__, hint=hint,
            )  # fmt: skip
    if tensor.shape.rank is None:
        raise DataError(
            f"{label_of(layer)} needs to know how many axes a tensor has", at=user_source(),
            received=repr(tensor), hint="tf.ensure_shape(tensor, (None, 3))",
        )  # fmt: skip


def _sample(tensor: Any, size: int) -> np.ndarray:
    shape = [size if n is None else n for n in tensor.shape]
    if tensor.dtype.name == "string":
        return np.full(shape, b"", object)
    return np.zeros(shape, tensor.dtype.as_numpy_dtype)


def _as_array(value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "OS":
        return array
    texts = [item.decode() if isinstance(item, bytes) else item for item in array.ravel()]
    return np.asarray(texts, str).reshape(array.shape)
