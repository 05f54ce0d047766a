"""Weights that were published for Keras, downloaded once and read without running any code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kgraph.datasets.download import download, has_hash, home
from kgraph.errors import ConfigError, message

KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"
"""Where most of the files are."""
OLDER = "https://storage.googleapis.com/keras-applications"


@dataclass(frozen=True)
class Published:
    """A file that never changes.

    Args:
        url: where it comes from; its last part is the name in the cache.
        digest: such as `"md5:…"`; None where nobody published one.
    """

    url: str
    digest: str | None

    def fetch(self) -> Path:
        """Returns the path of the file below `$KGRAPH_HOME/weights`, downloading it if need be.

        Raises:
            DataError: it cannot be had, or is not the one expected.
        """
        name = self.url.rpartition("/")[2]
        target = (home() / "weights" / name).absolute()
        if not (target.is_file() and (self.digest is None or has_hash(target, self.digest))):
            download(self.url, target, self.digest, name)
        return target


@dataclass(frozen=True)
class Pretrained:
    """The two files of a network's weights.

    Args:
        top: the file with the classifier.
        body: the one without.
    """

    top: Published
    body: Published


def published(base: str, top: tuple[str, str | None], body: tuple[str, str | None]) -> Pretrained:
    """Returns the files of a network.

    Args:
        base: address of their folder.
        top: name and digest of the file with the classifier.
        body: of the one without.
    """
    return Pretrained(*(Published(f"{base}/{name}", digest) for name, digest in (top, body)))


def load_pretrained(model: Any, files: Pretrained, top: bool) -> None:
    """Sets all weights of a model to the published ones.

    The file may hold more, such as the statistics of a normalization whose constants we know.

    Raises:
        ConfigError: the file lacks weights of the model.
        DataError: the file cannot be had.
        ModelFileError: it is damaged.
    """
    path = (files.top if top else files.body).fetch()
    report = model.load_weights(path, strict=False)
    if report.missing or report.mismatched:
        raise ConfigError(
            message(
                f"The published weights {path.name!r} do not fit {model.name!r}",
                received=str(report),
                hint="weights=None gives random weights",
            )
        )
