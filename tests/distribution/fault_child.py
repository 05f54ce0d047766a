"""One of several processes that train together until one of them, `where`, does something.

Arguments: address of the first process, number of this one, what happens, where, a folder.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import spread_models as m

import kgraph
from kgraph import callbacks, distribution
from kgraph.distribution import processes
from kgraph.saving import weights

STEPS = 12


class Meddler(callbacks.Callback):
    """Does what is asked for after the fifth batch, or after the first epoch."""

    def __init__(self, what: str) -> None:
        self.what = what

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.what == "sigterm" and batch > 5:
            time.sleep(0.5)  # JAX hears of the signal once a second
        if batch != 5:
            return
        if self.what == "callback":
            raise ValueError("the callback is wrong")
        if self.what == "stop":
            self.model.stop_training = True
        if self.what == "sigterm":
            os.kill(os.getpid(), signal.SIGTERM)
        if self.what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.what == "exit":
            os._exit(3)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.what == "epoch callback":
            raise ValueError("the callback is wrong")
        if self.what == "stop after an epoch":
            self.model.stop_training = True


def full_disk(*_: Any) -> None:
    raise OSError("No space left on device")


def rows(index: int) -> slice:
    """Returns the part of a batch of 16 that a process reads."""
    return slice(8 * index, 8 * index + 8)


def batches(what: str, index: int) -> Iterator[Any]:
    """Yields this process' rows of each batch."""
    for step in range(STEPS - (what == "fewer batches")):
        if what == "data" and step == 5:
            raise OSError("the file is gone")
        time.sleep(0.01)
        yield m.X[:16][rows(index)], m.Y[:16][rows(index)]


def main() -> None:
    address, number, what, where, folder = sys.argv[1:]
    index = int(number)
    mine = what if index == int(where) else "nothing"
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_disable_most_optimizations", True)
    if what == "exit":  # a silence that is noticed sooner: "kill" has the real one
        processes.HEARTBEAT_SECONDS = 10
    distribution.initialize(address, 2, index)
    spread = distribution.DataParallel(auto_shard_dataset=False)
    model = m.compiled(m.mlp, spread, weighted_metrics=None)
    loggers = [
        callbacks.CSVLogger(f"{folder}/log.csv"), callbacks.JSONLogger(f"{folder}/log.jsonl"),
        callbacks.TensorBoard(f"{folder}/board"),
        callbacks.ModelCheckpoint(f"{folder}/best.kgraph", "loss", verbose=1),
    ]  # fmt: skip
    if mine == "program":
        raise OSError("the file is gone")
    epochs = 2 if "epoch" in what else 1
    history = model.fit(
        batches(mine, index) if epochs == 1 else list(batches(mine, index)), epochs=epochs,
        callbacks=[*loggers, Meddler(mine)], verbose=2,
    )  # fmt: skip
    if mine == "save":
        weights._write_safetensors = full_disk
    model.save_weights(f"{folder}/w.safetensors")
    own = [(m.X[low : low + 16][rows(index)],) for low in (0, 16)]
    found = model.predict(own, verbose=0)
    alone = kgraph.models.clone_model(model)
    alone.set_weights(model.get_weights())
    expected = np.asarray(alone(np.concatenate([x for (x,) in own])))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    print(
        json.dumps({"history": history.history, "step": int(model._kgraph.trainer.state()["step"])})
    )


if __name__ == "__main__":
    main()
