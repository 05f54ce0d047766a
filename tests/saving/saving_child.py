"""A process that saves models when told to, for tests that kill it or break its system calls.

It reads one JSON line after another: `{"place": ..., "values": [...], "limit": ..., "go": ...}`.
For each it forks a child and prints its pid. The child (once the file `go` is there) saves a model
for each value, and writes `saved VALUE` or `failed ERROR` to the file beside the place that ends in
`.log`.
"""

from __future__ import annotations

import csv
import json
import os
import resource
import shutil
import signal
import struct
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import kgraph
from kgraph.callbacks import CSVLogger, JSONLogger
from kgraph.training.callbacks.event_file import EventFile, scalar

ROWS = 300


def model_of(value: int) -> Any:
    """Returns a model whose weights all are `value`; about 370 KB."""
    x = kgraph.Input((ROWS,), name="x")
    model = kgraph.Model(x, kgraph.layers.Dense(ROWS, name="d")(x), name="m")
    model.set_weights([np.full(w.shape, value, "float32") for w in model.weights])
    return model


def value_of(model: Any) -> int:
    """Returns the value of all weights of a model."""
    values = {float(v) for w in model.weights for v in np.unique(w.numpy())}
    assert len(values) == 1, "the file mixes two models"
    return int(values.pop())


def write(model: Any, path: str) -> None:
    """Saves a model in the form that the end of a path names, or logs the value of its weights."""
    if path.endswith("steps"):
        with kgraph.Checkpoint(path) as checkpoint:
            weights = {w.name: w.numpy() for w in model.weights}
            checkpoint.save(int(weights["kernel"].max()), weights, {}, wait=True)
    elif path.endswith(("log.csv", "log.jsonl")):
        is_csv = path.endswith("csv")
        logger = CSVLogger(path, append=True) if is_csv else JSONLogger(path)
        logger.on_train_begin()
        logger.on_epoch_end(value_of(model), {"loss": 0.5})
    elif path.endswith("events"):
        EventFile(path).write(1, [scalar("value", value_of(model))])
    elif path.endswith(".stablehlo"):
        model.export(path)
    elif path.endswith((".weights.h5", ".safetensors")):
        model.save_weights(path)
    else:
        model.save(path)


def read(path: Any) -> int:
    """Returns the value of all weights of what `write` has written."""
    name = str(path)
    if name.endswith("log.csv"):
        head, *rows = list(csv.reader(path.read_text().splitlines()))
        assert [head, *rows[:1]] == [["epoch", "loss", "val_loss"], ["1", "0.5", "NA"]]
        assert [row[1:] for row in rows] == [["0.5", "NA"]] * len(rows)
        return int(rows[-1][0])
    if name.endswith("log.jsonl"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert lines == [{"epoch": 1 + n, "loss": 0.5} for n in range(len(lines))]
        return len(lines)
    if name.endswith("events"):
        return sum(_records(file) == 2 for file in path.iterdir())
    if name.endswith("steps"):
        arrays = list(kgraph.Checkpoint(name).restore()[0].values())
    elif name.endswith(".stablehlo"):
        arrays = list(kgraph.export.load(name).weights.values())
    elif name.endswith((".weights.h5", ".safetensors")):
        model = model_of(0)
        model.load_weights(name)
        return value_of(model)
    else:
        return value_of(kgraph.saving.load_model(name))
    (value,) = {float(v) for array in arrays for v in np.unique(array)}
    return int(value)


def _records(file: Path) -> int:
    """Returns how many whole records an event file has: nothing else is in it."""
    data, count = file.read_bytes(), 0
    while data:
        size = struct.unpack("<Q", data[:8])[0] + 16
        assert len(data) >= size
        data, count = data[size:], count + 1
    return count


def save_all(order: dict[str, Any], model: Any) -> None:
    path = order["place"]
    log = os.open(path.rstrip("/") + ".log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    if order.get("go"):  # what is imported late is imported now
        folder, name = os.path.split(path.rstrip("/"))
        warm = os.path.join(folder, f"warm {name}") + "/" * path.endswith("/")
        write(model, warm)
        shutil.rmtree(warm) if os.path.isdir(warm) else os.unlink(warm)
        os.write(log, b"warm\n")
    while order.get("go") and not os.path.exists(order["go"]):
        time.sleep(0.001)
    if order.get("limit"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["limit"], resource.RLIM_INFINITY))
    for value in order["values"]:
        arrays = [np.full(w.shape, value, "float32") for w in model.weights]
        model.set_weights(arrays)
        try:
            write(model, path)
            text = f"saved {value}"
        except Exception as error:
            text = f"failed {type(error).__name__}: {error}".partition("\n")[0]
        if order.get("limit"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        os.write(log, f"{text}\n".encode())


def serve() -> None:
    """Forks a child for each line of the standard input. Nothing of JAX runs in this process."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            try:
                save_all(order, model_of(0))
            finally:
                os._exit(0)
        print(pid, flush=True)


if __name__ == "__main__":
    serve()
