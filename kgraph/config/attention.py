"""Whether attention asks for a fused kernel without being told."""

from __future__ import annotations

from kgraph.config.settings import _settings


def enable_flash_attention() -> None:
    """Lets attention layers made from now on ask for cuDNN's fused kernel where it can be used.

    On NVIDIA GPUs, for 16-bit floats and heads whose size it knows; everywhere else XLA computes
    the same numbers. A layer's own `flash_attention` goes first.
    """
    _settings.flash_attention = True


def disable_flash_attention() -> None:
    """Leaves attention to XLA, as it is by default."""
    _settings.flash_attention = False


def is_flash_attention_enabled() -> bool:
    """Tells whether `enable_flash_attention` is in force."""
    return _settings.flash_attention
