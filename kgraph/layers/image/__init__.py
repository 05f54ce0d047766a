"""Layers over images: sizes, movements, colours and mixtures."""

from kgraph.layers.image.aug_mix import AugMix
from kgraph.layers.image.blur import RandomGaussianBlur, RandomSharpness
from kgraph.layers.image.brightness import RandomBrightness, RandomContrast
from kgraph.layers.image.center_crop import CenterCrop
from kgraph.layers.image.clahe import ContrastLimitedAdaptiveHistogramEqualization
from kgraph.layers.image.erasing import RandomErasing
from kgraph.layers.image.grayscale import RandomColorDegeneration, RandomGrayscale
from kgraph.layers.image.histogram import AutoContrast, Equalization
from kgraph.layers.image.hue import RandomHue, RandomSaturation
from kgraph.layers.image.jitter import RandomColorJitter
from kgraph.layers.image.mixing import CutMix, MixUp
from kgraph.layers.image.pipeline import Pipeline
from kgraph.layers.image.rand_augment import RandAugment
from kgraph.layers.image.random_crop import RandomCrop
from kgraph.layers.image.random_elastic_transform import RandomElasticTransform
from kgraph.layers.image.random_flip import RandomFlip
from kgraph.layers.image.random_perspective import RandomPerspective
from kgraph.layers.image.random_rotation import RandomRotation
from kgraph.layers.image.random_shear import RandomShear
from kgraph.layers.image.random_translation import RandomTranslation
from kgraph.layers.image.random_zoom import RandomZoom
from kgraph.layers.image.resizing import Resizing
from kgraph.layers.image.tones import RandomInvert, RandomPosterization, Solarization

__all__ = [
    "AugMix",
    "AutoContrast",
    "CenterCrop",
    "ContrastLimitedAdaptiveHistogramEqualization",
    "CutMix",
    "Equalization",
    "MixUp",
    "Pipeline",
    "RandAugment",
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomCrop",
    "RandomElasticTransform",
    "RandomErasing",
    "RandomFlip",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHue",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterization",
    "RandomRotation",
    "RandomSaturation",
    "RandomSharpness",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
    "Resizing",
    "Solarization",
]
