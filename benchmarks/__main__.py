"""`python -m benchmarks [names] [--rounds N] [--out FOLDER]`: prints and writes the tables."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

from benchmarks import (
    build_time,
    building,
    checkpoint_cost,
    convolutional,
    convolutions,
    deep_nets,
    forecasts,
    import_cost,
    inference,
    layer_times,
    long_sequences,
    own_steps,
    processes,
    recurrent,
    saving_cost,
    step_time,
    threads,
    whole_passes,
)
from benchmarks.measure import Result, table

BENCHMARKS: dict[str, Callable[[int], Iterator[list[Result]]]] = {
    "import": import_cost.run,
    "chains": build_time.chains,
    "build": build_time.graphs,
    "first": build_time.first_step,
    "step": step_time.run,
    "own": own_steps.run,
    "passes": whole_passes.run,
    "threads": threads.run,
    "layers": layer_times.run,
    "checkpoint": checkpoint_cost.run,
    "processes": processes.run,
    "building": building.run,
    "deep": deep_nets.run,
    "recurrent": recurrent.run,
    "saving": saving_cost.run,
    "convolutions": convolutions.run,
    "convolutional": convolutional.run,
    "inference": inference.run,
    "forecast": forecasts.run,
    "long": long_sequences.run,
}


def machine() -> str:
    """Returns one line on where the numbers come from."""
    import jax
    import keras

    import kgraph

    device = jax.devices()[0]
    return (
        f"{os.cpu_count()} cores, {platform.machine()}, {device.platform} {device.device_kind}; "
        f"Python {platform.python_version()}, jax {jax.__version__}, keras {keras.__version__}, "
        f"kgraph {kgraph.__version__}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"which: {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="repeats of each (default 5)")
    parser.add_argument("--out", default="benchmarks/results", help="folder for the tables")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark is named {unknown[0]!r}")
    results: list[Result] = []
    for name in options.names or BENCHMARKS:
        for part in BENCHMARKS[name](options.rounds):
            print(table(part), end="\n\n", flush=True)
            results += part
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    text = f"{machine()}; {options.rounds} interleaved rounds.\n\n{table(results)}\n"
    (folder / "results.md").write_text(text)
    plain = {"machine": machine(), "results": [r.as_dict() for r in results]}
    (folder / "results.json").write_text(json.dumps(plain, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
