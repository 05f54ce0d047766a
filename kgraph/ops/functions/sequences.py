"""Connectionist temporal classification: its loss, and labels read from outputs."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from kgraph.errors import ConfigError, check_choice
from kgraph.ops.functions.beams import beam_search
from kgraph.types import Array

__all__ = ["ctc_decode", "ctc_loss"]

_MOST_BEAMS = 1024


def ctc_loss(
    target: Array, output: Array, target_length: Array, output_length: Array, mask_index: int = 0
) -> Array:
    """Returns minus the log-probability of each row of labels, over all ways to place them in time.

    Shapes: target `[batch, labels]`, output (logits) `[batch, time, classes]`, lengths `[batch]`;
    `[batch]` out.

    Source: Graves et al., "Connectionist temporal classification" (ICML 2006); the recursion is
    optax's.
    """
    import optax

    target = jnp.asarray(target).astype(jnp.int32)
    output = jnp.asarray(output)
    return optax.ctc_loss(
        output,
        _beyond(output_length, output.shape[1]).astype(output.dtype),
        target,
        _beyond(target_length, target.shape[1]).astype(output.dtype),
        blank_id=mask_index,
    )


def ctc_decode(
    inputs: Array,
    sequence_lengths: Array,
    strategy: str = "greedy",
    beam_width: int = 100,
    top_paths: int = 1,
    merge_repeated: bool = True,
    mask_index: int = 0,
) -> tuple[Array, Array]:
    """Returns the labels that outputs say, and their scores.

    Shapes: inputs `[batch, time, classes]`, lengths `[batch]`; labels `[paths, batch, time]`,
    filled up with -1, and scores `[batch, paths]`.

    Args:
        inputs: logits.
        sequence_lengths: how many steps count.
        strategy: `"greedy"` takes the most probable class of each step, and its score is minus the
            sum of the inputs taken; `"beam_search"` looks for the most probable labels over all
            ways to place them in time, and scores are log-probabilities.
        beam_width: how many beginnings a beam search keeps.
        top_paths: how many results a beam search returns, the most probable first.
        merge_repeated: whether equal labels in a row are one (greedy).
        mask_index: the class between labels.
    """
    check_choice("ctc_decode", "strategy", strategy, ("greedy", "beam_search"))
    inputs = jnp.asarray(inputs)
    beyond = _beyond(sequence_lengths, inputs.shape[1])
    if strategy == "greedy":
        return _greedy(inputs, beyond, merge_repeated, mask_index)
    if not 0 < top_paths <= beam_width <= _MOST_BEAMS:
        raise ConfigError(
            "ctc_decode cannot search so widely",
            expected=f"top_paths <= beam_width <= {_MOST_BEAMS}",
            received=f"top_paths={top_paths}, beam_width={beam_width}",
        )
    blank = mask_index % inputs.shape[-1]
    scores = jax.nn.log_softmax(inputs)
    paths, found = jax.vmap(lambda s, b: beam_search(s, b, beam_width, top_paths, blank))(
        scores, beyond
    )
    return jnp.swapaxes(paths, 0, 1), found


def _greedy(inputs: Array, beyond: Array, merge_repeated: bool, blank: int) -> tuple[Array, Array]:
    labels = jnp.where(beyond, blank, jnp.argmax(inputs, axis=-1))
    scores = -jnp.sum(jnp.where(beyond, 0, jnp.max(inputs, axis=-1)), axis=1)
    dropped = labels == blank
    if merge_repeated:
        again = labels[:, 1:] == labels[:, :-1]
        dropped = dropped | jnp.pad(again, ((0, 0), (1, 0)))
    order = jnp.argsort(dropped, axis=-1, stable=True)
    kept = jnp.take_along_axis(jnp.where(dropped, -1, labels), order, axis=-1)
    return kept[None], scores[:, None]


def _beyond(lengths: Array, size: int) -> Array:
    """Returns which of `size` steps lie beyond each length, `[batch, size]`."""
    steps = jax.lax.broadcasted_iota(jnp.int32, (jnp.shape(lengths)[0], size), 1)
    return steps >= jnp.asarray(lengths).astype(jnp.int32)[:, None]
