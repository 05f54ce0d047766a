"""Convolutions."""

from typing import TYPE_CHECKING

from kgraph.lazy import lazy_names

if TYPE_CHECKING:
    from kgraph.layers.convolution.aliases import Convolution1D as Convolution1D
    from kgraph.layers.convolution.aliases import Convolution1DTranspose as Convolution1DTranspose
    from kgraph.layers.convolution.aliases import Convolution2D as Convolution2D
    from kgraph.layers.convolution.aliases import Convolution2DTranspose as Convolution2DTranspose
    from kgraph.layers.convolution.aliases import Convolution3D as Convolution3D
    from kgraph.layers.convolution.aliases import Convolution3DTranspose as Convolution3DTranspose
    from kgraph.layers.convolution.aliases import SeparableConvolution1D as SeparableConvolution1D
    from kgraph.layers.convolution.aliases import SeparableConvolution2D as SeparableConvolution2D
    from kgraph.layers.convolution.conv import Conv1D as Conv1D
    from kgraph.layers.convolution.conv import Conv2D as Conv2D
    from kgraph.layers.convolution.conv import Conv3D as Conv3D
    from kgraph.layers.convolution.depthwise import DepthwiseConv1D as DepthwiseConv1D
    from kgraph.layers.convolution.depthwise import DepthwiseConv2D as DepthwiseConv2D
    from kgraph.layers.convolution.separable import SeparableConv1D as SeparableConv1D
    from kgraph.layers.convolution.separable import SeparableConv2D as SeparableConv2D
    from kgraph.layers.convolution.transposed import Conv1DTranspose as Conv1DTranspose
    from kgraph.layers.convolution.transposed import Conv2DTranspose as Conv2DTranspose
    from kgraph.layers.convolution.transposed import Conv3DTranspose as Conv3DTranspose
else:
    __getattr__, __dir__ = lazy_names(__name__)
