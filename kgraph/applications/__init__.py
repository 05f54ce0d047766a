"""Networks from the literature as functional models, with the published weights or random ones.

Names of models and layers are Keras', so its files of weights fit.
"""

from typing import TYPE_CHECKING

from kgraph.lazy import lazy_names

if TYPE_CHECKING:
    from kgraph.applications import convnext as convnext
    from kgraph.applications import densenet as densenet
    from kgraph.applications import efficientnet as efficientnet
    from kgraph.applications import efficientnet_v2 as efficientnet_v2
    from kgraph.applications import imagenet_utils as imagenet_utils
    from kgraph.applications import inception_resnet_v2 as inception_resnet_v2
    from kgraph.applications import inception_v3 as inception_v3
    from kgraph.applications import mobilenet as mobilenet
    from kgraph.applications import mobilenet_v2 as mobilenet_v2
    from kgraph.applications import mobilenet_v3 as mobilenet_v3
    from kgraph.applications import nasnet as nasnet
    from kgraph.applications import resnet as resnet
    from kgraph.applications import resnet50 as resnet50
    from kgraph.applications import resnet_v2 as resnet_v2
    from kgraph.applications import vgg16 as vgg16
    from kgraph.applications import vgg19 as vgg19
    from kgraph.applications import xception as xception
    from kgraph.applications.convnext import ConvNeXtBase as ConvNeXtBase
    from kgraph.applications.convnext import ConvNeXtLarge as ConvNeXtLarge
    from kgraph.applications.convnext import ConvNeXtSmall as ConvNeXtSmall
    from kgraph.applications.convnext import ConvNeXtTiny as ConvNeXtTiny
    from kgraph.applications.convnext import ConvNeXtXLarge as ConvNeXtXLarge
    from kgraph.applications.densenet import DenseNet121 as DenseNet121
    from kgraph.applications.densenet import DenseNet169 as DenseNet169
    from kgraph.applications.densenet import DenseNet201 as DenseNet201
    from kgraph.applications.efficientnet import EfficientNetB0 as EfficientNetB0
    from kgraph.applications.efficientnet import EfficientNetB1 as EfficientNetB1
    from kgraph.applications.efficientnet import EfficientNetB2 as EfficientNetB2
    from kgraph.applications.efficientnet import EfficientNetB3 as EfficientNetB3
    from kgraph.applications.efficientnet import EfficientNetB4 as EfficientNetB4
    from kgraph.applications.efficientnet import EfficientNetB5 as EfficientNetB5
    from kgraph.applications.efficientnet import EfficientNetB6 as EfficientNetB6
    from kgraph.applications.efficientnet import EfficientNetB7 as EfficientNetB7
    from kgraph.applications.efficientnet_v2 import EfficientNetV2B0 as EfficientNetV2B0
    from kgraph.applications.efficientnet_v2 import EfficientNetV2B1 as EfficientNetV2B1
    from kgraph.applications.efficientnet_v2 import EfficientNetV2B2 as EfficientNetV2B2
    from kgraph.applications.efficientnet_v2 import EfficientNetV2B3 as EfficientNetV2B3
    from kgraph.applications.efficientnet_v2 import EfficientNetV2L as EfficientNetV2L
    from kgraph.applications.efficientnet_v2 import EfficientNetV2M as EfficientNetV2M
    from kgraph.applications.efficientnet_v2 import EfficientNetV2S as EfficientNetV2S
    from kgraph.applications.inception_resnet_v2 import InceptionResNetV2 as InceptionResNetV2
    from kgraph.applications.inception_v3 import InceptionV3 as InceptionV3
    from kgraph.applications.mobilenet import MobileNet as MobileNet
    from kgraph.applications.mobilenet_v2 import MobileNetV2 as MobileNetV2
    from kgraph.applications.mobilenet_v3 import MobileNetV3Large as MobileNetV3Large
    from kgraph.applications.mobilenet_v3 import MobileNetV3Small as MobileNetV3Small
    from kgraph.applications.nasnet import NASNetLarge as NASNetLarge
    from kgraph.applications.nasnet import NASNetMobile as NASNetMobile
    from kgraph.applications.resnet import ResNet50 as ResNet50
    from kgraph.applications.resnet import ResNet101 as ResNet101
    from kgraph.applications.resnet import ResNet152 as ResNet152
    from kgraph.applications.resnet_v2 import ResNet50V2 as ResNet50V2
    from kgraph.applications.resnet_v2 import ResNet101V2 as ResNet101V2
    from kgraph.applications.resnet_v2 import ResNet152V2 as ResNet152V2
    from kgraph.applications.vgg import VGG16 as VGG16
    from kgraph.applications.vgg import VGG19 as VGG19
    from kgraph.applications.xception import Xception as Xception
else:
    __getattr__, __dir__ = lazy_names(__name__)
