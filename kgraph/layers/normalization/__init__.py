"""Normalisation."""

from kgraph.layers.normalization.batch import BatchNormalization
from kgraph.layers.normalization.group import GroupNormalization
from kgraph.layers.normalization.layer import LayerNormalization
from kgraph.layers.normalization.rms import RMSNormalization
from kgraph.layers.normalization.spectral import SpectralNormalization
from kgraph.layers.normalization.unit import UnitNormalization

__all__ = [
    "BatchNormalization", "GroupNormalization", "LayerNormalization", "RMSNormalization",
    "SpectralNormalization", "UnitNormalization",
]  # fmt: skip
