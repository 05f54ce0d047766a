"""What layers have without being told: float type, fuzz factor, image layout."""

from __future__ import annotations

from kgraph.config.settings import _settings
from kgraph.errors import check_choice

FLOATS = ("bfloat16", "float16", "float32", "float64")
_LAYOUTS = ("channels_last", "channels_first")


def floatx() -> str:
    """Returns the float type of new weights and of inputs without a dtype (`"float32"`)."""
    return _settings.floatx


def set_floatx(value: str) -> None:
    """Sets the default float type: bfloat16, float16, float32 or float64."""
    check_choice("set_floatx", "value", value, FLOATS)
    _settings.floatx = value


def epsilon() -> float:
    """Returns the fuzz factor that keeps logarithms and divisions finite (1e-7)."""
    return _settings.epsilon


def set_epsilon(value: float) -> None:
    """Sets the fuzz factor."""
    _settings.epsilon = float(value)


def image_data_format() -> str:
    """Returns the default layout of images, `"channels_last"` or `"channels_first"`."""
    return _settings.image_data_format


def set_image_data_format(data_format: str) -> None:
    """Sets the default layout of images."""
    check_choice("set_image_data_format", "data_format", data_format, _LAYOUTS)
    _settings.image_data_format = data_format
