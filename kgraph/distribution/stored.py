"""Where the arrays of a model file go, if a distribution is in force while it is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from jax.sharding import Sharding

from kgraph.layers.base.tree import named_weights

if TYPE_CHECKING:
    from kgraph.distribution.base import Distribution
    from kgraph.models.model import Model

_KEY = re.compile(r"\['([^']*)'\]")


def stored_shardings(
    distribution: Distribution, model: Model
) -> Callable[[str, tuple[int, ...]], Sharding]:
    """Returns a function from path and shape in a file to the place of that array.

    Args:
        distribution: the rules.
        model: built, without values: it knows the paths of weights. Moments in an optimizer lie as
            the weight with the same keys at the end of their path.
    """
    weights = {tuple(path.split("/")): weight for path, weight in named_weights(model)}
    known = {path: weight.shape for path, weight in weights.items()}

    def place(path: str, shape: tuple[int, ...]) -> Sharding:
        inside = path.partition("/")[2]
        names = tuple(_KEY.findall(inside)) or tuple(inside.split("/"))
        found = owner_of(names, shape, known)
        if found is None:
            return distribution.replicated
        return distribution.sharding_of("/".join(found), weights[found])

    return place


def owner_of(
    names: tuple[str, ...], shape: tuple[int, ...], known: Mapping[tuple[str, ...], Any]
) -> tuple[str, ...] | None:
    """Returns the path of the weight that an array belongs to: the longest end of its own path.

    Args:
        names: keys that lead to the array.
        shape: of the array, which has to be that of the weight.
        known: shape of each weight, by its path.
    """
    for start in range(len(names)):
        if known.get(names[start:]) == shape:
            return names[start:]
    return None
