"""Fourier transforms. Complex numbers go in and come out as pairs of real and imaginary parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.errors import ConfigError, check_choice
from kgraph.layers.normalization.statistics import along
from kgraph.ops.functions.patches import extract_sequences
from kgraph.types import Array, DTypeLike

__all__ = ["fft", "fft2", "ifft2", "irfft", "istft", "rfft", "stft"]

_MOST_SAMPLES = 2**20


def fft(x: Sequence[Array]) -> tuple[Array, Array]:
    """Transforms the last axis."""
    return _parts(jnp.fft.fft(_complex(x)))


def fft2(x: Sequence[Array]) -> tuple[Array, Array]:
    """Transforms the last two axes."""
    return _parts(jnp.fft.fft2(_complex(x)))


def ifft2(x: Sequence[Array]) -> tuple[Array, Array]:
    """Inverts `fft2`."""
    return _parts(jnp.fft.ifft2(_complex(x)))


def rfft(x: Array, fft_length: int | None = None) -> tuple[Array, Array]:
    """Transforms the last axis of real numbers, cut off or padded with zeros to a length."""
    return _parts(jnp.fft.rfft(x, fft_length))


def irfft(x: Sequence[Array], fft_length: int | None = None) -> Array:
    """Inverts `rfft`."""
    return jnp.fft.irfft(_complex(x), fft_length)


def stft(
    x: Array,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    window: str | Array | None = "hann",
    center: bool = True,
) -> tuple[Array, Array]:
    """Transforms overlapping pieces of signals.

    Shapes: `[..., time]` in, twice `[..., pieces, fft_length // 2 + 1]` out.

    Args:
        x: the signals.
        sequence_length: samples of a piece; around it are zeros up to `fft_length`.
        sequence_stride: samples from one piece to the next.
        fft_length: samples transformed, at least `sequence_length`.
        window: `"hann"`, `"hamming"`, an array `[sequence_length]`, or None for ones.
        center: whether the signal is extended at its ends by reflection, so that piece `t` has its
            middle at sample `t * sequence_stride`.
    """
    weights = _window(window, sequence_length, fft_length, x.dtype)
    if center:
        x = _with_reflected_ends(x, fft_length // 2)
    pieces = extract_sequences(x, fft_length, sequence_stride)
    return _parts(jnp.fft.rfft(pieces * along(weights, [pieces.ndim - 1], pieces.ndim)))


def istft(
    x: Sequence[Array],
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    length: int | None = None,
    window: str | Array | None = "hann",
    center: bool = True,
) -> Array:
    """Returns the signal whose `stft` is nearest to `x`.

    The pieces are added up, each weighted by the window, and divided by the sum of its squares.

    Args:
        x: real and imaginary parts, `[..., pieces, fft_length // 2 + 1]`.
        length: samples of the result; by default all that the pieces cover, without the ends that
            `center` added.
        sequence_length, sequence_stride, fft_length, window, center: as in `stft`.

    Source: Griffin and Lim, "Signal estimation from modified short-time Fourier transform", 1984.
    """
    pieces = jnp.fft.irfft(_complex(x), fft_length)
    weights = _window(window, sequence_length, fft_length, pieces.dtype)
    weighted = pieces * along(weights, [pieces.ndim - 1], pieces.ndim)
    total = _overlap(weighted, sequence_stride)
    squares = jnp.broadcast_to(jnp.square(weights)[None, :], pieces.shape[-2:])
    norm = _overlap(squares, sequence_stride)
    norm = along(jnp.where(norm > 1e-10, norm, 1.0), [total.ndim - 1], total.ndim)
    signal = total / norm
    start = fft_length // 2 if center else 0
    end = start + length if length is not None else signal.shape[-1] - start
    return signal[..., start:end]


def _with_reflected_ends(x: Array, count: int) -> Array:
    """Returns signals with so many samples more at both ends."""
    if isinstance(x.shape[-1], int) and x.shape[-1] <= count:  # to and fro
        return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(count, count)], mode="reflect")
    # The same for longer ones; jax 0.7 pads no arrays of unknown sizes by reflection.
    before, after = x[..., 1 : count + 1], x[..., -count - 1 : -1]
    return jnp.concatenate([jnp.flip(before, -1), x, jnp.flip(after, -1)], axis=-1)


def _overlap(pieces: Array, stride: int) -> Array:
    """Adds pieces `[..., n, samples]` up, each `stride` after the one before."""
    count, samples = pieces.shape[-2:]
    whole = jax.ShapeDtypeStruct((*pieces.shape[:-2], (count - 1) * stride + samples), pieces.dtype)
    cut = jax.linear_transpose(lambda signal: extract_sequences(signal, samples, stride), whole)
    return cut(pieces)[0]


def _window(window: Any, length: int, fft_length: int, dtype: DTypeLike) -> Array:
    """Returns the window with zeros around it, `[fft_length]`; named ones are periodic."""
    if not 0 < length <= fft_length <= _MOST_SAMPLES:
        raise ConfigError(
            "A Fourier transform has pieces that do not fit into it",
            expected=f"sequence_length <= fft_length <= {_MOST_SAMPLES}",
            received=f"sequence_length={length}, fft_length={fft_length}",
        )
    if window is None:
        return jnp.ones(fft_length, dtype)
    if isinstance(window, str):
        check_choice("stft", "window", window, ("hann", "hamming"))
        share = 0.5 if window == "hann" else 0.54
        window = share - (1 - share) * np.cos(2 * np.pi * np.arange(length) / length)
    if np.shape(window) != (length,):
        raise ConfigError(
            "stft has a window that does not fit", expected=[length], received=np.shape(window)
        )
    before = (fft_length - length) // 2
    return jnp.pad(jnp.asarray(window, dtype), (before, fft_length - length - before))


def _complex(x: Sequence[Array]) -> Array:
    if not isinstance(x, (list, tuple)) or len(x) != 2:
        raise ConfigError(
            "A spectrum is a pair of arrays", expected="(real part, imaginary part)",
            received=f"{len(x)} arrays" if isinstance(x, (list, tuple)) else type(x).__name__,
        )  # fmt: skip
    real, imaginary = x
    return jax.lax.complex(real, imaginary)


def _parts(x: Array) -> tuple[Array, Array]:
    return jnp.real(x), jnp.imag(x)
