"""Initial values of weights: Keras' initializers, with values that follow key and path alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from kgraph import registry
from kgraph.initializers.base import FixedInitializer, Initializer, RandomInitializer
from kgraph.initializers.constant import Constant, Identity, Ones, Zeros
from kgraph.initializers.create import Request, create
from kgraph.initializers.distributions import RandomNormal, RandomUniform, TruncatedNormal
from kgraph.initializers.orthogonal import Orthogonal
from kgraph.initializers.scaling import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    VarianceScaling,
    compute_fans,
)
from kgraph.initializers.stft import STFT
from kgraph.initializers.variates import KEY_VERSION, path_hash
from kgraph.types import Config, CustomObjects, Function, InitializerLike

constant = Constant
glorot_normal = GlorotNormal
glorot_uniform = GlorotUniform
he_normal = HeNormal
he_uniform = HeUniform
identity = IdentityInitializer = Identity
lecun_normal = LecunNormal
lecun_uniform = LecunUniform
ones = Ones
orthogonal = OrthogonalInitializer = Orthogonal
random_normal = RandomNormal
random_uniform = RandomUniform
stft = STFTInitializer = STFT
truncated_normal = TruncatedNormal
variance_scaling = VarianceScaling
zeros = Zeros

# Names that strings may use besides those of the classes and their snake case.
for _alias, _cls in {
    "IdentityInitializer": Identity,
    "OrthogonalInitializer": Orthogonal,
    "STFTInitializer": STFT,
    "stft": STFT,
    "normal": RandomNormal,
    "uniform": RandomUniform,
    "one": Ones,
    "zero": Zeros,
}.items():
    registry.register("initializer", _alias, _cls)


def get(identifier: InitializerLike | None) -> Function | None:
    """Returns the initializer that an option such as `kernel_initializer="he_normal"` stands for.

    >>> get("uniform").maxval
    0.05

    Args:
        identifier: a name, a config, a class, a function of (shape, dtype) and perhaps `key`
            (returned as it is), an array (becomes `Constant`), or None.

    Raises:
        ConfigError: if the name is not known or the value is none of these.
    """
    if hasattr(identifier, "shape") and hasattr(identifier, "dtype"):
        return Constant(np.asarray(identifier))
    return registry.resolve("initializer", identifier)


def serialize(initializer: Function) -> dict[str, Any]:
    """Returns the config of an initializer: JSON types that `deserialize` reads."""
    return registry.serialize("initializer", initializer)


def deserialize(config: str | Config, custom_objects: CustomObjects | None = None) -> Function:
    """Returns the initializer that `serialize` wrote down."""
    return registry.deserialize("initializer", config, custom_objects)


__all__ = [
    "KEY_VERSION",
    "STFT",
    "Constant",
    "FixedInitializer",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "IdentityInitializer",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "OrthogonalInitializer",
    "RandomInitializer",
    "RandomNormal",
    "RandomUniform",
    "Request",
    "STFTInitializer",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "compute_fans",
    "constant",
    "create",
    "deserialize",
    "get",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "path_hash",
    "random_normal",
    "random_uniform",
    "serialize",
    "stft",
    "truncated_normal",
    "variance_scaling",
    "zeros",
]
