"""Keras' operations on symbols and kgraph's: one closed table for both directions."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kgraph import ops
from kgraph.types import Config

_NUMPY, _NN = "keras.src.ops.numpy", "keras.src.ops.nn"
_MATH, _CORE, _LINALG = "keras.src.ops.math", "keras.src.ops.core", "keras.src.ops.linalg"
_IMAGE = "keras.src.ops.image"


@dataclass(frozen=True)
class OperationPair:
    """One operation under both names.

    Fields:
        module, class_name: as Keras' files name it.
        function: its name in `kgraph.ops`.
        options: what Keras keeps in the operation's config, and the function's argument for it.
    """

    module: str
    class_name: str
    function: str
    options: Mapping[str, str] = field(default_factory=dict)


_PLAIN = {
    _NUMPY: """
    Absolute=absolute Abs=abs Add=add Arccos=arccos Arccosh=arccosh Arcsin=arcsin Arcsinh=arcsinh
    Arctan=arctan Arctan2=arctan2 Arctanh=arctanh Cbrt=cbrt Ceil=ceil Copy=copy Cos=cos Cosh=cosh
    Deg2rad=deg2rad Divide=divide Dot=dot Equal=equal Exp=exp Exp2=exp2 Expm1=expm1 Floor=floor
    FloorDivide=floor_divide GetItem=getitem Greater=greater GreaterEqual=greater_equal Hypot=hypot
    Isfinite=isfinite Isinf=isinf Isnan=isnan Less=less LessEqual=less_equal Log=log Log10=log10
    Log1p=log1p Log2=log2 Logaddexp=logaddexp LogicalAnd=logical_and LogicalNot=logical_not
    LogicalOr=logical_or LogicalXor=logical_xor Matmul=matmul Maximum=maximum Minimum=minimum
    Mod=mod Multiply=multiply Negative=negative NotEqual=not_equal Outer=outer Power=power
    Rad2deg=rad2deg Ravel=ravel Reciprocal=reciprocal Sign=sign Sin=sin Sinh=sinh Sqrt=sqrt
    Square=square Subtract=subtract Tan=tan Tanh=tanh TrueDivide=true_divide Trunc=trunc Where=where
    Angle=angle BitwiseAnd=bitwise_and BitwiseInvert=bitwise_invert
    BitwiseLeftShift=bitwise_left_shift BitwiseNot=bitwise_not BitwiseOr=bitwise_or
    BitwiseRightShift=bitwise_right_shift BitwiseXor=bitwise_xor Conj=conj Conjugate=conjugate
    Corrcoef=corrcoef Digitize=digitize DivideNoNan=divide_no_nan Dstack=dstack Fabs=fabs
    Fliplr=fliplr Flipud=flipud Fmax=fmax Fmin=fmin Fmod=fmod Gcd=gcd Heaviside=heaviside
    Hstack=hstack I0=i0 Imag=imag Inner=inner Isneginf=isneginf Isposinf=isposinf Isreal=isreal
    Kron=kron Lcm=lcm Ldexp=ldexp LeftShift=left_shift Logaddexp2=logaddexp2 Nextafter=nextafter
    Real=real RightShift=right_shift Signbit=signbit Sinc=sinc Vdot=vdot Vstack=vstack
    """,
    _NN: """
    HardSigmoid=hard_sigmoid HardSilu=hard_silu HardTanh=hard_tanh LogSigmoid=log_sigmoid Relu=relu
    Relu6=relu6 Selu=selu Sigmoid=sigmoid Silu=silu Softplus=softplus Softsign=softsign
    Polar=polar SparsePlus=sparse_plus SparseSigmoid=sparse_sigmoid TanhShrink=tanh_shrink
    """,
    _MATH: """
    CDist=cdist Erf=erf Erfc=erfc Erfinv=erfinv Logdet=logdet Rsqrt=rsqrt
    ViewAsComplex=view_as_complex ViewAsReal=view_as_real
    """,
    _CORE: "StopGradient=stop_gradient",
    _LINALG: "Det=det Inv=inv Solve=solve",
}
_SAME = {
    _NUMPY: """
    All=all:axis,keepdims Any=any:axis,keepdims Argmax=argmax:axis,keepdims
    Argmin=argmin:axis,keepdims Argsort=argsort:axis Concatenate=concatenate:axis
    ExpandDims=expand_dims:axis Flip=flip:axis Max=max:axis,keepdims,initial Amax=amax:axis,keepdims
    Mean=mean:axis,keepdims Median=median:axis,keepdims Min=min:axis,keepdims,initial
    Amin=amin:axis,keepdims Moveaxis=moveaxis:source,destination Prod=prod:axis,keepdims,dtype
    Repeat=repeat:repeats,axis Roll=roll:shift,axis Sort=sort:axis Stack=stack:axis
    Std=std:axis,keepdims Sum=sum:axis,keepdims Squeeze=squeeze:axis Swapaxes=swapaxes:axis1,axis2
    Take=take:axis TakeAlongAxis=take_along_axis:axis Tensordot=tensordot:axes
    Transpose=transpose:axes Tril=tril:k Triu=triu:k Var=var:axis,keepdims Cumsum=cumsum:axis,dtype
    Cumprod=cumprod:axis,dtype BroadcastTo=broadcast_to:shape Diagonal=diagonal:offset,axis1,axis2
    Round=round:decimals Trace=trace:offset,axis1,axis2 OnesLike=ones_like:dtype
    AllClose=allclose:rtol,atol,equal_nan Append=append:axis Argpartition=argpartition:kth,axis
    Array=array:dtype Correlate=correlate:mode CountNonzero=count_nonzero:axis
    Cross=cross:axisa,axisb,axisc,axis Diag=diag:k Diagflat=diagflat:k Diff=diff:n,axis
    EmptyLike=empty_like:dtype FullLike=full_like:dtype IsIn=isin:assume_unique,invert
    Isclose=isclose:equal_nan Nanargmax=nanargmax:axis,keepdims Nanargmin=nanargmin:axis,keepdims
    NanToNum=nan_to_num:nan,posinf,neginf Nancumprod=nancumprod:axis,dtype
    Nancumsum=nancumsum:axis,dtype Nanmax=nanmax:axis,keepdims Nanmean=nanmean:axis,keepdims
    Nanmedian=nanmedian:axis,keepdims Nanmin=nanmin:axis,keepdims Nanprod=nanprod:axis,keepdims
    Nanpercentile=nanpercentile:axis,method,keepdims Nanstd=nanstd:axis,keepdims
    Nanquantile=nanquantile:axis,method,keepdims Nansum=nansum:axis,keepdims
    Nanvar=nanvar:axis,keepdims Percentile=percentile:axis,method,keepdims Ptp=ptp:axis,keepdims
    Quantile=quantile:axis,method,keepdims SearchSorted=searchsorted:side
    Trapezoid=trapezoid:x,dx,axis Vander=vander:N,increasing View=view:dtype
    ZerosLike=zeros_like:dtype Reshape=reshape:newshape Clip=clip:x_min,x_max Tile=tile:repeats
    """,
    _NN: """
    Softmax=softmax:axis LogSoftmax=log_softmax:axis Elu=elu:alpha Celu=celu:alpha Glu=glu:axis
    Gelu=gelu:approximate LeakyRelu=leaky_relu:negative_slope HardShrink=hard_shrink:threshold
    SoftShrink=soft_shrink:threshold Sparsemax=sparsemax:axis Squareplus=squareplus:b
    Threshold=threshold:threshold,default_value
    AveragePool=average_pool:pool_size,strides,padding,data_format
    BinaryCrossentropy=binary_crossentropy:from_logits
    CategoricalCrossentropy=categorical_crossentropy:from_logits,axis
    Conv=conv:strides,padding,data_format,dilation_rate CTCLoss=ctc_loss:mask_index
    DepthToSpace=depth_to_space:block_size,data_format
    DepthwiseConv=depthwise_conv:strides,padding,data_format,dilation_rate
    Fold=fold:output_size,kernel_size,dilation,padding,stride
    MaxPool=max_pool:pool_size,strides,padding,data_format Normalize=normalize:axis,order,epsilon
    OneHot=one_hot:num_classes,axis,dtype,sparse PSNR=psnr:max_val
    SeparableConv=separable_conv:strides,padding,data_format,dilation_rate
    SpaceToDepth=space_to_depth:block_size,data_format
    SparseCategoricalCrossentropy=sparse_categorical_crossentropy:from_logits,axis
    Unfold=unfold:kernel_size,dilation,padding,stride
    """,
    _MATH: """
    ExtractSequences=extract_sequences:sequence_length,sequence_stride InTopK=in_top_k:k
    IRFFT=irfft:fft_length
    ISTFT=istft:sequence_length,sequence_stride,fft_length,length,window,center
    Logsumexp=logsumexp:axis,keepdims SegmentMax=segment_max:num_segments,sorted
    SegmentMin=segment_min:num_segments,sorted SegmentProd=segment_prod:num_segments,sorted
    SegmentSum=segment_sum:num_segments,sorted
    """,
    _CORE: """
    Cast=cast:dtype SaturateCast=saturate_cast:dtype Scatter=scatter:shape
    ScatterUpdate=scatter_update:reduction Slice=slice:shape
    """,
    _LINALG: """
    Cholesky=cholesky:upper CholeskyInverse=cholesky_inverse:upper Lstsq=lstsq:rcond
    MatrixRank=matrix_rank:tol Norm=norm:ord,axis,keepdims Pinv=pinv:rcond
    SolveTriangular=solve_triangular:lower
    """,
    _IMAGE: """
    AffineTransform=affine_transform:interpolation,fill_mode,fill_value,data_format
    ExtractPatches=extract_patches:size,strides,dilation_rate,padding,data_format
    GaussianBlur=gaussian_blur:kernel_size,sigma,data_format HSVToRGB=hsv_to_rgb:data_format
    MapCoordinates=map_coordinates:order,fill_mode,fill_value
    PerspectiveTransform=perspective_transform:interpolation,fill_value,data_format
    RGBToGrayscale=rgb_to_grayscale:data_format RGBToHSV=rgb_to_hsv:data_format
    SobelEdges=sobel_edges:data_format SSIM=ssim:max_val,filter_size,filter_sigma,k1,k2,data_format
    """,
}
_DROPPED: Mapping[str, Any] = {"dtype": None, "name": None}


def _pairs() -> list[OperationPair]:
    found: list[OperationPair] = []
    for module, text in _PLAIN.items():
        for item in text.split():
            class_name, _, function = item.partition("=")
            found.append(OperationPair(module, class_name, function))
    for module, text in _SAME.items():
        for item in text.split():
            class_name, _, rest = item.partition("=")
            function, _, options = rest.partition(":")
            same = {name: name for name in options.split(",")}
            found.append(OperationPair(module, class_name, function, same))
    return found


PAIRS = _pairs()
_FROM_KERAS = {(pair.module, pair.class_name): pair for pair in PAIRS}
_TO_KERAS = {pair.function: pair for pair in PAIRS}


class OperationError(ValueError):
    """An operation has no counterpart; the text says which part of it."""


def is_keras_operation(module: Any) -> bool:
    """Tells whether a module in a Keras file is one of operations, known or not."""
    return isinstance(module, str) and module.startswith("keras.src.ops.")


def from_keras(module: Any, class_name: Any, config: Config) -> tuple[str, dict]:
    """Returns the function's name and its arguments besides tensors.

    Raises:
        OperationError: kgraph has no such operation, or it has an option that is not known.
    """
    pair = _FROM_KERAS.get((module, class_name))
    if pair is None:
        raise OperationError(f"the operation {class_name} is none of those that are exchanged")
    arguments: dict[str, Any] = {}
    for name, value in config.items():
        if name in pair.options:
            value = tuple(value) if isinstance(value, list) else value
            arguments[pair.options[name]] = value
        elif not (name == "name" or (name in _DROPPED and value is _DROPPED[name])):
            raise OperationError(f"the operation {class_name} has an option {name!r}")
    return pair.function, arguments


def to_keras(function: str, args: tuple[object, ...], kwargs: Mapping[str, object]) -> Any:
    """Returns the pair, Keras' config, and the arguments that stay in the call.

    Raises:
        OperationError: Keras has no such operation, or cannot say one of its arguments.
    """
    pair = _TO_KERAS.get(function)
    if pair is None:
        raise OperationError(f"kgraph.ops.{function} has no counterpart among Keras' operations")
    if not pair.options:
        if kwargs:
            raise OperationError(f"kgraph.ops.{function} with keywords {', '.join(kwargs)}")
        return pair, {}, args
    try:
        bound = inspect.signature(ops.function(function)).bind(*args, **kwargs)
    except TypeError as error:
        raise OperationError(f"kgraph.ops.{function}: {error}") from None
    bound.apply_defaults()
    arguments = dict(bound.arguments)
    config = {ours: arguments.pop(theirs) for ours, theirs in pair.options.items()}
    defaults = inspect.signature(ops.function(function)).parameters
    inputs = []
    for name, value in arguments.items():
        parameter = defaults[name]
        if parameter.default is inspect.Parameter.empty:
            inputs.append(value)
        elif value is not parameter.default and value != parameter.default:
            raise OperationError(f"kgraph.ops.{function} with {name}={value!r}")
    return pair, config, tuple(inputs)
