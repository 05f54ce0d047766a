"""ExportedModel: a function from a file, with what it takes and returns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.export

from kgraph.compiler.executables import Jitted
from kgraph.export.exporting import require_flatbuffers
from kgraph.export.package import Package, read_package
from kgraph.export.signature import TensorInfo
from kgraph.graph.structure import fill
from kgraph.interrupts import tracing
from kgraph.saving.files.file_error import refusing, shown
from kgraph.types import Array, FilePath, Tree


class ExportedModel:
    """What `load` returns: call it like the model, on arrays. Compiled once for each set of sizes.

    Attributes:
        name: of the model.
        inputs, outputs: a `TensorInfo` (name, sizes, dtype) for each.
        positive: sizes inside the model that must be at least 1, such as `"time - 2"`.
        weights: arrays by place (`"params/dense/kernel"`); empty if they are inside the function.
        platforms: what it was lowered for.
        jax_version, calling_convention_version: of the writer; see `kgraph.export`.
    """

    def __init__(self, package: Package, exported: jax.export.Exported) -> None:
        signature = package.signature
        self.name = package.name
        self.inputs: tuple[TensorInfo, ...] = signature.inputs
        self.outputs: tuple[TensorInfo, ...] = signature.outputs
        self.positive = signature.positive
        self.platforms = package.platforms
        self.jax_version = package.jax_version
        self.calling_convention_version = package.calling_convention_version
        self.weights: Mapping[str, Array] = {
            name: jax.device_put(array) for name, array in (package.weights or {}).items()
        }
        self._signature, self._exported = signature, exported
        self._call = Jitted(exported.call)

    @tracing
    def __call__(self, inputs: Tree) -> Any:
        """Returns the outputs as JAX arrays, in the structure of the model's outputs.

        Args:
            inputs: an array; a list or tuple in the order of `inputs`; or a dict by name. They are
                brought to the dtypes of the inputs.

        Raises:
            DataError: names, number or sizes are wrong.
        """
        arrays = self._signature.arrange(inputs)
        outputs = self._call(dict(self.weights), arrays)
        return fill(self._signature.output_structure, outputs)

    @property
    def stablehlo(self) -> str:
        """The function as text in StableHLO's notation, weights that are inside among it."""
        return str(self._exported.mlir_module())

    def __repr__(self) -> str:
        lines = [
            f"<ExportedModel {self.name!r} for {', '.join(self.platforms)}, by jax "
            f"{self.jax_version}, calling convention {self.calling_convention_version}",
            *(f"  takes    {info}" for info in self.inputs),
            *(f"  returns  {info}" for info in self.outputs),
        ]
        return "\n".join(lines) + ">"


def load(path: FilePath) -> ExportedModel:
    """Returns the function in a file that `model.export` wrote.

    An export is a program: load it only from people whose code you would run.

    Args:
        path: the file.

    Raises:
        ModelFileError: the file is missing, damaged, no export, or JAX no longer reads it.
        ConfigError: the package flatbuffers is not installed.
    """
    require_flatbuffers()
    file = Path(path).resolve()
    package = read_package(file)
    writer = shown(package.jax_version, 40)
    hint = f"it was written by jax {writer}: use that, or export the model again"
    with refusing(file, f"is not read by jax {jax.__version__}", hint=hint):
        exported = jax.export.deserialize(bytearray(package.function))
        _check(package, exported)
    return ExportedModel(package, exported)


def _check(package: Package, exported: jax.export.Exported) -> None:
    """Raises ValueError if the function is not the one that the manifest describes.

    An older JAX reads a newer file without an error and misses the number of devices in it.
    """
    if exported.nr_devices != 1:
        raise ValueError(f"it is for {exported.nr_devices} devices")
    if set(exported.platforms) != set(package.platforms):
        raise ValueError(f"it is for {', '.join(exported.platforms)}")
    weights, signature = package.weights or {}, package.signature
    arguments = (dict.fromkeys(weights, 0), [0] * len(signature.inputs))
    if exported.in_tree != jax.tree.structure((arguments, {})):
        raise ValueError("its arguments are not the weights and inputs beside it")
    stored = [TensorInfo(name, weights[name].shape, str(weights[name].dtype)) for name in weights]
    ordered = sorted(stored, key=lambda info: info.name)
    expected = [*ordered, *signature.inputs, *signature.outputs]
    found = [*exported.in_avals, *exported.out_avals]
    if len(found) != len(expected) or not all(map(_is_like, found, expected)):
        raise ValueError("it takes or returns other arrays than its manifest says")


def _is_like(found: Any, info: TensorInfo) -> bool:
    """Tells whether an array of a function is as described, but for how unknown sizes are named."""
    numbers = [pair for pair in zip(found.shape, info.dims) if set(map(type, pair)) & {int}]
    same = len(found.shape) == len(info.dims) and str(found.dtype) == info.dtype
    return same and all(size == dim for size, dim in numbers)
