"""Two processes with four devices each that save checkpoints together; also run as a child.

Arguments of a child: address of the first process, number of this one, a folder, what to do, and
what goes wrong (see `FAULTS`).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import kgraph
from kgraph import callbacks, distribution, layers
from kgraph.saving.checkpoints import Checkpoint, orbax_arrays, step_files

ROOT = Path(kgraph.__file__).parents[1]
LIMIT = 100.0
"""Seconds after which processes count as standing still."""

RANDOM = np.random.default_rng(2)
ROWS, TARGETS = RANDOM.normal(size=(48, 8)).astype("float32"), RANDOM.integers(0, 3, 48)


class Done:
    """What a process has printed, as a list of JSON values, and how it ended."""

    def __init__(self, status: int, out: str, errors: str) -> None:
        self.status, self.errors = status, errors
        self.told = [json.loads(line[1:]) for line in out.splitlines() if line.startswith(">")]


def start_together(folder: Path | str, *what: str, count: int = 2) -> list[subprocess.Popen[str]]:
    """Starts processes with eight devices between them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "NPROC": "32",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={8 // count}",
    }  # fmt: skip
    return [
        subprocess.Popen(
            [sys.executable, __file__, address, str(count), str(index), str(folder), *what],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )
        for index in range(count)
    ]  # fmt: skip


def wait_for(running: list[subprocess.Popen[str]], limit: float = LIMIT) -> list[Done]:
    """Waits for processes to end, none of which may stand still."""
    try:
        found = [process.communicate(timeout=limit) for process in running]
    finally:
        for process in running:
            process.kill()
    return [Done(p.returncode, *texts) for p, texts in zip(running, found, strict=True)]


def run_together(
    folder: Path | str, *what: str, count: int = 2, limit: float = LIMIT
) -> list[Done]:
    """Runs processes to their ends."""
    return wait_for(start_together(folder, *what, count=count), limit)


def tell(*values: Any) -> None:
    for value in values:
        print(">" + json.dumps(value), flush=True)


# --- arrays --------------------------------------------------------------------------------------


def spread_tree(step: int) -> dict[str, Any]:
    """Returns arrays that are cut over both processes, that lie whole on each, and others."""
    mesh = Mesh(np.array(jax.devices()).reshape(2, -1), ("data", "model"))

    def on(spec: PartitionSpec, host: np.ndarray) -> jax.Array:
        return jax.make_array_from_callback(
            host.shape, NamedSharding(mesh, spec), lambda index: host[index]
        )

    whole = whole_tree(step)
    return {
        "params": {
            "cut": on(PartitionSpec("data", "model"), whole["params"]["cut"]),
            "columns": on(PartitionSpec(None, "model"), whole["params"]["columns"]),
            "whole": on(PartitionSpec(), whole["params"]["whole"]),
        },
        "count": whole["count"],
    }


def whole_tree(step: int) -> dict[str, Any]:
    """Returns the same arrays on the host."""
    return {
        "params": {
            "cut": np.arange(64, dtype=np.float32).reshape(8, 8) * step,
            "columns": np.arange(24, dtype=np.float32).reshape(3, 8) - step,
            "whole": np.arange(5, dtype=np.int32) + step,
        },
        "count": np.array([step], np.int64),
    }


def assert_same_shards(found: Any, step: int) -> None:
    for path, array in jax.tree_util.tree_leaves_with_path(found):
        host = whole_tree(step)
        for key in path:
            host = host[key.key]
        if not isinstance(array, jax.Array):
            np.testing.assert_array_equal(array, host)
            continue
        for shard in array.addressable_shards:
            np.testing.assert_array_equal(np.asarray(shard.data), np.asarray(host)[shard.index])


def save_arrays(folder: str) -> None:
    """Saves four steps of which two stay, and restores the last one."""
    with Checkpoint(folder, keep=2) as checkpoint:
        for step in (1, 2, 3, 4):
            checkpoint.save(step, spread_tree(step), {"step": step}, wait=step == 2)
    found, meta = Checkpoint(folder).restore(None, spread_tree(9))
    assert_same_shards(found, 4)
    tell({"steps": Checkpoint(folder).steps(), "meta": meta})


# --- what goes wrong -----------------------------------------------------------------------------


def _full(*_: Any, **__: Any) -> Any:
    raise OSError(28, "No space left on device")


def _die(*_: Any, **__: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


FAULTS: dict[str, Callable[[Any], None]] = {
    "digests": lambda do: setattr(step_files, "array_digests", do),
    "arrays": lambda do: setattr(orbax_arrays.ArraysWriter, "wait", do),
    "begin": lambda do: setattr(step_files.NamedTree, "shards", do),
    "manifest": lambda do: setattr(step_files.StepManifest, "encode", do),
    "rename": lambda do: setattr(os, "rename", do),
}


def save_with_fault(folder: str, index: int, fault: str) -> None:
    """Saves a step, and then one with a fault ("full digests 1": of process 1), if there is one."""
    kind, place, whose = fault.split()
    checkpoint = Checkpoint(folder).open()
    if checkpoint.latest() is not None:
        found, _ = checkpoint.restore(None, spread_tree(0))
        assert_same_shards(found, checkpoint.step or 0)
    step = (checkpoint.latest() or 0) + 1
    if step > 1 and int(whose) == index:
        FAULTS[place]({"full": _full, "kill": _die}[kind])
    try:
        checkpoint.save(step, spread_tree(step), {})
        checkpoint.close()
        tell("saved")
    except OSError as error:
        tell(str(error))
        time.sleep(2)  # a program takes its time to end; with process 0 the service goes, too


def save_when_told(folder: str, go: Path) -> None:
    """Tells its number to the system, and saves the next step when the file `go` is there."""
    checkpoint = Checkpoint(folder).open()
    found, _ = checkpoint.restore(None, spread_tree(0))
    assert_same_shards(found, 1)
    tell(os.getpid())
    while not go.exists():
        time.sleep(0.01)
    start = time.monotonic()
    try:
        checkpoint.save(2, spread_tree(2), {})
        checkpoint.close()
        tell("saved")
    except OSError as error:
        tell(str(error))
        tell(time.monotonic() - start)
        time.sleep(2)  # see above


# --- trainings -----------------------------------------------------------------------------------


def model() -> Any:
    """Returns a compiled model with dropout, whose kernels are cut over the devices."""
    mesh = distribution.DeviceMesh((2, len(jax.devices()) // 2), ("batch", "model"))
    layouts = distribution.LayoutMap(mesh)
    layouts["up/kernel"], layouts["head/kernel"] = (None, "model"), ("model", None)
    spread = distribution.ModelParallel(layout_map=layouts)
    return compiled(spread)


def compiled(spread: Any) -> Any:
    inputs = kgraph.Input((8,), name="x")
    h = layers.Dropout(0.3)(layers.Dense(16, activation="tanh", name="up")(inputs))
    made = kgraph.Model(inputs, layers.Dense(3, activation="softmax", name="head")(h))
    made.compile(
        "adam", "sparse_categorical_crossentropy", metrics=["accuracy"], distribution=spread
    )
    return made


def train(made: Any, epochs: int, checkpoint: Checkpoint | None, **options: Any) -> list[Any]:
    """Returns the history and what the model predicts, in plain lists."""
    fit = {"batch_size": 16, "verbose": 0, "validation_data": (ROWS, TARGETS), **options}
    history = made.fit(ROWS, TARGETS, epochs=epochs, checkpoint=checkpoint, **fit).history
    return [history, made.predict(ROWS, batch_size=16, verbose=0).tolist()]


def train_and_go_on(folder: str) -> None:
    """Tells what four epochs reach: at once, and as two and two; the first two stay in `half`."""
    for part in (None, "half", "run"):
        kgraph.utils.set_random_seed(5)
        if part is None:
            tell(train(model(), 4, None))
        elif part == "half":
            train(model(), 2, Checkpoint(f"{folder}/{part}"))
        else:
            train(model(), 2, Checkpoint(f"{folder}/{part}", every=2))
            kgraph.utils.set_random_seed(77)
            tell(train(model(), 4, Checkpoint(f"{folder}/{part}", every=2)))


def train_with_callbacks(folder: str) -> None:
    """Trains with every callback that saves, and tells what the model predicts then."""
    made = model()
    own = [
        callbacks.BackupAndRestore(f"{folder}/backup", delete_checkpoint=False),
        callbacks.OrbaxCheckpoint(f"{folder}/orbax"),
        callbacks.ModelCheckpoint(f"{folder}/model/"),
    ]
    tell(train(made, 2, None, callbacks=own)[1])
    made.fit(
        ROWS,
        TARGETS,
        epochs=2,
        batch_size=16,
        verbose=0,
        callbacks=[callbacks.BackupAndRestore(f"{folder}/backup")],
    )  # there is nothing left to train
    tell(Checkpoint(f"{folder}/backup").latest())


def save_for_ever(folder: str) -> None:
    """Goes on from the newest step, and saves until somebody kills it."""
    with Checkpoint(folder, keep=2) as checkpoint:
        if checkpoint.latest() is not None:
            found, meta = checkpoint.restore(None, spread_tree(0))
            assert_same_shards(found, meta["step"])
        for step in range((checkpoint.latest() or 0) + 1, 10**6):
            checkpoint.save(step, spread_tree(step), {"step": step})
            tell(step)


def main() -> None:
    address, count, number, folder, what, *rest = sys.argv[1:]
    index = int(number)
    if int(count) > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(address, int(count), index, heartbeat_timeout_seconds=10)
    jax.config.update("jax_disable_most_optimizations", True)
    if what == "fault":
        save_with_fault(folder, index, rest[0])
    elif what == "told":
        save_when_told(folder, Path(rest[0]))
    else:
        {
            "arrays": save_arrays, "train": train_and_go_on, "callbacks": train_with_callbacks,
            "ever": save_for_ever,
        }[what](folder)  # fmt: skip
    sys.stdout.flush()
    os._exit(0)  # without the barrier at which the processes wait for each other


if __name__ == "__main__":
    main()
