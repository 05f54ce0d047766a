"""LoRA: a weight that rests, and a product of two small ones beside it that is trained instead."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp

from kgraph.checks import check_count
from kgraph.constructors import accepts
from kgraph.errors import ConfigError, StateError
from kgraph.layers.base.core import label_of
from kgraph.layers.base.layer import Layer
from kgraph.layers.base.options import CommonOptions, LayerOptions, LoraOptions
from kgraph.types import Array, InitializerLike


class AdaptableOptions(LoraOptions, LayerOptions, total=False):
    """All that layers share, and what `enable_lora` takes."""


class AdaptableCommonOptions(LoraOptions, CommonOptions, total=False):
    """The same, for layers that name `activity_regularizer` among their own."""


class _Adaptable(Layer):
    """Base of the layers that have `enable_lora`. They read their weight through `adapted`."""

    _kgraph_adapted: ClassVar[str] = "kernel"

    def __init__(
        self,
        *args: Any,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.lora_rank, self.lora_alpha = lora_rank, lora_alpha

    @property
    def lora_enabled(self) -> bool:
        """Whether the weight rests, and two small ones are trained in its place."""
        return self._kgraph.adapted is not None

    def enable_lora(
        self,
        rank: int,
        a_initializer: InitializerLike = "he_uniform",
        b_initializer: InitializerLike = "zeros",
        lora_alpha: float | None = None,
    ) -> None:
        """Freezes the weight, and adds the product of two small ones that are trained instead.

        A model that has the layer must be compiled anew.

        Args:
            rank: how many columns the first, and rows the second have.
            a_initializer, b_initializer: how they start; the output stays as it is if one is zero.
            lora_alpha: the product is taken `lora_alpha / rank` times; by default once.

        Raises:
            ConfigError: the weight has a constraint, or `rank` is no positive whole number.
            StateError: the layer is not built, or LoRA is enabled already.
        """
        name = self._kgraph_adapted
        check_count(label_of(self), "rank", rank)
        if getattr(self, f"{name}_constraint"):
            raise ConfigError(
                f"{label_of(self)} cannot have LoRA beside a constraint of its {name}",
                hint=f"leave out {name}_constraint",
            )
        if not self.built or self.lora_enabled:
            raise StateError(
                f"{label_of(self)} has LoRA already" if self.built else
                f"{label_of(self)} must be built before enable_lora",
                hint=None if self.built else "call it, or its model, on data first",
            )  # fmt: skip
        self.lora_rank, self.lora_alpha = rank, lora_alpha
        weight = vars(self)[name]
        parts = {"a": (*weight.shape[:-1], rank), "b": (rank, weight.shape[-1])}
        for (part, shape), initializer in zip(parts.items(), (a_initializer, b_initializer)):
            full = f"lora_{name}_{part}"
            penalty = getattr(self, f"{name}_regularizer")
            made = self.add_weight(shape, initializer, "float32", name=full, regularizer=penalty)
            setattr(self, full, made)
            self._kgraph.adapters += (made,)
        weight.trainable, self._kgraph.adapted = False, weight
        if accepts(type(self), "lora_rank"):  # so that a config says it
            args, given = self._kgraph.arguments
            self._kgraph.arguments = args, {**given, "lora_rank": rank, "lora_alpha": lora_alpha}

    def _kgraph_start_lora(self) -> None:
        """Enables what the constructor was told; at the end of `build`."""
        if self.lora_rank is not None and not self.lora_enabled:
            self.built = True
            self.enable_lora(self.lora_rank, lora_alpha=self.lora_alpha)


def adapted(layer: _Adaptable, weight: Array) -> Array:
    """Returns the weight of a layer with the product of its two small ones, if it has them."""
    if not layer.lora_enabled:
        return weight
    a, b = (jnp.asarray(part) for part in lora_parts(layer))
    return (weight + a @ b).astype(weight.dtype)


def lora_parts(layer: Any) -> tuple[Array, Array]:
    """Returns the two small weights of a layer in which LoRA is enabled, the second scaled."""
    name, rank = f"lora_{layer._kgraph_adapted}", layer.lora_rank
    scale = (rank if layer.lora_alpha is None else layer.lora_alpha) / rank
    return getattr(layer, f"{name}_a"), getattr(layer, f"{name}_b") * scale
