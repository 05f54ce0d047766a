"""Forks processes that save checkpoints and may be killed; run as a program of its own.

Importing JAX and Orbax takes seconds, so it is done once, and children are forked from here before
JAX has started a backend: they save NumPy arrays. For each line on stdin (JSON: `place`, `options`
of Checkpoint, `steps` to save, `limit` on the size of files, `go`: whether to wait for a file of
that name) a child is forked and its pid printed. A child writes `saved <step>`, `failed <message>`
and `end` to the file `<folder>.log`.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

import numpy as np
from orbax.checkpoint import v1 as orbax  # noqa: F401 - imported before the first fork

from kgraph.saving.checkpoints import Checkpoint


def arrays_of(step):
    """Returns arrays that depend on the step alone: one large enough to fill a file of its own."""
    rng = np.random.default_rng(step)
    return {
        "params": {"w": rng.standard_normal((256, 400)).astype(np.float32), "b": np.ones(3)},
        "step": np.int64(step),
    }


def run(order):
    folder = Path(order["place"])
    if order.get("go"):
        while not Path(order["go"]).exists():
            time.sleep(0.005)
    with open(f"{folder}.log", "a", buffering=1) as log:
        checkpoint = Checkpoint(folder, **order["options"])
        try:
            checkpoint.open()
            if checkpoint.latest() is not None:
                checkpoint.restore()
            if order.get("limit"):
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
                resource.setrlimit(resource.RLIMIT_FSIZE, (order["limit"], hard))
            for step in range((checkpoint.latest() or 0) + 1, order["steps"] + 1):
                checkpoint.save(step, arrays_of(step), {"step": step}, {"loss": -step % 7})
                if step % 3:
                    checkpoint.wait()
                    log.write(f"saved {step}\n")
            checkpoint.close()
        except OSError as error:
            log.write("failed " + str(error).replace("\n", " ") + "\n")
        log.write("end\n")


def main():
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
    print("ready", flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                run(json.loads(line))
            finally:
                os._exit(0)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
