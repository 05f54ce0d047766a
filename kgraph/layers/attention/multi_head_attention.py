"""MultiHeadAttention: every position asks all others, in several heads at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Unpack

import jax
import jax.numpy as jnp

from kgraph.config import is_flash_attention_disabled
from kgraph.errors import ConfigError, GraphError
from kgraph.graph.structure import leaves
from kgraph.hooks import is_overridden
from kgraph.layers.attention.fused import Seen, attention
from kgraph.layers.attention.heads import band, equations, join_masks, softmax_where, zero_unseen
from kgraph.layers.attention.projection import HeadProjection
from kgraph.layers.base import Layer
from kgraph.layers.base.core import label_of, next_key
from kgraph.layers.base.mask_check import check_mask
from kgraph.layers.base.options import CommonOptions
from kgraph.layers.base.platform import platform
from kgraph.layers.base.remarks import remark
from kgraph.types import Array, ConstraintLike, InitializerLike, RegularizerLike, Shape


class Renamed:
    """Another name of an attribute, unless the object has one of that name itself."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, layer: object, cls: type | None = None) -> Any:
        return self if layer is None else getattr(layer, self.name)


class MultiHeadAttention(Layer):
    """Lets each query pick among the values, in several projections (heads) at once.

    Each head computes `softmax(query key^T / sqrt(key_dim)) value`.

    Shapes: query `[batch, target, features]`, value (and key) `[batch, source, features]` in;
    `[batch, target, out]` out, and with `return_attention_scores` also
    `[batch, heads, target, source]`. There may be further axes, see `attention_axes`. Weights: for
    query, key and value a kernel `[features, heads, size]` and a bias `[heads, size]`; for the
    output `[heads, value_dim, out]` and `[out]`.
    Masks: those of query, value and key, `attention_mask` and the causal mask must all hold. The
    mask of the query goes through.
    Dtype: scores and softmax are float32.

    Args:
        num_heads: number of heads.
        key_dim: size of a head for query and key.
        value_dim: size of a head for value, `key_dim` by default.
        dropout: rate at which attention weights are dropped in training.
        use_bias: whether the projections have one.
        output_shape: the last axes of the output; by default those of the query.
        attention_axes: axes attended over; by default all but the first and the last.
        sliding_window: how many positions to either side are seen, the own one included.
        flash_attention: None takes a fused kernel, which keeps no scores in memory, for floats of
            16 bits where it can be used: cuDNN's on NVIDIA GPUs, JAX's splash attention for 1,024
            steps or more on TPUs. Elsewhere it takes queries in chunks if the scores would be
            2**28 or more on each device; the numbers are the same up to rounding. True asks for
            the kernel for other floats and sizes too, and on GPUs fails where it cannot be; False,
            and `config.disable_flash_attention()` for None, leave all to XLA. Compile reports say
            what was taken, and why.
        kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer,
            activity_regularizer, kernel_constraint, bias_constraint: of each projection.
        use_gate: whether the result of the heads is multiplied with a sigmoid of the query.
        seed: of the dropout; None follows the key and the path.

    Raises:
        ConfigError: a size is not positive, or the fused kernel cannot do what is asked for.
        GraphError: key and value differ in length, or an input's mask cannot be applied.

    Source: Vaswani et al., "Attention is all you need", arXiv:1706.03762.

    >>> from kgraph.layers import Input
    >>> query, value = Input((5, 8)), Input((7, 6))
    >>> MultiHeadAttention(num_heads=2, key_dim=4)(query, value).shape
    (None, 5, 8)
    """

    supports_masking = True

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: int | Sequence[int] | None = None,
        attention_axes: int | Sequence[int] | None = None,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        activity_regularizer: RegularizerLike | None = None,
        kernel_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        use_gate: bool = False,
        seed: int | None = None,
        **options: Unpack[CommonOptions],
    ) -> None:
        super().__init__(**options)
        sizes = {"num_heads": num_heads, "key_dim": key_dim, "value_dim": value_dim or key_dim}
        _check_options(type(self).__name__, sizes, dropout, sliding_window, flash_attention)
        self.num_heads, self.key_dim, self.value_dim = num_heads, key_dim, value_dim or key_dim
        self.key_value_heads = num_heads
        self.dropout, self.seed = dropout, seed
        self.use_gate, self.sliding_window = use_gate, sliding_window
        self.flash_attention = flash_attention
        self.never_flash = flash_attention is None and is_flash_attention_disabled()
        self.output_sizes = _as_tuple(output_shape)
        self.attention_axes = _as_tuple(attention_axes)
        self.projection_options = {
            "use_bias": use_bias,
            "kernel_initializer": kernel_initializer,
            "bias_initializer": bias_initializer,
            "kernel_regularizer": kernel_regularizer,
            "bias_regularizer": bias_regularizer,
            "activity_regularizer": activity_regularizer,
            "kernel_constraint": kernel_constraint,
            "bias_constraint": bias_constraint,
            "dtype": self.dtype_policy,
        }

    def _kgraph_check_call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        given: dict[str, Any] = dict(zip(("query", "value", "key"), args)) | kwargs
        value, key = given.get("value"), given.get("key")
        if value is None or key is None:
            return
        if value.shape[1:-1] != key.shape[1:-1]:
            raise GraphError(
                f"{label_of(self)} needs key and value of the same length",
                received=f"key {list(key.shape)}, value {list(value.shape)}",
            )

    def build(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, query_shape: Shape, value_shape: Shape, key_shape: Shape | None = None
    ) -> None:
        rank = len(query_shape)
        axes = self.attention_axes or tuple(range(1, rank - 1))
        self.axes = tuple(axis if axis >= 0 else axis + rank for axis in axes)
        self.query_dense = self._into_heads("query", query_shape, self.num_heads, self.key_dim)
        self.key_dense = self._into_heads(
            "key", key_shape or value_shape, self.key_value_heads, self.key_dim
        )
        if self.use_gate:
            self.gate_dense = self._into_heads(
                "gate", query_shape, self.num_heads, self.value_dim, activation="sigmoid"
            )
        self.value_dense = self._into_heads(
            "value", value_shape, self.key_value_heads, self.value_dim
        )
        sizes: Any = self.output_sizes or (query_shape[-1],)
        self.output_dense = HeadProjection(
            sizes, contracted=2, name="attention_output", **self.projection_options
        )
        self.output_dense.build((*query_shape[:-1], self.num_heads, self.value_dim))

    def _into_heads(
        self, name: str, shape: Shape, heads: int, size: int, **more: Any
    ) -> HeadProjection:
        projection = HeadProjection((heads, size), name=name, **more, **self.projection_options)
        projection.build(shape)
        return projection

    def call(
        self,
        query: Array,
        value: Array,
        key: Array | None = None,
        query_mask: Array | None = None,
        value_mask: Array | None = None,
        key_mask: Array | None = None,
        attention_mask: Array | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
    ) -> Any:
        given = (query, value, query_mask, value_mask, key_mask, attention_mask)
        if is_overridden(self, "_compute_attention_mask"):
            mask = self._compute_attention_mask(*given, use_causal_mask)
            mask = join_masks([mask], query.ndim + len(self.axes), len(self.axes))
            seen = Seen(mask, is_simple=False)
        else:
            own = join_masks([value_mask, key_mask], 2, 0)
            window, simple = self.sliding_window, attention_mask is None
            seen = Seen(self._mask(*given), use_causal_mask, own, window, simple)
        gate = self.gate_dense(query) if self.use_gate else None
        asked = self.query_dense(query)
        offered = self.key_dense(value if key is None else key)
        values = self.value_dense(value)
        if is_overridden(self, "_compute_attention"):
            mask = self._all_seen(seen, asked, offered)
            picked, scores = self._compute_attention(
                asked, offered, values, mask, training, return_attention_scores
            )
        else:
            picked, scores = self.attend(
                asked, offered, values, seen, training, return_attention_scores
            )
        outputs = self.output_dense(picked if gate is None else picked * gate)
        return (outputs, scores) if return_attention_scores else outputs

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return next(leaves(previous_mask))

    def attend(
        self,
        query: Array,
        key: Array,
        value: Array,
        seen: Seen,
        training: bool | None,
        return_scores: bool,
    ) -> tuple[Array, Array | None]:
        """Returns what the projected queries pick, and the attention weights if asked for.

        Without dropout and returned weights it need not keep the weights; see `attention`.
        """
        scale = 1 / math.sqrt(self.key_dim)
        # JAX's function takes no other sizes, and makes its scores in float32 at any rate.
        refused = (
            "it drops weights" if self.dropout
            else "its scores are returned" if return_scores
            else "several axes are attended over" if query.ndim != 4
            else "key and value differ in size" if self.value_dim != self.key_dim
            else "it computes in float64" if query.dtype == jnp.float64
            else ""
        )  # fmt: skip
        if self.flash_attention and refused:
            raise GraphError(
                f"{label_of(self)} cannot use flash attention for this call",
                expected="one axis attended over, value_dim equal to key_dim, no float64",
                received="return_attention_scores=True" if return_scores else list(query.shape),
                hint="leave flash_attention out",
            )
        mask = seen.mask
        if seen.causal and (mask is not None or refused):
            mask = self._all_seen(seen, query, key)
        if not refused:
            flash = False if self.never_flash else self.flash_attention
            picked = attention(query, key, value, seen, scale, flash, self.name or "")
            return zero_unseen(picked, mask), None
        if platform() != "cpu":
            remark(f"attention of {self.name!r} is plain: {refused}")
        repeats = self.num_heads // self.key_value_heads
        if repeats > 1:
            key, value = (jnp.repeat(x, repeats, axis=-2) for x in (key, value))
        how = equations(query.ndim, self.axes)
        scores = jnp.einsum(how.scores, query * scale, key)
        weights = softmax_where(scores, mask, range(-len(self.axes), 0))
        kept = weights
        if training and self.dropout:
            draw = jax.random.bernoulli(next_key(self), 1 - self.dropout, weights.shape)
            kept = jnp.where(draw, weights / (1 - self.dropout), 0)
        return jnp.einsum(how.combine, kept, value), weights

    def _all_seen(self, seen: Seen, query: Array, key: Array) -> Array | None:
        """Returns the mask of the scores, the causal one with it."""
        earlier = band(query.shape[1], key.shape[1], seen.causal, None)
        return join_masks([seen.mask, earlier], self._score_rank(query), len(self.axes))

    # What subclasses that were written for Keras call and override, by its names.
    _query_dense, _key_dense = Renamed("query_dense"), Renamed("key_dense")
    _value_dense, _output_dense = Renamed("value_dense"), Renamed("output_dense")
    _num_heads, _key_dim, _value_dim = (
        Renamed("num_heads"),
        Renamed("key_dim"),
        Renamed("value_dim"),
    )

    def _compute_attention(
        self,
        query: Array,
        key: Array,
        value: Array,
        attention_mask: Array | None = None,
        training: bool | None = None,
        return_attention_scores: bool = False,
    ) -> tuple[Array, Array | None]:
        """Returns what projected queries pick of projected values, and the weights if asked for.

        Shapes: `[batch, steps, heads, size]`, and of the mask `[batch, target, source]` or that of
        the scores. A subclass may decide otherwise, as in Keras.
        """
        mask = join_masks([attention_mask], self._score_rank(query), len(self.axes))
        seen = Seen(mask, is_simple=False)
        return self.attend(query, key, value, seen, training, return_attention_scores)

    def _score_rank(self, query: Array) -> int:
        return query.ndim - 1 + len(self.axes)

    def _compute_attention_mask(
        self,
        query: Array,
        value: Array,
        query_mask: Array | None = None,
        value_mask: Array | None = None,
        key_mask: Array | None = None,
        attention_mask: Array | None = None,
        use_causal_mask: bool = False,
    ) -> Array | None:
        """Returns which of the source each target may see, `[batch, target, source]`, or None.

        A subclass may decide otherwise, as in Keras; here it is for one axis attended over.
        """
        seen = band(query.shape[1], value.shape[1], use_causal_mask, None)
        masks = [
            None if query_mask is None else query_mask[:, :, None],
            *(None if mask is None else mask[:, None, :] for mask in (value_mask, key_mask)),
            None if seen is None else seen[None],
            attention_mask,
        ]
        joined: Array | None = None
        for mask in (mask.astype(bool) for mask in masks if mask is not None):
            joined = mask if joined is None else joined & mask
        return joined

    def _mask(
        self, query: Array, value: Array, query_mask: Any, value_mask: Any, key_mask: Any, mask: Any
    ) -> Array | None:
        """Returns all masks but the causal one as one, in the rank of the scores."""
        self._check_masks(query, value, query_mask, value_mask, key_mask, mask)
        own = [m for m in (query_mask, value_mask, key_mask) if m is not None]
        if own and self.axes != (1,):
            raise GraphError(
                f"{label_of(self)} can apply the masks of its inputs only for attention "
                "over axis 1",
                received=f"attention over the axes {list(self.axes)}",
                hint="pass attention_mask",
            )
        window = None
        if self.sliding_window is not None:
            window = band(query.shape[1], value.shape[1], False, self.sliding_window)
        masks = [
            None if query_mask is None else jnp.expand_dims(query_mask, 2),
            *(None if m is None else jnp.expand_dims(m, 1) for m in (value_mask, key_mask)),
            window,
            mask,
        ]
        return join_masks(masks, query.ndim + len(self.axes), len(self.axes))

    def _check_masks(
        self, query: Array, value: Array, query_mask: Any, value_mask: Any, key_mask: Any, mask: Any
    ) -> None:
        check_mask(self, query_mask, query.shape[:-1], "query_mask")
        check_mask(self, value_mask, value.shape[:-1], "value_mask")
        check_mask(self, key_mask, value.shape[:-1], "key_mask")
        if mask is not None:
            attended = [[x.shape[axis] for axis in self.axes] for x in (query, value)]
            lead = (query.shape[0], self.num_heads)[: max(mask.ndim - 2 * len(self.axes), 0)]
            check_mask(self, mask, (*lead, *attended[0], *attended[1]), "attention_mask")


def _as_tuple(value: int | Sequence[int] | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    return (value,) if isinstance(value, int) else tuple(value)


def _check_options(
    owner: str,
    sizes: dict[str, Any],
    dropout: float,
    sliding_window: int | None,
    flash_attention: bool | None,
) -> None:
    counts = sizes if sliding_window is None else {**sizes, "sliding_window": sliding_window}
    for option, value in counts.items():
        if not isinstance(value, int) or value <= 0:
            raise ConfigError(
                f"{owner} needs a positive whole number for {option}", received=repr(value)
            )
    if not 0 <= dropout < 1:
        raise ConfigError(f"{owner} needs a dropout in [0, 1)", received=dropout)
    if flash_attention and dropout:
        raise ConfigError(
            f"{owner} cannot drop attention weights that flash attention never makes",
            received=f"flash_attention=True, dropout={dropout}",
        )
