"""The public names that Keras keeps under `keras.backend`."""

from kgraph.config import (
    epsilon,
    floatx,
    image_data_format,
    set_epsilon,
    set_floatx,
    set_image_data_format,
)
from kgraph.utils import clear_session


def backend() -> str:
    """Returns `"jax"`."""
    return "jax"


__all__ = [
    "backend", "clear_session", "epsilon", "floatx", "image_data_format", "set_epsilon",
    "set_floatx", "set_image_data_format",
]  # fmt: skip
