"""One of two processes that hold a model together and save it into one folder.

Arguments: address of the first process, number of this one, the folder, what goes wrong ("nothing",
"write": this is process 1 and its disk is full; "kill": it is killed as it saves).
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import kgraph
from kgraph.saving.kgraph_format import folder as folder_module
from kgraph.saving.kgraph_format import processes


def team_model(rows: int = 8) -> Any:
    """Returns a model, not spread yet, whose weights count up."""
    x = kgraph.Input((rows,), name="x")
    model = kgraph.Model(x, kgraph.layers.Dense(4, name="d")(x), name="m")
    model.set_weights([np.arange(w.size, dtype="float32").reshape(w.shape) for w in model.weights])
    return model


def shardings() -> list[NamedSharding]:
    """Returns how kernel and bias are spread: over all devices, and each device has all."""
    mesh = Mesh(np.array(jax.devices()), ("rows",))
    return [NamedSharding(mesh, PartitionSpec("rows")), NamedSharding(mesh, PartitionSpec())]


def fail_to_write(*_: Any) -> Any:
    raise OSError(28, "No space left on device")


def die(*_: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    address, index, path, fault = sys.argv[1:]
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(address, 2, int(index))
    model = team_model()
    for weight, sharding in zip(model.weights, shardings()):
        host = weight.numpy()
        weight.assign(jax.make_array_from_callback(host.shape, sharding, lambda i, h=host: h[i]))
    if fault != "nothing":
        processes.PATIENCE = 3.0
        if index == "1":
            folder_module._write_part = {"write": fail_to_write, "kill": die}[fault]
    try:
        kept = model.save(f"{path}/", wait=False)
        kept.wait()
        print("saved", flush=True)
    except OSError as error:
        print("failed", error, flush=True)
    if fault == "nothing":
        where = {(8, 4): shardings()[0]}
        loaded = kgraph.models.load_model(path, shardings=lambda _, shape: where.get(shape))
        for shard in loaded.weights[0].value.addressable_shards:
            np.testing.assert_array_equal(shard.data, team_model().weights[0].numpy()[shard.index])
        try:
            model.save(f"{path}.kgraph")
        except kgraph.errors.ConfigError as error:
            print(str(error).partition("\n")[0], flush=True)
    sys.stdout.flush()
    os._exit(0)  # without the barrier at which the processes wait for each other


if __name__ == "__main__":
    main()
