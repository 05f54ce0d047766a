"""Compiles an exported program for devices that are not here. Runs as a process of its own.

`python child.py FOLDER` reads `job.json` and `program` there, and writes `result.json`, the
compiled `text` and, if the compiler can write it down, the `executable`. It needs JAX and nothing
of kgraph: the environment has to be set before JAX starts, a compiler that ends its process ends
only this one, and the process that asked keeps its JAX as it was.
"""

from __future__ import annotations

import contextlib
import json
import pickle
import sys
import time
from pathlib import Path
from typing import Any

SIZES = ("argument", "output", "alias", "temp", "generated_code")
"""What JAX says of the memory of a program."""


def main(folder: Path) -> None:
    """Does what the folder says."""
    job = json.loads((folder / "job.json").read_text())
    try:
        devices = _devices(job)
    except Exception as error:
        result = {"error": "topology", "message": _text(error)}
    else:
        result = attempt(folder, job, devices)
    (folder / "result.json").write_text(json.dumps(result))


def attempt(folder: Path, job: dict[str, Any], devices: list[Any]) -> dict[str, Any]:
    """Compiles the program in a folder for these devices: the bytes on each, or the error."""
    started = time.perf_counter()
    try:
        result = _compile(folder, job, devices)
    except Exception as error:
        result = {"error": "compile", "message": _text(error)}
    return {**result, "seconds": time.perf_counter() - started}


def _devices(job: dict[str, Any]) -> list[Any]:
    import jax

    if job["platform"] == "cpu":
        return jax.devices("cpu")[: job["devices"]]
    from jax.experimental import topologies

    bounds = {} if job["host"] is None else {"chips_per_host_bounds": tuple(job["host"])}
    found = topologies.get_topology_desc(
        platform="tpu", topology_name=job["topology"], **bounds
    ).devices
    if len(found) != job["devices"]:
        raise ValueError(f"the topology has {len(found)} devices and not {job['devices']}")
    return list(found)


def _compile(folder: Path, job: dict[str, Any], devices: list[Any]) -> dict[str, Any]:
    import jax
    import numpy as np
    from jax import export
    from jax.sharding import Mesh

    exported = export.deserialize(bytearray((folder / "program").read_bytes()))
    names, shape = tuple(job["mesh"]), tuple(job["mesh"].values())
    mesh = Mesh(np.array(devices).reshape(shape), names)
    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    given, wanted = exported.in_shardings_jax(mesh), exported.out_shardings_jax(mesh)
    args = [
        jax.ShapeDtypeStruct(aval.shape, aval.dtype, sharding=sharding or whole)
        for aval, sharding in zip(exported.in_avals, given)
    ]
    call = jax.jit(
        lambda *leaves: exported.call(*leaves),
        donate_argnums=tuple(range(job["donated"])),
        out_shardings=tuple(sharding or whole for sharding in wanted),
    )
    compiled = call.lower(*args).compile(compiler_options=job["options"] or None)
    _write(folder / "text", (compiled.as_text() or "").encode())
    executable = None
    with contextlib.suppress(Exception):  # not every compiler can write its programs down
        from jax.experimental import serialize_executable

        executable = pickle.dumps(serialize_executable.serialize(compiled))
    if executable is not None:
        _write(folder / "executable", executable)
    memory = compiled.memory_analysis()
    return {name: getattr(memory, f"{name}_size_in_bytes") for name in SIZES}


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        text = f"{error.strerror}: it needs {len(data):,} bytes"
        raise OSError(error.errno, text, str(path)) from error


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
