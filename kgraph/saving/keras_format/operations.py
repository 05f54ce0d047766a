"""Keras' operations on symbols and kgraph's: one closed table for both directions."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kgraph import ops

_NUMPY, _NN = "keras.src.ops.numpy", "keras.src.ops.nn"
_MATH, _CORE, _LINALG = "keras.src.ops.math", "keras.src.ops.core", "keras.src.ops.linalg"


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
    """,
    _NN: """
    HardSigmoid=hard_sigmoid HardSilu=hard_silu HardTanh=hard_tanh LogSigmoid=log_sigmoid Relu=relu
    Relu6=relu6 Selu=selu Sigmoid=sigmoid Silu=silu Softplus=softplus Softsign=soft_sign
    """,
    _MATH: "Erf=erf Erfinv=erf_inv Rsqrt=rsqrt",
    _CORE: "StopGradient=stop_gradient",
}
_SAME = {
    _NUMPY: """
    All=all:axis,keepdims Any=any:axis,keepdims Argmax=argmax:axis,keepdims
    Argmin=argmin:axis,keepdims Argsort=argsort:axis Concatenate=concatenate:axis
    ExpandDims=expand_dims:axis Flip=flip:axis Max=max:axis,keepdims Amax=amax:axis,keepdims
    Mean=mean:axis,keepdims Median=median:axis,keepdims Min=min:axis,keepdims
    Amin=amin:axis,keepdims Moveaxis=moveaxis:source,destination Prod=prod:axis,keepdims
    Repeat=repeat:repeats,axis Roll=roll:shift,axis Sort=sort:axis Stack=stack:axis
    Std=std:axis,keepdims Sum=sum:axis,keepdims Squeeze=squeeze:axis Swapaxes=swapaxes:axis1,axis2
    Take=take:axis TakeAlongAxis=take_along_axis:axis Tensordot=tensordot:axes
    Transpose=transpose:axes Tril=tril:k Triu=triu:k Var=var:axis,keepdims Cumsum=cumsum:axis
    Cumprod=cumprod:axis BroadcastTo=broadcast_to:shape Diagonal=diagonal:offset,axis1,axis2
    Round=round:decimals Trace=trace:offset,axis1,axis2 OnesLike=ones_like:dtype
    ZerosLike=zeros_like:dtype
    """,
    _NN: """
    Softmax=softmax:axis LogSoftmax=log_softmax:axis Elu=elu:alpha Celu=celu:alpha Glu=glu:axis
    Gelu=gelu:approximate LeakyRelu=leaky_relu:negative_slope
    """,
    _MATH: "Logsumexp=logsumexp:axis,keepdims",
    _CORE: "Cast=cast:dtype",
    _LINALG: "Norm=norm:ord,axis,keepdims",
}
_OTHER = (
    OperationPair(_NUMPY, "Reshape", "reshape", {"newshape": "shape"}),
    OperationPair(_NUMPY, "Clip", "clip", {"x_min": "min", "x_max": "max"}),
    OperationPair(_NUMPY, "Tile", "tile", {"repeats": "reps"}),
)
_DROPPED: Mapping[str, Any] = {"initial": None, "dtype": None, "name": None}


def _pairs() -> list[OperationPair]:
    found = list(_OTHER)
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


def from_keras(module: Any, class_name: Any, config: Mapping[str, Any]) -> tuple[str, dict]:
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


def to_keras(function: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
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
