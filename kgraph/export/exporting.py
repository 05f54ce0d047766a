"""Exporting: a model's inference function and weights into one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kgraph.compiler import lower
from kgraph.errors import ConfigError, check_choice
from kgraph.export.lowering import lower_inference, place_name
from kgraph.export.package import Package, write_package
from kgraph.export.signature import check_platforms
from kgraph.saving.files.file_error import file_error
from kgraph.types import FilePath

if TYPE_CHECKING:
    from kgraph.models.model import Model


SUFFIX = ".stablehlo"


def export(
    model: Model,
    path: FilePath,
    weights: str = "beside",
    platforms: Sequence[str] | None = None,
    overwrite: bool = True,
) -> None:
    """Writes what a model computes at inference to one file, for `kgraph.export.load`.

    Unknown sizes stay unknown: the batch, and what `Input(("time", 64))` names. Sizes that nobody
    named are called after input and axis. See `kgraph.export` on how long such a file lasts.

    Args:
        model: any model; one defined by code must have been called on data once.
        path: a name that ends in `.stablehlo`.
        weights: "beside" stores them in the same file as arguments of the function, which is
            quicker to load and to compile; "inside" makes them constants of the function, which
            then is complete by itself.
        platforms: some of "cpu", "cuda", "rocm", "tpu"; by default cpu, cuda and tpu, or those of
            them that the model can be lowered for, with a warning.
        overwrite: whether a file of this name is replaced.

    Raises:
        ConfigError: the model cannot be lowered without running it (it computes with sizes that
            are not known, say), or an option has a value that it cannot have.
        ModelFileError: the path cannot be written to.
    """
    check_choice("export", "weights", weights, ("beside", "inside"))
    chosen = None if platforms is None else check_platforms(platforms)
    target = _target(path, overwrite)
    require_flatbuffers()
    whole = lower(model, inference=True, stack=False)  # with no passes for this machine alone
    values = whole.weights.folded.by_weight(whole.fold(model.variables_for(whole)))
    arrays = {place_name(p): np.asarray(values[id(p.weight)]) for p in whole.weights.folded.places}
    inside = weights == "inside"
    exported, signature = lower_inference(whole, arrays, inside, chosen)
    write_package(
        target,
        Package(
            model.name,
            signature,
            bytes(exported.serialize()),
            None if inside else arrays,
            exported.platforms,
            exported.calling_convention_version,
        ),
    )


def require_flatbuffers() -> None:
    """Raises ConfigError if the package that JAX serializes exports with is not installed."""
    try:
        import flatbuffers  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ConfigError(
            "Exports need the package flatbuffers, which is not installed",
            hint="pip install kgraph-jax[export]",
        ) from error


def _target(path: FilePath, overwrite: bool) -> Path:
    target = Path(path).resolve()
    if target.suffix != SUFFIX:
        raise ConfigError(
            "An export is written to a file whose name ends in '.stablehlo'",
            received=repr(str(path)),
            hint="to keep a model that can be trained further: model.save(path)",
        )
    if target.exists() and not (overwrite and target.is_file()):
        raise file_error(target, "exists already", hint="pass overwrite=True, or another name")
    if not target.parent.is_dir():
        raise file_error(target, "cannot be written: its folder does not exist")
    return target
