"""Names that belong to a user's class, and classes that use each of them in every way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from kgraph import Layer
from kgraph.layers import Dense

_WORDS = """
    parts order options state params program programs engine history_ step steps children spec
    label kind graph compiler owning seed_words config arguments origin context segment lowering
    core record traits names tree hooks inner outer data model module modules layout placement
    values value places keys key mask masks batch rows length size depth width policy cache
    cached loop loops progress trainer runner session optimizer_state schedule epoch epochs
    token tokens vocabulary head heads encoder decoder backbone blocks cells scale bias_ shape_
    device mesh named_weights paths_of_values ensure_built variant base_name makes_mask
    check_call is_own seed function axis activation stateful add fn mixes_rows
    recorded_arguments keep_name explicit_name kept_name engine_for program_for
"""

COMMON = _WORDS.split()
"""Words that a user may well choose, and those that our own code once had for itself."""

WAYS: dict[str, Callable[[], Any]] = {
    "layer": lambda: Dense(2),
    "number": lambda: 3,
    "layers": lambda: [Dense(2), Dense(2)],
}
"""What an attribute may be set to."""


def names_not_of(keras_object: Any, ours: Any) -> list[str]:
    """Returns each public name of `ours` that Keras' object lacks, and the common words."""
    extra = {name for name in dir(ours) if not name.startswith("_")} - set(dir(keras_object))
    return sorted(extra | {word for word in COMMON if word not in dir(keras_object)})


def setter(base: type, names: Iterable[str], way: str) -> type:
    """Returns a subclass that sets each name in `__init__`."""
    names = tuple(names)

    class Setting(base):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            for name in names:
                setattr(self, name, WAYS[way]())

    return Setting


def definer(base: type, names: Iterable[str], way: str) -> type:
    """Returns a subclass in which each name is a property or a method."""

    def method(self: Any, first: Any, second: Any) -> None:
        raise AssertionError("a method of the user's was called")

    def read(self: Any) -> None:
        raise AssertionError("a property of the user's was read")

    made: Any = property(read) if way == "property" else method
    return type("Defining", (base,), dict.fromkeys(names, made))


def subclass(base: type, names: Iterable[str], way: str) -> type:
    """Returns a subclass that uses each name in one way."""
    made = (setter if way in WAYS else definer)(base, names, way)
    made.__name__ = f"{base.__name__}WithNames"
    return made


class Scaled(Layer):
    """A layer such as a user writes: a weight, state, a random draw and a loss."""

    def __init__(self, units: int = 2, **options: Any) -> None:
        super().__init__(**options)
        self.units = units

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight((input_shape[-1], self.units), "ones", name="kernel")
        self.count = self.add_weight((), "zeros", trainable=False, name="count")

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if training:
            self.count = self.count + 1
        self.add_loss(0.01 * (self.kernel**2).sum())
        return inputs @ self.kernel
