"""The table of layer cases: what one row says, and where the rows come from.

Each family has its rows in `rows_<family>.py`, as a list `ROWS`; `test_table.py` puts every row
through the checks of `checks.py`. A row makes the same layer from kgraph and from Keras:

    Case("dense relu", lambda L: L.Dense(4, activation="relu"), [t("time", 3)])
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Tensor:
    """An input of a case.

    Attributes:
        shape: sizes without the batch axis; a text is a size that is unknown while building.
        kind: what values it holds: "float32" (normal), "positive" (0.1 to 1), "bool",
            "int32 7" (ids below 7), or "float32 7" (whole numbers below 7, as floats).
        mask: whether a mask of shape [batch, first size] comes with it.
    """

    shape: tuple[int | str, ...]
    kind: str = "float32"
    mask: bool = False

    @property
    def dtype(self) -> str:
        return {"positive": "float32"}.get(self.kind, self.kind.split()[0])

    @property
    def differentiable(self) -> bool:
        """Whether a gradient by it means something."""
        return self.kind in ("float32", "positive")


def t(*shape: int | str, kind: str = "float32", mask: bool = False) -> Tensor:
    """Returns a Tensor: `t("time", 3, mask=True)`."""
    return Tensor(shape, kind, mask)


@dataclass(frozen=True)
class Case:
    """A row: a layer with its options, and inputs for it.

    Attributes:
        id: unique over all families; begin it with the class in snake case.
        make: makes the layer from a namespace of layers, kgraph's or Keras'.
        inputs: the tensors of the call.
        as_list: they are one argument, a list (merging layers), and not one argument each.
        keywords: names under which the last inputs are passed.
        kwargs: further arguments of the call, plain values.
        training: run as in training.
        random: training draws random numbers: what is checked is that equal keys draw equally and
            other keys otherwise; against Keras it runs with training=False.
        tolerance: allowed difference from Keras, relative to the largest value of the array.
        gradient_tolerance: the same for gradients.
        gradients: whether gradients are compared.
        bfloat16: whether the layer is run with the policy mixed_bfloat16 as well.
        bfloat16_tolerance: allowed difference of that from float32.
        sizes: values that each unknown size takes in turn.
        tpu: whether it lowers for TPU.
        float64: whether it computes in float64 where that is enabled.
        vmap: whether the batch is made of samples that do not know of each other (at inference).
        saved: whether a model of it can be saved (what is no data, such as a lambda, cannot).
        keras: whether Keras has the layer with these options.
        first: whether it is the first row of its class; `all_cases` says so.
        reason: why a tolerance is loose or a check is off.
    """

    id: str
    make: Callable[[Any], Any]
    inputs: Sequence[Tensor]
    as_list: bool = False
    keywords: Sequence[str] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    training: bool = False
    random: bool = False
    tolerance: float = 1e-5
    gradient_tolerance: float = 1e-5
    gradients: bool = True
    bfloat16: bool = True
    bfloat16_tolerance: float = 2e-2
    sizes: tuple[int, int, int] = (5, 7, 8)
    tpu: bool = True
    float64: bool = True
    vmap: bool = True
    saved: bool = True
    keras: bool = True
    first: bool = False
    reason: str = ""

    def __repr__(self) -> str:
        return self.id

    @property
    def sampled(self) -> bool:
        """Whether the quick suite runs the long checks on the case: on about one in ten."""
        return zlib.crc32(self.id.encode()) % 10 == 0

    @property
    def chosen(self) -> bool:
        """Whether the quick suite runs the costly checks on it: on each class at least once."""
        return self.first or self.sampled

    @property
    def trains(self) -> bool:
        """Whether it runs as in training where it must give the same numbers again."""
        return self.training and not self.random

    def arrange(self, tensors: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
        """Returns the arguments and keyword arguments of the call for these tensors."""
        named = len(tensors) - len(self.keywords)
        positional = list(tensors[:named])
        keywords = dict(zip(self.keywords, tensors[named:]))
        return ([positional] if self.as_list else positional), {**keywords, **self.kwargs}


def all_cases() -> list[Case]:
    """Returns the rows of every family."""
    found: list[Case] = []
    for file in sorted(Path(__file__).parent.glob("rows_*.py")):
        found += importlib.import_module(file.stem).ROWS
    names = [case.id for case in found]
    twice = {name for name in names if names.count(name) > 1}
    assert not twice, f"ids used twice: {twice}"
    first = {case.id.partition(" ")[0]: case.id for case in reversed(found)}.values()
    return [replace(case, first=case.id in first) for case in found]
