"""The files of a folder, with the labels that their subfolders stand for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kgraph.config import next_seed
from kgraph.errors import ConfigError, DataError, check_choice
from kgraph.training.console import announce
from kgraph.types import FilePath

_LABEL_MODES = ("int", "categorical", "binary", None)
_SUBSETS = ("training", "validation", "both", None)


@dataclass(frozen=True)
class Indexed:
    """Files in order, their class numbers (None without labels), and the names of the classes."""

    paths: tuple[str, ...]
    labels: np.ndarray | None
    class_names: list[str] | None

    def part(self, which: slice) -> Indexed:
        """Returns some of the files."""
        labels = None if self.labels is None else self.labels[which]
        return replace(self, paths=self.paths[which], labels=labels)


@dataclass(frozen=True)
class Choice:
    """What the three functions that read folders have in common; see there."""

    owner: str
    directory: Any
    labels: Any
    label_mode: str | None
    class_names: Sequence[str] | None
    shuffle: bool
    seed: int
    validation_split: float | None
    subset: str | None
    follow_links: bool
    verbose: bool

    def index(self, endings: tuple[str, ...]) -> list[Indexed]:
        """Returns the files with these endings: one part, or training and validation for "both".

        Raises:
            ConfigError: options do not fit each other or the folder.
            DataError: there is no folder or no file.
        """
        found = self._found(endings)
        if not found.paths:
            raise DataError(
                f"{self.owner} finds no files",
                at=self.directory,
                expected=f"files that end in {', '.join(endings)}",
            )
        if self.label_mode == "binary" and len(found.class_names or ()) != 2:
            raise ConfigError(
                'label_mode="binary" needs two classes', received=repr(found.class_names)
            )
        if self.verbose:
            classes = found.class_names
            tail = "" if classes is None else f" belonging to {len(classes)} classes"
            announce(f"Found {len(found.paths)} files{tail}.")
        return self._parts(found)

    def encode(self, indexed: Indexed) -> np.ndarray | None:
        """Returns the labels as the models want them.

        Raises:
            ConfigError: given labels are not 0, 1, 2, ..., and have to be.
        """
        labels, count = indexed.labels, len(indexed.class_names or ())
        if labels is None or self.label_mode == "int":
            return labels
        if labels.min() < 0 or labels.max() >= count:
            raise ConfigError(
                f"label_mode={self.label_mode!r} numbers the classes",
                expected=f"labels from 0 to {count - 1}",
                received=", ".join(indexed.class_names or ()),
            )
        if self.label_mode == "binary":
            return labels.astype(np.float32)[:, None]
        return np.eye(count, dtype=np.float32)[labels]

    def _found(self, endings: tuple[str, ...]) -> Indexed:
        root = os.fspath(self.directory)
        if not os.path.isdir(root):
            raise DataError(f"{self.owner} needs a folder", received=root)
        inferred = isinstance(self.labels, str)
        folders = self._class_folders(root) if inferred else [""]
        files = [sorted_files(os.path.join(root, f), endings, self.follow_links) for f in folders]
        paths = [path for group in files for path in group]
        names: list[str] | None = None
        labels = None
        if inferred:
            names = folders
            labels = np.repeat(np.arange(len(files)), [len(group) for group in files])
        elif self.labels is not None:
            if len(self.labels) != len(paths):
                raise ConfigError(
                    f"{self.owner} needs one label for each file",
                    expected=f"{len(paths)} labels, in the order of the sorted paths",
                    received=len(self.labels),
                )
            labels = np.asarray(self.labels)
            names = [str(label) for label in sorted(set(self.labels))]
        labels = None if labels is None else labels.astype(np.int32)
        if self.shuffle:  # the same draw as in Keras, so that the same seed splits the same way
            order = np.arange(len(paths))
            np.random.RandomState(self.seed).shuffle(order)
            paths = [paths[i] for i in order]
            labels = None if labels is None else labels[order]
        return Indexed(tuple(paths), labels, names)

    def _class_folders(self, root: str) -> list[str]:
        there = [e.name for e in os.scandir(root) if e.is_dir() and not e.name.startswith(".")]
        wanted = sorted(there) if self.class_names is None else list(self.class_names)
        if missing := [name for name in wanted if name not in there]:
            raise ConfigError(
                f"{self.owner} finds no folder for {', '.join(map(repr, missing))}",
                at=root,
                expected=", ".join(sorted(there)),
                received=f"class_names={wanted}",
            )
        return wanted

    def _parts(self, found: Indexed) -> list[Indexed]:
        if self.validation_split is None or self.subset is None:
            return [found]
        held = int(self.validation_split * len(found.paths))
        rest = len(found.paths) - held
        if not held or not rest:
            raise DataError(
                f"`validation_split={self.validation_split}` leaves no files on one side",
                received=f"{rest} files to train on, {held} to validate on",
            )
        sides = {"training": found.part(slice(rest)), "validation": found.part(slice(rest, None))}
        chosen = list(sides) if self.subset == "both" else [self.subset]
        if self.verbose:
            for name in chosen:
                announce(f"Using {len(sides[name].paths)} files for {name}.")
        return [sides[name] for name in chosen]


def choose(owner: str, directory: FilePath, labels: object, label_mode: Any, class_names: Any,
           shuffle: bool, seed: int | None, validation_split: float | None,
           subset: str | None, follow_links: bool, verbose: bool) -> Choice:  # fmt: skip
    """Returns the checked options of a function that reads a folder."""
    check_choice(owner, "label_mode", label_mode, _LABEL_MODES)
    check_choice(owner, "subset", subset, _SUBSETS)
    if labels != "inferred" and not isinstance(labels, (list, tuple, np.ndarray, type(None))):
        raise ConfigError(
            f"{owner} does not know these labels",
            expected='"inferred", None, or a list of whole numbers',
            received=repr(labels),
        )
    if class_names is not None and not isinstance(labels, str):
        raise ConfigError(f'{owner} takes `class_names` with labels="inferred" only')
    if bool(validation_split) != bool(subset):
        raise ConfigError(f"{owner} needs both of `validation_split` and `subset`, or none")
    if validation_split and not 0 < validation_split < 1:
        raise ConfigError("`validation_split` is between 0 and 1", received=validation_split)
    if validation_split and shuffle and seed is None:
        raise ConfigError(
            f"{owner} needs a `seed` to split shuffled files",
            hint="the same seed for training and validation, or files would be in both",
        )
    if labels is None or label_mode is None:
        labels = label_mode = None
    seed = sum(next_seed()) % 2**32 if seed is None else seed
    return Choice(
        owner, directory, labels, label_mode, class_names, shuffle, seed,
        validation_split or None, subset, follow_links, verbose,
    )  # fmt: skip


def sorted_files(folder: str, endings: tuple[str, ...], follow_links: bool) -> list[str]:
    """Returns the files below a folder with one of these endings, folder by folder."""
    walk = sorted(os.walk(folder, followlinks=follow_links), key=lambda entry: entry[0])
    return [
        os.path.join(here, name)
        for here, _, names in walk
        for name in sorted(names)
        if name.lower().endswith(endings)
    ]
