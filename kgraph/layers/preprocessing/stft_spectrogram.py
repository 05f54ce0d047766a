"""STFTSpectrogram: the short-time Fourier transform of signals, as one convolution."""

from __future__ import annotations

from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np

from kgraph import config, initializers
from kgraph.checks import check_count
from kgraph.errors import ConfigError, GraphError, check_choice
from kgraph.layers.base import InputSpec, Layer
from kgraph.layers.base.core import label_of
from kgraph.layers.base.options import LayerOptions
from kgraph.types import Array, Shape

_MODES = ("log", "magnitude", "psd", "real", "imag", "angle", "stft")


class STFTSpectrogram(Layer):
    """Cuts signals into overlapping frames and gives the frequencies in each.

    Shapes: `[batch, time, channels]` in; `[batch, frames, channels * bins]` out, with `expand_dims`
    `[batch, frames, bins, channels]`. With `data_format="channels_first"` `[batch, channels, time]`
    in, `[batch, channels * bins, frames]` or `[batch, channels, frames, bins]` out. There are
    `fft_length // 2 + 1` bins, twice as many in mode `"stft"`. Weights `real_kernel` and
    `imag_kernel` (as far as the mode needs them): `[frame_length, 1, bins]`, trained unless
    `trainable=False`.
    Dtype: the compute dtype.

    Args:
        mode: `"log"` of the magnitude, `"magnitude"`, `"psd"` (power, doubled but for the first and
            last bin), `"real"`, `"imag"`, `"angle"`, or `"stft"` (real and imaginary parts).
        frame_length: samples in a frame.
        frame_step: samples from one frame to the next; by default half of `frame_length`.
        fft_length: samples of the transform, at least `frame_length`; by default the next power
            of two.
        window: see `initializers.STFT`.
        periodic: see `initializers.STFT`.
        scaling: see `initializers.STFT`.
        padding: `"valid"` (whole frames alone) or `"same"`.
        expand_dims: whether channels keep an axis of their own.
        data_format: which of the two layouts; by default `kgraph.config.image_data_format()`.

    Raises:
        ConfigError: an option has a value it cannot have.
        GraphError: on a call, if the signal is shorter than a frame.

    >>> STFTSpectrogram(frame_length=8)(np.ones((1, 20, 1), "float32")).shape
    (1, 4, 5)
    """

    input_spec = InputSpec(ndim=3)

    def __init__(
        self,
        mode: str = "log",
        frame_length: int = 256,
        frame_step: int | None = None,
        fft_length: int | None = None,
        window: Any = "hann",
        periodic: bool = False,
        scaling: str | None = "density",
        padding: str = "valid",
        expand_dims: bool = False,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        layout = data_format or config.image_data_format()
        for option, value, choices in (
            ("mode", mode, _MODES),
            ("padding", padding, ("valid", "same")),
            ("data_format", layout, ("channels_last", "channels_first")),
        ):
            check_choice(label_of(self), option, value, choices)
        self.mode, self.padding, self.data_format = mode, padding, layout
        self.expand_dims = bool(expand_dims)
        self.frame_length = check_count(label_of(self), "frame_length", frame_length)
        step = max(frame_length // 2, 1) if frame_step is None else frame_step
        self.frame_step = check_count(label_of(self), "frame_step", step)
        fft = 1 << (self.frame_length - 1).bit_length() if fft_length is None else fft_length
        self.fft_length = check_count(label_of(self), "fft_length", fft, least=2)
        if self.frame_step > self.frame_length or self.fft_length < self.frame_length:
            raise ConfigError(
                f"{label_of(self)} cannot have these lengths",
                expected="frame_step <= frame_length <= fft_length",
                received=f"{self.frame_step}, {self.frame_length}, {self.fft_length}",
            )
        self.kernels = {
            side: initializers.STFT(side, window, scaling, periodic)
            for side, unused in (("real", "imag"), ("imag", "real"))
            if mode != unused
        }

    def build(self, input_shape: Shape) -> None:
        shape = (self.frame_length, 1, self.fft_length // 2 + 1)
        for side, initializer in self.kernels.items():
            weight = self.add_weight(shape, initializer, name=f"{side}_kernel")
            setattr(self, f"{side}_kernel", weight)

    def _kgraph_check_call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        shape = getattr(args[0] if args else kwargs.get("inputs"), "shape", ())
        time = shape[1 if self.data_format == "channels_last" else 2] if len(shape) == 3 else None
        if self.padding == "valid" and isinstance(time, int) and time < self.frame_length:
            raise GraphError(
                f"{label_of(self)} needs a whole frame",
                expected=f"at least frame_length={self.frame_length} samples",
                received=f"{time} samples",
                hint="pass padding='same' or a shorter frame_length",
            )

    def call(self, inputs: Array) -> Array:
        parts = self._transform(inputs.astype(self.compute_dtype))
        if self.mode in ("real", "imag"):
            return self._arranged(parts[0])
        real, imag = parts
        if self.mode == "stft":
            return self._arranged(jnp.concatenate([real, imag], axis=-1))
        if self.mode == "angle":
            return self._arranged(jnp.arctan2(imag, real))
        power = real * real + imag * imag
        if self.mode == "psd":
            twice = np.full((1, 1, 1, power.shape[-1]), 2, power.dtype)
            twice[..., [0, -1]] = 1
            return self._arranged(power * twice)
        floored = jnp.maximum(power, config.epsilon())
        root = jnp.sqrt(floored) if self.mode == "magnitude" else 0.5 * jnp.log(floored)
        return self._arranged(root)

    def _transform(self, inputs: Array) -> list[Array]:
        """Returns the real and the imaginary part, or what the mode needs: `[b, c, frames, bins]`.

        Channels count as samples: on CPU one convolution along the time alone takes a third of the
        time of one over both axes whose kernel is 1 wide along the channels.
        """
        if self.data_format == "channels_last":
            inputs = jnp.swapaxes(inputs, 1, 2)
        batch, channels, time = inputs.shape
        kernels = [getattr(self, f"{side}_kernel") for side in self.kernels]
        found = jax.lax.conv_general_dilated(
            inputs.reshape(batch * channels, time, 1),
            jnp.concatenate(kernels, axis=-1),
            window_strides=(self.frame_step,),
            padding=self.padding.upper(),
            dimension_numbers=("NWC", "WIO", "NWC"),
        )
        found = found.reshape(batch, channels, *found.shape[1:])
        return jnp.split(found, len(kernels), axis=-1)

    def _arranged(self, spectrum: Array) -> Array:
        """Returns `[b, c, frames, bins]` as the options say."""
        batch, channels, frames, bins = spectrum.shape
        if self.data_format == "channels_first":
            if self.expand_dims:
                return spectrum
            return jnp.swapaxes(spectrum, 2, 3).reshape(batch, channels * bins, frames)
        if self.expand_dims:
            return jnp.transpose(spectrum, (0, 2, 3, 1))
        return jnp.swapaxes(spectrum, 1, 2).reshape(batch, frames, channels * bins)
