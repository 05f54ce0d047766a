"""Makes and reads a model over eight devices, and prints what it holds and the most that took.

Arguments: address of the first process, number of this one, how many there are, a folder.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import numpy as np

import kgraph
from kgraph import distribution, layers
from kgraph.training.optimizer_state import new_optimizer_state

WIDTH, BLOCKS = 1024, 48
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
    gc.collect()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the largest size so far is forgotten
    before = size()
    arrays = make()
    return {"held": held(arrays), "most": peak() - before}


def ways(model: Any, folder: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yields what makes arrays of the model, or reads them."""
    program, placement = kgraph.lower(model), model._kgraph.programs.placement()

    def weights() -> Any:
        return [weight.value for weight in model.weights]

    def first_values() -> Any:
        placement.create(program)
        return weights()

    def forget() -> None:
        for weight in model.weights:
            weight._value = None

    yield "weights", first_values
    layout = program.weights.layout
    params = layout.nest({id(place.weight): place.weight.value for place in layout.places})
    first_state = partial(
        new_optimizer_state, program, model.optimizer, params["params"], placement
    )
    yield "optimizer", first_state
    with kgraph.Checkpoint(f"{folder}/steps") as checkpoint:
        checkpoint.save(1, params, {}, wait=True)
    twin = kgraph.models.clone_model(model)  # a file has one writer
    for name in ("w.safetensors", "w.weights.h5"):
        twin.save_weights(f"{folder}/{name}")
    twin.save(f"{folder}/m.keras")
    del twin
    model.save(f"{folder}/model/")
    template = placement.specs(layout, params)
    del params, first_state
    forget()
    yield "checkpoint", lambda: checkpoint.restore(None, template)[0]

    def load(path: str) -> Any:
        model.load_weights(path)
        return weights()

    yield "file", lambda: load(f"{folder}/w.safetensors")
    forget()
    yield "folder", lambda: load(f"{folder}/model/")
    forget()
    yield "Keras' weights", lambda: load(f"{folder}/w.weights.h5")
    forget()

    def load_model() -> Any:
        with placement.distribution.scope():
            return [w.value for w in kgraph.models.load_model(f"{folder}/m.keras").weights]

    yield "Keras' model", load_model


def main() -> None:
    address, number, count, folder = sys.argv[1:]
    if int(count) > 1:
        distribution.initialize(address, int(count), int(number))
    spread = distribution.FSDP(least_size=1024)
    small = net(64, 3)  # for what is made once in a process
    small.compile("adam", "mse", distribution=spread)
    small.fit(np.zeros((16, 64), "float32"), np.zeros((16, 64), "float32"), verbose=0)
    model = net(WIDTH, BLOCKS)
    model.compile("adam", "mse", distribution=spread)
    for _, make in ways(small, f"{folder}/small"):
        measured(make)
    print(json.dumps({name: measured(make) for name, make in ways(model, folder)}))


if __name__ == "__main__":
    main()
