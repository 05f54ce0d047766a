"""ResNet50 under the name of Keras' module."""

from kgraph.applications.resnet import ResNet50, decode_predictions, preprocess_input

__all__ = ["ResNet50", "decode_predictions", "preprocess_input"]
