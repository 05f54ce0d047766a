"""Has a traced step compiled for devices that are not here, by a process of its own.

The step is traced in this process, where the model is, and lowered to a portable text
(`jax.export`) for a mesh without devices. So no class, closure or lambda of the user has to reach
the other process, be it defined in a notebook's cell; what goes there is what the compiler reads.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from jax import export

from kgraph.distribution.chips import Slice
from kgraph.errors import ConfigError, StateError
from kgraph.forecast import child
from kgraph.interrupts import tracing
from kgraph.types import Function
from kgraph.writing import write_file

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "P": 2**50}
_NEEDED = re.compile(
    r"(?:total memory required for HLO temporaries \(|Used )([\d.]+)([KMGTP]?)", re.IGNORECASE
)


@dataclass(frozen=True)
class Traced:
    """A step as its arguments' shapes and what it does with them.

    Fields:
        function: of the leaves, to leaves.
        arguments: shapes, dtypes and shardings on a mesh without devices.
        donated: how many of the first arguments make room for results.
        results: where the results lie; None leaves it to the compiler.
    """

    function: Function
    arguments: Sequence[jax.ShapeDtypeStruct]
    donated: int
    results: Sequence[Any] | None


@dataclass(frozen=True)
class Compiled:
    """What the compiler made of a step.

    Fields:
        text: the compiled program; "" for one that does not fit.
        executable: the program itself, as bytes; None if the compiler cannot write it down.
        arguments, outputs, aliased, temporary, code: bytes on each chip; of a program that does not
            fit `temporary` is what it would need, as far as the compiler says it.
        fits: whether the compiler could place it in the chip's memory.
        message: of the compiler, if it could not.
        lowering_seconds, compiling_seconds: how long it took.
    """

    text: str
    executable: bytes | None
    arguments: int
    outputs: int
    aliased: int
    temporary: int
    code: int
    fits: bool
    message: str
    lowering_seconds: float
    compiling_seconds: float


def compile_for(
    where: Slice,
    mesh: Mapping[str, int],
    traced: Traced,
    options: Mapping[str, object] | None = None,
    here: Any = None,
) -> Compiled:
    """Compiles a step for a slice.

    Args:
        where: the devices.
        mesh: the axes that they are arranged along.
        traced: the step.
        options: for XLA, as `compiler_options` of JAX takes them.
        here: the devices themselves, if this process has them; it then compiles.

    Raises:
        ConfigError: libtpu is not installed, it knows no such slice, or an option is wrong.
        StateError: the step needs its host while it runs, or the compiler ended its process.
    """
    require_compiler(where)
    started = time.perf_counter()
    program = _exported(where, traced)
    lowering = time.perf_counter() - started
    job = {
        "platform": where.platform, "topology": where.name, "host": where.host,
        "devices": where.devices, "mesh": dict(mesh), "donated": traced.donated,
        "options": dict(options or {}),
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="kgraph-forecast-") as name:
        folder = Path(name)
        write_file(folder / "program", program)
        if here is None:
            write_file(folder / "job.json", json.dumps(job).encode())
            found = _run(folder, where)
        else:
            found = child.attempt(folder, job, list(here.flat))
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
    message = found.get("message", "")
    fits = "error" not in found
    if not fits and not is_out_of_memory(message):
        _refuse(where, found["error"], message)
    arguments, outputs, aliased, temporary, code = (found.get(name, 0) for name in child.SIZES)
    return Compiled(
        files.get("text", b"").decode(), files.get("executable"), arguments, outputs, aliased,
        temporary if fits else _needed(message), code, fits, message, lowering, found["seconds"],
    )  # fmt: skip


def require_compiler(where: Slice) -> None:
    """Raises ConfigError where there is no compiler for a slice."""
    if where.platform == "tpu" and importlib.util.find_spec("libtpu") is None:
        raise _no_compiler(where)


def _no_compiler(where: Slice) -> ConfigError:
    return ConfigError(
        f"Compiling for {where.name!r} needs the TPU's compiler, libtpu",
        hint='pip install "kgraph-jax[tpu]" (Linux; no TPU is needed), or forecast "cpu:8"',
    )


@tracing
def _exported(where: Slice, traced: Traced) -> bytearray:
    wanted = None if traced.results is None else tuple(traced.results)
    donated = tuple(range(traced.donated))
    placed: dict[str, Any] = {} if wanted is None else {"out_shardings": wanted}
    step = jax.jit(traced.function, donate_argnums=donated, **placed)
    try:
        return export.export(step, platforms=[where.platform])(*traced.arguments).serialize()
    except (NotImplementedError, ValueError) as error:
        if "callback" not in str(error).lower():
            raise
        raise StateError(
            f"A step that calls back into Python cannot be compiled for {where.name!r}",
            received=str(error).partition("\n")[0],
            hint="leave the pure_callback, io_callback or jax.debug.print out of the layer's call",
        ) from error


def _run(folder: Path, where: Slice) -> dict[str, Any]:
    """Runs the other process, and returns what it found."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    environment = {**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu"}
    if where.platform == "cpu":
        flags = environment.get("XLA_FLAGS", "")
        wanted = f"--xla_force_host_platform_device_count={where.devices}"
        environment["XLA_FLAGS"] = f"{flags} {wanted}".strip()
    else:
        environment["TPU_SKIP_MDS_QUERY"] = "1"  # or libtpu waits for a server of Google's cloud
        environment["ALLOW_MULTIPLE_LIBTPU_LOAD"] = "1"  # nothing here takes a chip for itself
        environment.pop("XLA_FLAGS", None)
    command = [sys.executable, "-P", child.__file__, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    result = folder / "result.json"
    if not result.exists():
        raise StateError(
            f"The compiler for {where.name!r} ended its process",
            received=[f"exit status {done.returncode}", *done.stderr.splitlines()[-5:]],
            hint="exit status -9 means that this machine has too little memory for the compiler",
        )
    return json.loads(result.read_text())


def _refuse(where: Slice, stage: str, message: str) -> None:
    lines = [line for line in message.splitlines() if line.strip()][:5]
    if "TPU support not installed" in message:  # JAX asks for the package's metadata as well
        raise _no_compiler(where)
    if stage == "topology":
        raise ConfigError(
            f"The compiler knows no topology {where.name!r}",
            expected=", ".join(where.chip.slices),
            received=lines,
        )
    if "compiler_options" in message or "No such compile option" in message:
        raise ConfigError("The compiler knows no such option", received=lines)
    raise StateError(f"The step does not compile for {where.name!r}", received=lines)


def is_out_of_memory(message: str) -> bool:
    """Tells whether the compiler says that a program does not fit into a chip's memory."""
    return "hbm" in message.lower() and (
        "Ran out of memory" in message or "RESOURCE_EXHAUSTED" in message
    )


def _needed(message: str) -> int:
    """Returns the bytes that a program would need, by the compiler's message; 0 if it is silent."""
    found = _NEEDED.search(message)
    return int(float(found[1]) * _UNITS[found[2].upper()]) if found else 0
