"""One of several processes that train with a checkpoint, each on rows of its own.

Arguments: address of the first process, number of this one, a folder, when to send itself SIGTERM
(after so many batches; 0 for never; either may be a variable that says it), and how often to save.
Variables: PROCESSES, BUILD and OPTIMIZER, and JUMPS for a clock that jumps.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from typing import Any

import jax
import spread_models as m

import kgraph
from kgraph import callbacks, distribution

BATCHES = 60


class Rows:
    """An iterator of one process' rows of each batch, which knows its place."""

    def __init__(self, index: int) -> None:
        self.index, self.place = index, 0

    def __iter__(self) -> Rows:
        return self

    def __next__(self) -> Any:
        time.sleep(0.05)
        first = (self.place * 5 + 8 * self.index) % 24
        self.place += 1
        return m.X[first : first + 8], m.Y[first : first + 8]

    def get_state(self) -> dict[str, int]:
        return {"index": self.index, "place": self.place}

    def set_state(self, state: dict[str, int]) -> None:
        assert state["index"] == self.index
        self.place = state["place"]


def main() -> None:
    address, number, folder, last, every = sys.argv[1:]
    index, last, folder = int(number), os.environ.get(last, last), os.environ.get(folder, folder)
    if "JUMPS" in os.environ:  # by days
        started = time.time()
        time.time = lambda: started + random.uniform(-1e6, 1e6)
    count_of_processes = int(os.environ.get("PROCESSES", "2"))
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_disable_most_optimizations", True)
    distribution.initialize(address, count_of_processes, index)
    spread = distribution.DataParallel(auto_shard_dataset=False)
    build = getattr(m, os.environ.get("BUILD", "dropping"))
    model = m.compiled(build, spread, os.environ.get("OPTIMIZER", "adam"), weighted_metrics=None)
    count = 0

    def after_batch(batch: int, logs: Any) -> None:
        nonlocal count
        count += 1
        if count == int(last):
            os.kill(os.getpid(), signal.SIGTERM)

    saver = kgraph.Checkpoint(folder, every=int(every) if every.isdigit() else every)
    told = callbacks.LambdaCallback(on_train_batch_end=after_batch)
    history = model.fit(
        Rows(index), steps_per_epoch=BATCHES // 2, epochs=2, callbacks=[told], verbose=0,
        checkpoint=saver,
    )  # fmt: skip
    weights = [array.tolist() for array in model.get_weights()]
    print(json.dumps({"history": history.history, "weights": weights, "batches": count}))


if __name__ == "__main__":
    main()
