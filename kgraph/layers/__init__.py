"""The layers, under one name space as in Keras."""

from typing import TYPE_CHECKING

from kgraph.late import late_names

if TYPE_CHECKING:
    __all__: list[str]
    from kgraph.layers.activation import *
    from kgraph.layers.attention import *
    from kgraph.layers.base import Input as Input
    from kgraph.layers.base import InputLayer as InputLayer
    from kgraph.layers.base import InputSpec as InputSpec
    from kgraph.layers.base import Layer as Layer
    from kgraph.layers.convolution import *
    from kgraph.layers.core import *
    from kgraph.layers.image import *
    from kgraph.layers.interop import *
    from kgraph.layers.lookup import deserialize as deserialize
    from kgraph.layers.lookup import serialize as serialize
    from kgraph.layers.merging import *
    from kgraph.layers.normalization import *
    from kgraph.layers.pooling import *
    from kgraph.layers.preprocessing import *
    from kgraph.layers.recurrent import *
    from kgraph.layers.regularization import *
    from kgraph.layers.reshaping import *
    from kgraph.layers.text import *
else:
    __getattr__, __dir__, __all__ = late_names(__name__, {
        "activation": "ELU LeakyReLU PReLU ReLU Softmax",
        "attention": "AdditiveAttention Attention GroupQueryAttention MultiHeadAttention",
        "base": "Input InputLayer InputSpec Layer",
        "convolution": (
            "Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose Convolution1D "
            "Convolution1DTranspose Convolution2D Convolution2DTranspose Convolution3D "
            "Convolution3DTranspose DepthwiseConv1D DepthwiseConv2D SeparableConv1D "
            "SeparableConv2D SeparableConvolution1D SeparableConvolution2D"
        ),
        "core": (
            "Activation Dense EinsumDense Embedding Identity Lambda Masking ReversibleEmbedding "
            "Wrapper"
        ),
        "image": (
            "AugMix AutoContrast CenterCrop ContrastLimitedAdaptiveHistogramEqualization CutMix "
            "Equalization MixUp Pipeline RandAugment RandomBrightness RandomColorDegeneration "
            "RandomColorJitter RandomContrast RandomCrop RandomElasticTransform RandomErasing "
            "RandomFlip RandomGaussianBlur RandomGrayscale RandomHue RandomInvert "
            "RandomPerspective RandomPosterization RandomRotation RandomSaturation "
            "RandomSharpness RandomShear RandomTranslation RandomZoom Resizing Solarization"
        ),
        "interop": "FlaxLayer JaxLayer",
        "lookup": "deserialize serialize",
        "merging": (
            "Add Average Concatenate Dot Maximum Minimum Multiply Subtract add average "
            "concatenate dot maximum minimum multiply subtract"
        ),
        "normalization": (
            "BatchNormalization GroupNormalization LayerNormalization RMSNormalization "
            "SpectralNormalization UnitNormalization"
        ),
        "pooling": (
            "AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D "
            "AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D AveragePooling1D "
            "AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D "
            "GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D "
            "GlobalAvgPool1D GlobalAvgPool2D GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D "
            "GlobalMaxPool3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D MaxPool1D "
            "MaxPool2D MaxPool3D MaxPooling1D MaxPooling2D MaxPooling3D"
        ),
        "preprocessing": (
            "CategoryEncoding Discretization HashedCrossing Hashing MelSpectrogram "
            "Normalization Rescaling STFTSpectrogram"
        ),
        "recurrent": (
            "GRU LSTM RNN Bidirectional ConvLSTM1D ConvLSTM2D ConvLSTM3D GRUCell LSTMCell "
            "RecurrentCell SimpleRNN SimpleRNNCell StackedRNNCells TimeDistributed"
        ),
        "regularization": (
            "ActivityRegularization AlphaDropout Dropout GaussianDropout GaussianNoise "
            "SpatialDropout1D SpatialDropout2D SpatialDropout3D"
        ),
        "reshaping": (
            "Cropping1D Cropping2D Cropping3D Flatten Permute RepeatVector Reshape UpSampling1D "
            "UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D"
        ),
        "text": "IntegerLookup StringLookup TextVectorization",
    }, kinds=("layer", "initializer"))  # fmt: skip
