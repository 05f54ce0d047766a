"""The long names that Keras has for convolutions as well."""

from kgraph.layers.convolution.conv import Conv1D, Conv2D, Conv3D
from kgraph.layers.convolution.separable import SeparableConv1D, SeparableConv2D
from kgraph.layers.convolution.transposed import (
    Conv1DTranspose,
    Conv2DTranspose,
    Conv3DTranspose,
)

Convolution1D, Convolution2D, Convolution3D = Conv1D, Conv2D, Conv3D
Convolution1DTranspose, Convolution2DTranspose = Conv1DTranspose, Conv2DTranspose
Convolution3DTranspose = Conv3DTranspose
SeparableConvolution1D, SeparableConvolution2D = SeparableConv1D, SeparableConv2D
