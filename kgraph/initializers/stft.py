"""Convolution kernels that compute a short-time Fourier transform."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np

from kgraph.errors import ConfigError, check_choice
from kgraph.initializers.base import FixedInitializer
from kgraph.types import AnyArray


class STFT(FixedInitializer):
    """Makes the real or imaginary part of windowed Fourier kernels.

    Shapes: `[frame, 1, bins]`; bin k has the frequency `k / (2 * (bins - 1))` per sample.

    Args:
        side: `"real"` (cosines) or `"imag"` (negative sines).
        window: a name that `scipy.signal.get_window` knows, an array `[frame]`, or None.
        scaling: what windowed kernels are divided by: the window's Euclidean norm (`"density"`),
            its sum (`"spectrum"`), or nothing (None).
        periodic: whether a named window is periodic, not symmetric.

    Raises:
        ConfigError: if an option or, when called, the shape has a value that it cannot have.
    """

    def __init__(
        self,
        side: str = "real",
        window: Any = "hann",
        scaling: str | None = "density",
        periodic: bool = False,
    ) -> None:
        check_choice("STFT", "side", side, ("real", "imag"))
        check_choice("STFT", "scaling", scaling, ("density", "spectrum", None))
        self.side, self.window, self.scaling, self.periodic = side, window, scaling, periodic
        if isinstance(window, str):
            self._window_values(1)

    def fill(self, shape: tuple[int, ...], dtype: np.dtype, xp: ModuleType) -> AnyArray:
        if len(shape) != 3 or shape[1] != 1 or shape[2] < 2:
            raise ConfigError(
                "STFT makes kernels over one channel",
                expected="[frame, 1, bins] with at least 2 bins",
                received=str(list(shape)),
            )
        frame, _, bins = shape
        turns = np.arange(frame)[:, None] * np.arange(bins)[None, :] / (2 * (bins - 1))
        angles = -2 * math.pi * turns
        kernel = np.cos(angles) if self.side == "real" else np.sin(angles)
        if self.window is not None:
            values = self._window_values(frame)
            kernel = kernel * (values / self._divisor(values))[:, None]
        return xp.asarray(kernel[:, None, :].astype(dtype))

    def _window_values(self, frame: int) -> np.ndarray:
        if not isinstance(self.window, str):
            values = np.asarray(self.window, np.float64)
            if values.shape != (frame,):
                raise ConfigError(
                    "STFT has a window that does not fit the kernel",
                    expected=f"[{frame}]",
                    received=str(list(values.shape)),
                )
            return values
        from scipy.signal import get_window  # costs as much as half of JAX to import

        try:
            return np.asarray(get_window(self.window, frame, fftbins=self.periodic))
        except ValueError as error:
            raise ConfigError(
                "STFT does not know this window",
                expected="a name that scipy.signal.get_window knows",
                received=f"{self.window!r} ({error})",
            ) from None

    def _divisor(self, values: np.ndarray) -> float:
        if self.scaling is None:
            return 1.0
        return float(np.linalg.norm(values) if self.scaling == "density" else np.abs(values).sum())
