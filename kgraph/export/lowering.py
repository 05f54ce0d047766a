"""Lowers the inference function of a program by `jax.export`, its unknown sizes kept."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.export
import numpy as np

from kgraph.compiler import Program
from kgraph.errors import ConfigError
from kgraph.export.signature import Signature, TensorInfo
from kgraph.graph.dims import dim_names, rename_dims
from kgraph.interrupts import tracing
from kgraph.layers.base.symbolic import abstract_value
from kgraph.source import warn
from kgraph.types import AnyArray, Array, Dims

PLATFORMS = ("cpu", "cuda", "tpu")

_LINES: Any = "jax_traceback_in_locations_limit"

Weights = Mapping[str, AnyArray]
"""Arrays by place: `"params/dense/kernel"`."""


def lower_inference(
    program: Program, weights: Weights, inside: bool, platforms: Sequence[str] | None
) -> tuple[jax.export.Exported, Signature]:
    """Returns the exported function `(weights, inputs) -> outputs`, both flat, and its signature.

    Args:
        program: what to lower.
        weights: by place.
        inside: whether they become constants of the function, whose `weights` is then empty.
        platforms: what to lower for; None for all of `PLATFORMS` that it can be lowered for.

    Raises:
        ConfigError: it cannot be lowered; says why.
    """
    graph = program.model_graph
    names = _readable_names(program)
    inputs = [graph.spec(ref).renamed(names) for ref in graph.inputs]
    positive = _positive_sizes(program, names)

    def function(given: dict[str, Array], arrays: list[Array]) -> list[Array]:
        known = weights if inside else given
        layout = program.weights.folded
        values = {id(place.weight): known[place_name(place)] for place in layout.places}
        run = program.run(layout.nest(values), arrays, training=False)
        return run.outputs[: len(program.output_names)]

    scope = jax.export.SymbolicScope([f"{size} >= 1" for size in positive])
    specs = {k: jax.ShapeDtypeStruct(np.shape(w), w.dtype) for k, w in weights.items()}
    args = ({} if inside else specs, [abstract_value(spec, scope) for spec in inputs])
    with _without_source_lines():
        exported = _export(function, args, platforms)
    outputs = [_dims(aval.shape) for aval in exported.out_avals]
    signature = Signature(
        tuple(TensorInfo(n, s.dims, s.dtype) for n, s in zip(program.input_names, inputs)),
        tuple(
            TensorInfo(name, dims, str(aval.dtype))
            for name, dims, aval in zip(program.output_names, outputs, exported.out_avals)
        ),
        graph.input_structure,
        graph.result_structure,
        tuple(positive),
    )
    return exported, signature


def place_name(place: Any) -> str:
    """Returns the name of a weight in an export."""
    return "/".join((place.collection, *place.path))


@tracing
def _export(function: Any, args: Any, platforms: Sequence[str] | None) -> jax.export.Exported:
    def attempt(chosen: Sequence[str]) -> jax.export.Exported:
        return jax.export.export(jax.jit(function), platforms=chosen)(*args)

    try:
        return attempt(platforms or PLATFORMS)
    except Exception as error:
        if platforms is not None:
            raise _refused(platforms, error) from error
        first = error
    fine, failed = [], {}
    for platform in PLATFORMS:
        try:
            attempt([platform])
            fine.append(platform)
        except Exception as error:
            failed[platform] = error
    if not fine or not failed:
        raise _refused(PLATFORMS, first) from first
    warn(
        f"The model is exported for {' and '.join(fine)} only. "
        f"Not for {' or '.join(failed)}: {_first_line(next(iter(failed.values())))}",
    )
    return attempt(fine)


def _refused(platforms: Sequence[str], error: Exception) -> ConfigError:
    return ConfigError(
        f"The model cannot be exported for {', '.join(platforms)}",
        received=f"{type(error).__name__}: {_first_line(error)}",
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]


@contextlib.contextmanager
def _without_source_lines() -> Iterator[None]:
    """Keeps files and lines of this machine out of what is lowered: same model, same bytes."""
    before = jax.config.values[_LINES]
    jax.config.update(_LINES, 0)
    try:
        yield
    finally:
        jax.config.update(_LINES, before)


# --- sizes ---------------------------------------------------------------------------------------


def _readable_names(program: Program) -> dict[str, str]:
    """Returns a name such as `title_1` (input and axis) for each size that nobody named."""
    graph = program.model_graph
    taken = {name for ref in graph.inputs for name in dim_names(graph.spec(ref).dims)}
    found: dict[str, str] = {}
    for text, ref in zip(program.input_names, graph.inputs):
        word = "".join(c if c.isalnum() and c.isascii() else "_" for c in text)
        for axis, dim in enumerate(graph.spec(ref).dims):
            if isinstance(dim, str) and dim.startswith("_") and dim not in found:
                name = f"{word}_{axis}" if word[:1].isalpha() else f"size_{word}_{axis}"
                while name in taken:
                    name += "_"
                found[dim] = name
                taken.add(name)
    return found


def _positive_sizes(program: Program, names: Mapping[str, str]) -> list[str]:
    """Returns the expressions of sizes in the graph, which shape inference has taken to be >= 1.

    JAX takes that of plain unknown sizes by itself and has to be told it of expressions.
    """
    sizes = {
        size for node in program.flat_graph.nodes for spec in node.outputs
        for size in rename_dims(spec.dims, names)
    }  # fmt: skip
    return sorted(d for d in sizes if isinstance(d, str) and not d.isidentifier())


def _dims(shape: Sequence[Any]) -> Dims:
    return tuple(size if isinstance(size, int) else str(size) for size in shape)
