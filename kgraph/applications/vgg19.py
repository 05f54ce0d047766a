"""VGG19 under the name of Keras' module."""

from kgraph.applications.imagenet_utils import caffe_input as preprocess_input
from kgraph.applications.imagenet_utils import decode_predictions
from kgraph.applications.vgg import VGG19

__all__ = ["VGG19", "decode_predictions", "preprocess_input"]
