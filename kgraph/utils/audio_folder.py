"""Sounds from a folder."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from kgraph.errors import ConfigError, DataError
from kgraph.utils.file_dataset import datasets_of
from kgraph.utils.indexing import choose
from kgraph.utils.wav import read_wav, with_rate


def audio_dataset_from_directory(
    directory: str | os.PathLike[str],
    labels: str | Sequence[int] | None = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    batch_size: int | None = 32,
    sampling_rate: int | None = None,
    output_sequence_length: int | None = None,
    ragged: bool = False,
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    follow_links: bool = False,
    verbose: bool = True,
) -> Any:
    """Returns a dataset of the `.wav` files in a folder, for `fit`, `evaluate` and `predict`.

    Shapes: sounds `[batch, samples, channels]`, float32 from -1 to 1.

    Args:
        directory: with a subfolder for each class, if labels are inferred. Files may be deeper.
        labels, label_mode, class_names, batch_size, shuffle, seed, validation_split, subset,
            follow_links, verbose: as in `image_dataset_from_directory`.
        sampling_rate: samples per second to bring all sounds to; None leaves them as they are.
        output_sequence_length: samples to which sounds are cut, or filled up with zeros; None fills
            up to the longest of the batch, so that each length of a batch is compiled for.
        ragged: only False; batches are arrays.

    Returns:
        A dataset with `class_names`, `file_paths` and a length (in batches).

    Raises:
        ConfigError: an option has another value, or options do not fit each other.
        DataError: there are no files; or, when a batch is asked for, one is no sound, or sounds
            differ in their channels.
    """
    owner = "audio_dataset_from_directory"
    if ragged:
        raise ConfigError(
            f"{owner} has no ragged batches", hint="give output_sequence_length, or batch_size=None"
        )
    for name, value in (
        ("sampling_rate", sampling_rate),
        ("output_sequence_length", output_sequence_length),
    ):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ConfigError(f"`{name}` is a whole number above 0", received=repr(value))
    read = functools.partial(_read, rate=sampling_rate, length=output_sequence_length)
    choice = choose(
        owner, directory, labels, label_mode, class_names, shuffle, seed, validation_split,
        subset, follow_links, verbose,
    )  # fmt: skip
    made = datasets_of(choice, (".wav",), read, _join, batch_size)
    return tuple(made) if isinstance(made, list) else made  # as in Keras


def _read(path: str, rate: int | None, length: int | None) -> np.ndarray:
    sound, own_rate = read_wav(path)
    if rate is not None:
        sound = with_rate(sound, own_rate, rate)
    return sound if length is None else _of_length(sound[:length], length)


def _of_length(sound: np.ndarray, length: int) -> np.ndarray:
    return np.pad(sound, ((0, length - len(sound)), (0, 0)))


def _join(sounds: Sequence[np.ndarray]) -> np.ndarray:
    channels = sorted({sound.shape[1] for sound in sounds})
    if len(channels) > 1:
        raise DataError("The sounds of a batch differ in their channels", received=channels)
    longest = max(map(len, sounds))
    return np.stack([_of_length(sound, longest) for sound in sounds])
