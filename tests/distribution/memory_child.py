"""Makes a model over eight devices, and prints what it holds and the most memory that took.

Arguments: address of the first process, number of this one, how many there are.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any

import jax
import numpy as np

import kgraph
from kgraph import distribution, layers

WIDTH, BLOCKS = 1024, 90
MB = 2**20


def net(width: int, blocks: int) -> Any:
    inputs = x = kgraph.Input((width,))
    for n in range(blocks):
        x = layers.Dense(width, activation="relu" if n % 2 else None, name=f"dense{n}")(x)
    return kgraph.Model(inputs, x)


def peak() -> int:
    """Returns the largest size of this process so far (`getrusage` may give its parent's)."""
    with open("/proc/self/status") as file:
        (line,) = (line for line in file if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def size() -> int:
    """Returns the size of this process now, in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def held(tree: Any) -> int:
    """Returns the bytes of what this process has of arrays."""
    return sum(
        shard.data.nbytes for leaf in jax.tree.leaves(tree) for shard in leaf.addressable_shards
    )


def measured(make: Any) -> dict[str, int]:
    """Returns what `make` holds, and how much larger the process has been than before."""
    before = size()
    arrays = make()
    return {"held": held(arrays), "most": peak() - before}


def main() -> None:
    address, number, count = sys.argv[1:]
    if int(count) > 1:
        distribution.initialize(address, int(count), int(number))
    spread = distribution.FSDP(least_size=1024)
    small = net(64, 3)  # for what is made once in a process
    small.compile("adam", "mse", distribution=spread)
    small.fit(np.zeros((16, 64), "float32"), np.zeros((16, 64), "float32"), verbose=0)
    model = net(WIDTH, BLOCKS)
    model.compile("adam", "mse", distribution=spread)

    program = kgraph.lower(model)

    def first_values() -> Any:
        model._kgraph.programs.placement().create(program)
        return [weight.value for weight in model.weights]

    told = {"weights": measured(first_values)}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
