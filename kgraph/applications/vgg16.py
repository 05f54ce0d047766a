"""VGG16 under the name of Keras' module."""

from kgraph.applications.imagenet_utils import caffe_input as preprocess_input
from kgraph.applications.imagenet_utils import decode_predictions
from kgraph.applications.vgg import VGG16

__all__ = ["VGG16", "decode_predictions", "preprocess_input"]
