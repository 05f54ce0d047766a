"""What saving and loading a large model costs, against Keras: time, and memory of a load.

`python -m benchmarks.saving_cost [--small] [--rounds N]`. The large model has the size of VGG19
(143.7 million parameters, 575 MB), the small one 10 million.
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np

from benchmarks.measure import Result, race, summarize, table
from kgraph.saving.files.digests import array_digests

_WIDE, _SMALL = (7, 512, 4096, 1000), (3, 128, 1024, 1000)
_BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
_MODULES = {"kgraph": "kgraph", "Keras": "keras"}


def build(library: Any, small: bool) -> Any:
    """Returns VGG19 in kgraph or Keras, or a narrow model of its shape with 10 million weights."""
    grid, channels, units, classes = _SMALL if small else _WIDE
    layers = library.layers
    x = library.Input((grid * 32, grid * 32, 3), name="images")
    h = x
    for width, count in _BLOCKS:
        for _ in range(count):
            h = layers.Conv2D(width * channels // 512, 3, padding="same", activation="relu")(h)
        h = layers.MaxPooling2D(2)(h)
    h = layers.Flatten()(h)
    for _ in range(2 if not small else 8):
        h = layers.Dense(units, activation="relu")(h)
    return library.Model(x, layers.Dense(classes, activation="softmax")(h), name="vgg19")


def run(rounds: int = 5, small: bool = False) -> Iterator[list[Result]]:
    """Yields times of saves and loads in interleaved rounds, and of digests alone.

    A load is done when its arrays are: Keras returns while threads of XLA still copy them, and the
    next contender would share the cores with these. And garbage is collected before each run:
    models of Keras are cycles of references, and would give back their memory in somebody's time.
    """
    import keras

    import kgraph

    size = "10 M" if small else "143.7 M"
    ours, theirs = build(kgraph, small), build(keras, small)
    ours.set_weights([np.asarray(w) for w in theirs.get_weights()])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        saves: dict[str, Callable[[], object]] = {
            "Keras": lambda: theirs.save(folder / "keras.keras"),
            "kgraph": lambda: ours.save(folder / "kgraph.kgraph"),
            "kgraph, folder": lambda: ours.save(f"{folder}/model/"),
        }
        loads: dict[str, Callable[[], object]] = {
            "Keras": lambda: _finished(keras.models.load_model(folder / "keras.keras")),
            "kgraph": lambda: _finished(kgraph.models.load_model(folder / "kgraph.kgraph")),
            "kgraph, folder": lambda: _finished(kgraph.models.load_model(folder / "model")),
        }
        for contender in (*saves.values(), *loads.values()):  # imports, and memory of the system
            contender()
        often = {"rounds": rounds, "before": gc.collect}
        yield race(f"save {size} parameters", saves, unit="save", **often)
        yield race(f"load {size} parameters", loads, unit="load", **often)
        arrays = [np.asarray(w.value) for w in ours.weights]
        gigabytes = sum(array.nbytes for array in arrays) / 1e9
        times = {"digests": [_seconds(lambda: array_digests(arrays)) for _ in range(rounds)]}
        per_gigabyte = {key: [t / gigabytes for t in own] for key, own in times.items()}
        yield summarize(f"verify {size} parameters", per_gigabyte, "GB")
        arrays.clear()
        for library, path in (("kgraph", "kgraph.kgraph"), ("Keras", "keras.keras")):
            held, peak = peak_memory(library, folder / path)
            print(
                f"load {size}, {library}: arrays {held / 1e6:.0f} MB, peak {peak / 1e6:.0f} MB "
                f"more than before it, {peak / held:.2f} times the arrays"
            )


def _finished(model: Any) -> None:
    """Waits until the weights of a model have their values."""
    import jax

    jax.block_until_ready([weight.value for weight in model.weights])


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


_LOAD = """
import sys
import {module} as library
def peak():  # not ru_maxrss, which begins with what the parent of the process had
    return 1024 * int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
x = library.Input((4,))
small = library.Model(x, library.layers.Dense(3)(x))
small.save(sys.argv[2])
library.models.load_model(sys.argv[2])
before = peak()
model = library.models.load_model(sys.argv[1])
after = peak()
print(sum(w.nbytes for w in model.get_weights()), after - before)
"""


def peak_memory(library: str, path: Path) -> tuple[int, int]:
    """Returns bytes of a model's arrays, and how much more memory its load makes a process take."""
    code = _LOAD.format(module=_MODULES[library])
    small = path.with_name(f"small{path.suffix}")
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(small)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    held, peak = map(int, done.stdout.split()[-2:])
    return held, peak


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.saving_cost", description=__doc__)
    parser.add_argument("--small", action="store_true", help="10 million parameters")
    parser.add_argument("--rounds", type=int, default=5, help="repeats of each (default 5)")
    options = parser.parse_args()
    for part in run(options.rounds, options.small):
        print(table(part), end="\n\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
