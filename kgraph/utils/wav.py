"""Sounds in WAV files."""

from __future__ import annotations

import math
import wave

import numpy as np

from kgraph.errors import DataError


def read_wav(path: str) -> tuple[np.ndarray, int]:
    """Returns the sound of a PCM file of 8 to 32 bits, and its samples per second.

    Shapes: `[samples, channels]`, float32 from -1 to 1: whole numbers over the largest one and one.

    Raises:
        DataError: the file is damaged or not PCM.
    """
    try:
        with wave.open(path, "rb") as file:
            width, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
            data = file.readframes(file.getnframes())
    except (wave.Error, EOFError, OSError) as error:
        raise DataError(
            "This sound cannot be read", at=path, expected="a PCM WAV file", received=error
        ) from error
    frames = len(data) // (width * channels)
    raw = np.frombuffer(data, np.uint8)[: frames * width * channels].reshape(-1, width)
    # The last byte has the sign; bytes of 8-bit files count from 128.
    wide = np.zeros((len(raw), 4), np.uint8)
    wide[:, 4 - width :] = raw if width > 1 else raw ^ 0x80
    samples = wide.reshape(-1).view("<i4").astype(np.float64) / 2**31
    return samples.astype(np.float32).reshape(frames, channels), rate


def with_rate(sound: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Returns a sound `[samples, channels]` with another number of samples per second.

    By a polyphase filter, which keeps out what the new rate cannot represent.
    """
    if rate == wanted:
        return sound
    from scipy.signal import resample_poly

    common = math.gcd(rate, wanted)
    return resample_poly(sound, wanted // common, rate // common, axis=0).astype(np.float32)
