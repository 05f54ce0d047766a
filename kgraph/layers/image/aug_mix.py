"""AugMix: several chains of random changes, mixed with the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import jax
import jax.numpy as jnp

from kgraph.checks import check_count, check_positive
from kgraph.errors import GraphError
from kgraph.layers.base.core import label_of
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.image.color import widened
from kgraph.layers.image.factors import Factor
from kgraph.layers.image.policy import PolicyLayer, on_image, unchanged
from kgraph.types import Array


class AugMix(PolicyLayer):
    """Mixes each image with the results of several chains of random changes, in training.

    Each step of a chain is one of the changes of `RandAugment`, or none, with equal probability.

    Shapes: `[batch, height, width, 3 or 1]` or one image, in either layout; the same out.
    Dtype: the compute dtype; integers become floats.

    Args:
        value_range: the values of black and white; results are cut off there.
        num_chains: how many chains are mixed.
        chain_depth: how many steps a chain has.
        factor: strength of all changes, 0 to 1: a number `f` draws from 0 to `f`, a pair from its
            range.
        alpha: positive; the weights of the chains are drawn from Dirichlet(alpha), the share of
            the unchanged image from Beta(alpha, alpha).
        all_ops: whether brightness, colour, contrast and sharpness are among the changes.
        interpolation: of the changes that move pixels, `"nearest"` or `"bilinear"`.
        seed: a number decides the draws in the place of the layer's path.
        data_format: `"channels_last"` or `"channels_first"`; by default `image_data_format()`.

    Raises:
        ConfigError: an option is out of range.
        GraphError: the images have other numbers of channels with `all_ops`, or come with
            segmentation masks: chains move pixels to different places, and no mask fits the mix.

    Source: Hendrycks et al., "AugMix", arXiv:1912.02781; here each image draws its own chains.

    >>> from kgraph.layers import Input
    >>> AugMix()(Input((32, 32, 3))).shape
    (None, 32, 32, 3)
    """

    def __init__(
        self,
        value_range: Sequence[float] = (0, 255),
        num_chains: int = 3,
        chain_depth: int = 3,
        factor: Factor = 0.3,
        alpha: float = 1.0,
        all_ops: bool = True,
        interpolation: str = "bilinear",
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(value_range, factor, interpolation, all_ops, seed, data_format, **options)
        self.num_chains = check_count("AugMix", "num_chains", num_chains)
        self.chain_depth = check_count("AugMix", "chain_depth", chain_depth)
        self.alpha = check_positive("AugMix", "alpha", alpha)

    def draw(self, key: Array, size: tuple[int, ...]) -> Any:
        keys, steps = jax.random.split(key, 4), (self.num_chains, self.chain_depth)
        alphas = jnp.full(self.num_chains, self.alpha, jnp.float32)
        return {
            "weights": jax.random.dirichlet(keys[0], alphas, dtype=jnp.float32),
            "kept": jax.random.beta(keys[1], self.alpha, self.alpha, (), jnp.float32),
            "steps": (
                jax.random.randint(keys[2], steps, 0, len(self.changes) + 1),
                jax.random.split(keys[3], steps),
            ),
        }

    def transform(self, image: Array, drawn: Any) -> Array:
        wide = widened(image)
        weights, kept = (drawn[name].astype(wide.dtype) for name in ("weights", "kept"))
        functions = [*(on_image(layer) for layer in self.changes), unchanged]

        def add_chain(total: Array, now: Any) -> tuple[Array, None]:
            weight, steps = now
            return total + weight * self.chain(wide, steps, functions), None

        chains = (weights, drawn["steps"])
        mixture, _ = jax.lax.scan(add_chain, jnp.zeros_like(wide), chains)
        return jnp.clip(kept * wide + (1 - kept) * mixture, *self.value_range)

    def _kgraph_check_call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        super()._kgraph_check_call(args, kwargs)
        given = args[0] if args else kwargs.get("inputs")
        if isinstance(given, Mapping) and "segmentation_masks" in given:
            raise GraphError(
                f"{label_of(self)} has no segmentation mask for a mixture of moved images",
                received=", ".join(map(repr, given)),
                hint="use RandAugment, which moves masks with their images",
            )
