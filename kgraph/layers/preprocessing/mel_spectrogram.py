"""MelSpectrogram: the energy of sound over time, in bands as wide as the ear hears them."""

from __future__ import annotations

from typing import Any, Unpack

import jax.numpy as jnp
import numpy as np

from kgraph.checks import check_count
from kgraph.errors import ConfigError, check_choice
from kgraph.layers.base import InputSpec, Layer
from kgraph.layers.base.core import label_of
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.normalization.statistics import wide_dtype
from kgraph.types import Array

_WINDOWS = {"hann": (0.5, 0.5), "hamming": (0.54, 0.46)}
_MOST_SAMPLES, _MOST_CELLS = 2**20, 2**24  # of a frame, and of the table of frequencies


class MelSpectrogram(Layer):
    """Turns sound into the strength of mel-scaled frequency bands over time.

    Shapes: `[*any, samples]` in, `[*any, num_mel_bins, samples // sequence_stride + 1]` out. The
    signal is mirrored at both ends, so that frames are centred on every stride.
    Dtype: computed in float32 at least; the result has the compute dtype.

    Args:
        fft_length: samples of a transform.
        sequence_stride: samples from one frame to the next.
        sequence_length: samples under the window; by default `fft_length`, and at most that.
        window: `"hann"`, `"hamming"`, an array `[sequence_length]`, or None.
        sampling_rate: samples per second.
        num_mel_bins: number of bands.
        min_freq, max_freq: where the bands begin and end, in hertz; by default up to half of
            `sampling_rate`.
        power_to_db: whether the result is in decibels.
        top_db: decibels below the loudest value of the whole call (the batch, as in Keras) at
            which the result is cut off; None for no limit.
        mag_exp: exponent of the magnitudes: 1 for energy, 2 for power.
        min_power: the least power before the logarithm.
        ref_power: the power at 0 decibels.

    Raises:
        ConfigError: an option has a value it cannot have.

    Source: the mel scale of the Hidden Markov Model Toolkit, `2595 log10(1 + f / 700)`.

    >>> layer = MelSpectrogram(fft_length=16, sequence_stride=8, num_mel_bins=4)
    >>> layer(np.ones((2, 40), "float32")).shape
    (2, 4, 6)
    """

    autocast = False
    input_spec = InputSpec(min_ndim=1)

    def __init__(
        self,
        fft_length: int = 2048,
        sequence_stride: int = 512,
        sequence_length: int | None = None,
        window: Any = "hann",
        sampling_rate: float = 16000,
        num_mel_bins: int = 128,
        min_freq: float = 20.0,
        max_freq: float | None = None,
        power_to_db: bool = True,
        top_db: float | None = 80.0,
        mag_exp: float = 2.0,
        min_power: float = 1e-10,
        ref_power: float = 1.0,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**{"autocast": False, **options})
        self.fft_length = check_count(label_of(self), "fft_length", fft_length, most=_MOST_SAMPLES)
        self.sequence_stride = check_count(label_of(self), "sequence_stride", sequence_stride)
        self.num_mel_bins = check_count(
            label_of(self), "num_mel_bins", num_mel_bins, most=_MOST_CELLS // self.fft_length
        )
        length = fft_length if sequence_length is None else sequence_length
        self.sequence_length = check_count(label_of(self), "sequence_length", length)
        top_freq = max_freq or int(sampling_rate / 2)
        if self.sequence_length > self.fft_length or not 0 <= min_freq < top_freq:
            raise ConfigError(
                f"{label_of(self)} cannot have these lengths or frequencies",
                expected="sequence_length <= fft_length and 0 <= min_freq < max_freq",
                received=f"{length}, {fft_length}; {min_freq}, {top_freq}",
            )
        self.min_freq, self.max_freq, self.sampling_rate = min_freq, top_freq, sampling_rate
        self.power_to_db, self.top_db, self.mag_exp = bool(power_to_db), top_db, mag_exp
        self.min_power, self.ref_power = min_power, ref_power
        self.window = self._padded_window(window)

    def call(self, inputs: Array) -> Array:
        dtype = wide_dtype(self.compute_dtype)
        frames = self._frames(inputs.astype(dtype))
        window = self.window.reshape((1,) * (frames.ndim - 1) + (-1,)).astype(dtype)
        spectrum = jnp.fft.rfft(frames * window)
        power = jnp.real(spectrum) ** 2 + jnp.imag(spectrum) ** 2
        if self.mag_exp != 2:
            power = jnp.sqrt(power) ** self.mag_exp
        bands = power @ jnp.asarray(self._mel_weights(), dtype)
        if self.power_to_db:
            bands = self._decibels(bands)
        return jnp.swapaxes(bands, -1, -2).astype(self.compute_dtype)

    def _frames(self, signal: Array) -> Array:
        """Returns overlapping frames `[*any, frames, fft_length]` of the mirrored signal."""
        samples, half = signal.shape[-1], self.fft_length // 2
        period = jnp.maximum(jnp.asarray(2 * (samples - 1), jnp.int32), 1)
        # Mirrors at both ends repeat the signal and its reverse, however often.
        places = (jnp.arange(samples + 2 * half, dtype=jnp.int32) - half) % period
        places = jnp.minimum(places, period - places)
        mirrored = signal.at[..., places].get(mode="promise_in_bounds")
        count = (samples + 2 * half - self.fft_length) // self.sequence_stride + 1
        starts = jnp.arange(count, dtype=jnp.int32) * self.sequence_stride
        places = starts[:, None] + np.arange(self.fft_length, dtype=np.int32)[None, :]
        return mirrored.at[..., places].get(mode="promise_in_bounds")

    def _decibels(self, power: Array) -> Array:
        floor = 10 * np.log10(max(abs(self.ref_power), self.min_power))
        decibels = 10 * jnp.log10(jnp.maximum(power, self.min_power)) - float(floor)
        if self.top_db is None:
            return decibels
        return jnp.maximum(decibels, jnp.max(decibels) - self.top_db)

    def _mel_weights(self) -> np.ndarray:
        """Returns the share of each frequency in each band: triangles over the mel scale."""
        bins = self.fft_length // 2 + 1
        frequencies = _mel(np.linspace(0, self.sampling_rate / 2, bins))[:, None]
        edges = np.linspace(_mel(self.min_freq), _mel(self.max_freq), self.num_mel_bins + 2)
        rising = (frequencies - edges[:-2]) / (edges[1:-1] - edges[:-2])
        falling = (edges[2:] - frequencies) / (edges[2:] - edges[1:-1])
        weights = np.maximum(np.minimum(rising, falling), 0)
        weights[0] = 0  # the mean of the signal is no sound
        return weights

    def _padded_window(self, window: Any) -> np.ndarray:
        """Returns the window in the middle of `fft_length` samples; without one, all ones."""
        if window is None:
            return np.ones(self.fft_length)
        if isinstance(window, str):
            check_choice(label_of(self), "window", window, tuple(_WINDOWS))
            level, swing = _WINDOWS[window]
            turns = np.arange(self.sequence_length) / self.sequence_length
            values = level - swing * np.cos(2 * np.pi * turns)
        else:
            values = np.asarray(window, np.float64)
        if values.shape != (self.sequence_length,):
            raise ConfigError(
                f"{label_of(self)} has a window that does not fit",
                expected=f"[{self.sequence_length}]", received=str(list(values.shape)),
            )  # fmt: skip
        before = (self.fft_length - self.sequence_length) // 2
        return np.pad(values, (before, self.fft_length - self.sequence_length - before))


def _mel(hertz: Any) -> Any:
    """Returns frequencies on the mel scale."""
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)
