"""The IDX format of the MNIST family: a header with the shape, then the values."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from kgraph.errors import DataError

_UINT8 = 0x08


def read_idx_gz(path: Path) -> np.ndarray:
    """Returns the uint8 array of a gzipped IDX file.

    Raises:
        DataError: if the file is damaged or holds another type.

    Source: the format as described at http://yann.lecun.com/exdb/mnist/: two zero bytes, the type,
    the number of dimensions, the sizes as big-endian int32, the values in row-major order.
    """
    try:
        with gzip.open(path) as file:
            contents = file.read()
        zeros, kind, rank = struct.unpack_from(">HBB", contents)
        shape = struct.unpack_from(f">{rank}I", contents, 4)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise DataError("This IDX file is damaged", at=path, received=error) from error
    values = contents[4 + 4 * rank :]
    if zeros != 0 or kind != _UINT8 or len(values) != math.prod(shape):
        raise DataError(
            "This is not a complete IDX file of bytes",
            at=path,
            expected=f"type 0x08 and {math.prod(shape)} values for the shape {shape}",
            received=f"type {kind:#04x} and {len(values)} values",
        )
    return np.frombuffer(values, np.uint8).reshape(shape).copy()  # writable, unlike the buffer
