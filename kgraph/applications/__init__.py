"""Networks from the literature, as functional models with random weights."""

from kgraph.applications.vgg import VGG16, VGG19

__all__ = ["VGG16", "VGG19"]
