"""Cases of the layers that prepare numbers, categories and sound.

`ROWS` meet all checks; `MORE` are further options, whose outputs `test_preprocessing.py` compares.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from cases import Case, t

NUMBERS = {"gradients": False, "reason": "whole numbers in"}
HASHED = {"keras": False, "gradients": False, "reason": "Keras hashes with TensorFlow alone"}
ROUNDED = {
    "tolerance": 1e-4,
    "gradient_tolerance": 1e-3,
    "reason": "Keras computes the triangles of the mel scale in float32",
}
MEL = {"fft_length": 16, "sequence_stride": 6, "sampling_rate": 800, "num_mel_bins": 5}
SOUND = {"sizes": (40, 50, 64)}
FRAMES = {"sizes": (9, 12, 16)}


def learned(layer: Any) -> Any:
    """Lets a Keras layer follow new weights, as ours does: it works on a copy of its statistics."""
    if hasattr(layer, "finalize_state"):
        assign = layer.set_weights

        def set_weights(weights: Any) -> None:
            assign(weights)
            layer.finalize_state()

        layer.set_weights = set_weights
    return layer


ROWS = [
    Case("rescaling", lambda L: L.Rescaling(2.0, offset=-1.0), [t("time", 3, mask=True)]),
    Case("normalization", lambda L: learned(L.Normalization()), [t("time", 3, mask=True)]),
    Case(
        "normalization axes invert",
        lambda L: learned(L.Normalization(axis=(-1, 1), invert=True)),
        [t(2, "width", 3)],
    ),
    Case("discretization", lambda L: L.Discretization([-0.5, 0.7]), [t("time")], gradients=False),
    Case(
        "category_encoding count",
        lambda L: L.CategoryEncoding(7, output_mode="count"),
        [t("words", kind="int32 7"), t("words")],
        keywords=("count_weights",),
        gradients=False,
        reason="Keras takes weights for constants",
    ),
    Case(
        "hashing salt mask one_hot",
        lambda L: L.Hashing(5, mask_value=3, salt=[133, 137], output_mode="one_hot"),
        [t("words", kind="int32 7")],
        **HASHED,
    ),
    Case(
        "hashed_crossing",
        lambda L: L.HashedCrossing(70000),
        [t(1, kind="int32 7"), t(1, kind="int32 7")],
        as_list=True,
        bfloat16=False,
        **HASHED,
    ),
    Case(
        "stft_spectrogram",
        lambda L: L.STFTSpectrogram(frame_length=6, padding="same"),
        [t("time", 2)],
        bfloat16=False,
        reason="the logarithm of a power that is nearly 0",
        **FRAMES,
    ),
    Case("mel_spectrogram", lambda L: L.MelSpectrogram(**MEL), [t("time")], **SOUND, **ROUNDED),
]

MORE = [
    Case(
        "normalization given",
        lambda L: L.Normalization(axis=(1, 3), mean=[1.0, 2.0], variance=[3.0, 4.0]),
        [t(3, "width", 2)],
    ),
    Case("rescaling bytes", lambda L: L.Rescaling(1 / 255), [t(3, kind="uint8 256")]),
    Case("rescaling arrays", lambda L: L.Rescaling([1.0, 2.0], offset=[0.5, -0.5]), [t(4, 2)]),
    Case("normalization one mean", lambda L: learned(L.Normalization(axis=None)), [t("rows", 3)]),
    Case("normalization integers", lambda L: learned(L.Normalization()), [t(3, kind="int32 90")]),
    Case(
        "normalization no variance",
        lambda L: L.Normalization(mean=[1.0, 2.0], variance=[4.0, 0.0]),
        [t("rows", 2)],
    ),
    Case(
        "normalization scalars",
        lambda L: L.Normalization(axis=(1, 2), mean=3.0, variance=2.0, invert=True),
        [t(4, 2)],
    ),
    *(
        Case(
            f"discretization {mode}",
            lambda L, mode=mode: L.Discretization([-0.5, 0.0, 0.7], output_mode=mode),
            [t(5)],
        )
        for mode in ("int", "one_hot", "multi_hot", "count")
    ),
    Case("discretization integers", lambda L: L.Discretization([2, 4]), [t(5, kind="int32 7")]),
    *(
        Case(
            f"category_encoding {mode} {size}",
            lambda L, mode=mode: L.CategoryEncoding(7, output_mode=mode),
            [t(size, kind="float32 7")],
        )
        for mode, size in (("one_hot", 3), ("one_hot", 1), ("multi_hot", 4), ("count", 4))
    ),
    *(
        Case(
            f"stft_spectrogram {mode}",
            lambda L, mode=mode: L.STFTSpectrogram(mode, frame_length=6, padding="same"),
            [t("time", 2)],
            **FRAMES,
        )
        for mode in ("magnitude", "psd", "real", "imag", "angle", "stft")
    ),
    Case(
        "stft_spectrogram valid images",
        lambda L: L.STFTSpectrogram(
            "magnitude", frame_length=5, frame_step=3, fft_length=16, window="hamming",
            periodic=True, scaling="spectrum", expand_dims=True,
        ),
        [t("time", 2)],
        **FRAMES,
    ),
    *(
        Case(
            f"stft_spectrogram channels_first {'images' if images else 'rows'}",
            lambda L, images=images: L.STFTSpectrogram(
                "psd", frame_length=4, window=np.array([0.5, 1.0, 1.0, 0.5]), scaling=None,
                expand_dims=images, data_format="channels_first",
            ),
            [t(2, "time")],
            tolerance=1e-4,
            reason="Keras' convolution of channels first rounds in another order",
            **FRAMES,
        )
        for images in (False, True)
    ),
    Case(
        "mel_spectrogram energy",
        lambda L: L.MelSpectrogram(
            **MEL, sequence_length=11, window="hamming", min_freq=30.0, max_freq=350.0,
            power_to_db=False, mag_exp=1.0,
        ),
        [t("time")],
        **SOUND,
        **ROUNDED,
    ),
    Case(
        "mel_spectrogram no window",
        lambda L: L.MelSpectrogram(**MEL, window=None, top_db=3.0, ref_power=0.5, min_power=1e-3),
        [t("time")],
        vmap=False,  # top_db cuts at the loudest value of the batch
        **SOUND,
        **ROUNDED,
    ),
]  # fmt: skip
