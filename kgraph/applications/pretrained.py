"""Weights that were published for Keras, downloaded once and read without running any code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kgraph.datasets.download import RemoteFile, fetch
from kgraph.errors import ConfigError

if TYPE_CHECKING:
    from kgraph.models.model import Model


KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"
"""Where most of the files are."""
OLDER = "https://storage.googleapis.com/keras-applications"


@dataclass(frozen=True)
class Pretrained:
    """The two files of a network's weights.

    Args:
        top: the file with the classifier.
        body: the one without.
    """

    top: RemoteFile
    body: RemoteFile


def published(base: str, top: tuple[str, str], body: tuple[str, str]) -> Pretrained:
    """Returns the files of a network.

    Args:
        base: address of their folder.
        top: name and digest of the file with the classifier: MD5 or SHA-256, or "" where nobody
            published one.
        body: of the one without.
    """
    return Pretrained(*(remote(f"{base}/{name}", digest) for name, digest in (top, body)))


def remote(url: str, digest: str) -> RemoteFile:
    """Returns a file that is kept beside the weights, under the last part of its address."""
    name, kind = url.rpartition("/")[2], "sha256" if len(digest) == 64 else "md5"
    return RemoteFile(name, url, folder="weights", **{kind: digest})


def load_pretrained(model: Model, files: Pretrained, top: bool) -> None:
    """Sets all weights of a model to the published ones.

    The file may hold more, such as the statistics of a normalization whose constants we know.

    Raises:
        ConfigError: the file lacks weights of the model.
        DataError: the file cannot be had.
        ModelFileError: it is damaged.
    """
    path = fetch(files.top if top else files.body)
    report = model.load_weights(path, strict=False)
    if report.missing or report.mismatched:
        raise ConfigError(
            f"The published weights {path.name!r} do not fit {model.name!r}",
            received=str(report),
            hint="weights=None gives random weights",
        )
