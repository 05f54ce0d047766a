"""Beam search for the labels of one sequence, under connectionist temporal classification."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from kgraph.types import Array


class _Beams(NamedTuple):
    """The beginnings kept: labels `[beams, time]` filled up with -1, their numbers, and the
    log-probabilities of all ways to read them that end with a blank, or with their last label."""

    labels: Array
    sizes: Array
    blank: Array
    label: Array


def beam_search(
    scores: Array, beyond: Array, width: int, top: int, blank: int
) -> tuple[Array, Array]:
    """Returns the most probable labels, `[top, time]`, and their log-probabilities, `[top]`.

    Args:
        scores: log-probabilities, `[time, classes]`.
        beyond: which steps do not count, `[time]`.
        width: how many beginnings are kept after each step.
        top: how many are returned.
        blank: the class between labels.

    Source: Hannun et al., "First-Pass Large Vocabulary Continuous Speech Recognition using
    Bi-Directional Recurrent DNNs", arXiv:1408.2873, algorithm 1, without a language model.
    """
    nothing = jnp.full(width, -jnp.inf, scores.dtype)
    first = _Beams(
        jnp.full((width, scores.shape[0]), -1, jnp.int32),
        jnp.zeros(width, jnp.int32),
        nothing.at[0].set(0),
        nothing,
    )

    def step(beams: _Beams, now: tuple[Array, Array]) -> tuple[_Beams, None]:
        row, over = now
        after = _extended(beams, row, blank)
        return jax.tree.map(lambda old, new: jnp.where(over, old, new), beams, after), None

    last, _ = jax.lax.scan(step, first, (scores, beyond))
    found, places = jax.lax.top_k(jnp.logaddexp(last.blank, last.label), top)
    exists = (found > -jnp.inf)[:, None]
    return jnp.where(exists, last.labels[places], -1), found


def _extended(beams: _Beams, row: Array, blank: int) -> _Beams:
    """Returns the best beginnings after one more step, whose log-probabilities are `row`."""
    width, classes = beams.sizes.shape[0], row.shape[0]
    total = jnp.logaddexp(beams.blank, beams.label)
    last = _last_labels(beams)
    stays_blank = total + row[blank]
    stays_label = jnp.where(beams.sizes > 0, beams.label + row[last], -jnp.inf)
    # A label again is a new one only after a blank.
    repeated = last[:, None] == jnp.arange(classes)[None, :]
    grown = jnp.where(repeated, beams.blank[:, None], total[:, None]) + row[None, :]
    grown = grown.at[:, blank].set(-jnp.inf)

    joins = _grows_into(beams)
    joined = jnp.where(joins, grown[:, last], -jnp.inf)
    stays_label = jnp.logaddexp(stays_label, jax.nn.logsumexp(joined, axis=0))
    places = jnp.arange(width)[:, None], jnp.broadcast_to(last[None, :], joins.shape)
    taken = jnp.zeros(grown.shape, bool).at[places].max(joins)
    grown = jnp.where(taken, -jnp.inf, grown).reshape(-1)

    stays = jnp.logaddexp(stays_blank, stays_label)
    _, best = jax.lax.top_k(jnp.concatenate([stays, grown]), width)
    grows, place = best >= width, jnp.maximum(best - width, 0)
    parent = jnp.where(grows, place // classes, best)
    at_end = jnp.arange(beams.labels.shape[1])[None, :] == beams.sizes[parent][:, None]
    new = (place % classes).astype(jnp.int32)[:, None]
    return _Beams(
        jnp.where(grows[:, None] & at_end, new, beams.labels[parent]),
        beams.sizes[parent] + grows.astype(jnp.int32),
        jnp.where(grows, -jnp.inf, stays_blank[parent]),
        jnp.where(grows, grown[place], stays_label[parent]),
    )


def _last_labels(beams: _Beams) -> Array:
    end = jnp.maximum(beams.sizes - 1, 0)[:, None]
    return jnp.take_along_axis(beams.labels, end, axis=1)[:, 0]


def _grows_into(beams: _Beams) -> Array:
    """Tells for each pair whether the first is the second without its last label."""
    places = jnp.arange(beams.labels.shape[1])[None, :]
    shorter = jnp.where(places == (beams.sizes - 1)[:, None], -1, beams.labels)
    same = jnp.all(beams.labels[:, None, :] == shorter[None, :, :], axis=-1)
    return same & (beams.sizes[None, :] == beams.sizes[:, None] + 1)
