"""Inputs of a Keras config: which of their unknown sizes are one size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, TypeGuard

from kgraph.graph.dims import BATCH, fresh_dim
from kgraph.keras_forms import DTYPES
from kgraph.layers.base import InputLayer
from kgraph.saving.files.file_error import refusing
from kgraph.saving.keras_format.archive import CONFIG
from kgraph.saving.keras_format.objects_in import ObjectReader

MAX_RANK = 32
Sharing: TypeAlias = Literal["none", "axis", "all"]


class InputSizes:
    """Names for the sizes that a file leaves open.

    Keras writes None for each. kgraph wants to know which are equal. First each counts as a size of
    its own; where a model cannot be built like this, those at the same axis of all inputs are one
    size, and then all are.

    Args:
        sharing: which unknown sizes are one.

    Attributes:
        used: whether there was any.
    """

    def __init__(self, sharing: Sharing = "none") -> None:
        self._sharing = sharing
        self._known: dict[int, str] = {}
        self.used = False

    def name(self, axis: int) -> str:
        """Returns the name of an unknown size."""
        self.used = True
        if self._sharing == "none":
            return fresh_dim()
        return self._known.setdefault(axis if self._sharing == "axis" else 0, fresh_dim())


def _is_shape(data: Any) -> TypeGuard[list[int | None]]:
    whole = isinstance(data, list) and 0 < len(data) <= MAX_RANK
    return whole and all(n is None or (type(n) is int and 0 <= n < 2**31) for n in data)


def input_layer(reader: ObjectReader, config: Any, at: str, sizes: InputSizes) -> InputLayer:
    """Returns the layer of an input. Files name its shape `batch_shape`, `batch_input_shape` or
    `shape`."""
    if not isinstance(config, Mapping):
        raise reader.error("is no Keras config", f"{at}.config", expected="options")
    shape = config.get("batch_shape", config.get("batch_input_shape"))
    if shape is None and isinstance(config.get("shape"), list):
        shape = [config.get("batch_size"), *config["shape"]]
    if not _is_shape(shape):
        raise reader.error(
            "has an input of no shape", f"{at}.config.batch_shape", expected="sizes or null",
            received=shape,
        )  # fmt: skip
    if config.get("sparse") or config.get("ragged"):
        raise reader.error("has an input that is not dense", at)
    dims = [sizes.name(i) if n is None else n for i, n in enumerate(shape)]
    if shape[0] is None:
        dims[0] = BATCH
    dtype = reader.value(config.get("dtype"), f"{at}.config.dtype")
    if dtype not in (None, *DTYPES):
        raise reader.error("has an input of no dtype", f"{at}.config.dtype", received=dtype)
    with refusing(reader.path, "has an input that cannot be made", member=CONFIG, at=at):
        return InputLayer(dims=dims, dtype=dtype, optional=config.get("optional") is True)
