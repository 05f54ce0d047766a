"""One of two processes that restore a checkpoint, and are refused when they save.

Arguments: address of the first process, number of this one, and the folder of a checkpoint.
"""

from __future__ import annotations

import os
import sys

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from kgraph.errors import ConfigError
from kgraph.saving.checkpoints import Checkpoint


def main() -> None:
    address, index, path = sys.argv[1:]
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(address, 2, int(index))
    mesh = Mesh(np.array(jax.devices()), ("rows",))
    checkpoint = Checkpoint(path)
    if index == "1":  # by itself
        checkpoint.restore()
    for spec in (PartitionSpec(), PartitionSpec("rows")):
        like = jax.ShapeDtypeStruct((8,), np.float32, sharding=NamedSharding(mesh, spec))
        found = checkpoint.restore(template={"w": like})[0]["w"]
        assert found.sharding == like.sharding
        for shard in found.addressable_shards:
            np.testing.assert_array_equal(shard.data, np.arange(8, dtype=np.float32)[shard.index])
    print("restored", flush=True)
    for use in (checkpoint.open, lambda: checkpoint.save(2, {"w": found}, {})):
        try:
            use()
        except ConfigError as error:
            print(str(error).replace("\n", " "), flush=True)
    os._exit(0)  # without the barrier at which the processes wait for each other


if __name__ == "__main__":
    main()
