"""One of two processes that train a model together. Prints what it has reached, as JSON.

Arguments: address of the first process, number of this one, a folder.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import jax
import numpy as np
import spread_models as m

import kgraph
from kgraph import distribution


def on_arrays(model: Any) -> dict[str, Any]:
    """Returns what a training on arrays gives, in plain lists."""
    fit = {"batch_size": 16, "verbose": 0, "validation_data": (m.X, m.Y)}
    history = model.fit(m.X, m.Y, epochs=2, **fit).history
    return {"history": history, "predict": model.predict(m.X, batch_size=12, verbose=0).tolist()}


def on_stream(model: Any, rows: slice = slice(None)) -> dict[str, Any]:
    """Returns what a training on a stream gives. Of each batch, this process reads `rows`."""
    stream = [(m.X[low : low + 16][rows], m.Y[low : low + 16][rows]) for low in (0, 16)]
    read: list[int] = []  # rows that all processes have read: the job is known while it runs

    def note(_: object) -> None:
        read.extend(model._kgraph.trainer.job.totals().rows.values())

    counting = kgraph.callbacks.LambdaCallback(on_train_end=note)
    history = model.fit(stream, epochs=2, verbose=0, callbacks=[counting]).history
    (rows,) = read
    return {"history": history, "evaluate": model.evaluate(stream, verbose=0), "rows": rows}


def compiled(spread: Any) -> Any:
    """Returns the model that is trained."""
    model = m.dropping()
    loss = "sparse_categorical_crossentropy"
    model.compile("adam", loss, metrics=["accuracy"], distribution=spread)
    return model


def main() -> None:
    address, number, folder = sys.argv[1:]
    index = int(number)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_disable_most_optimizations", True)
    kgraph.utils.set_random_seed(100 + index)  # that of the first counts
    distribution.initialize(address, 2, index)
    found = [on_stream(compiled(distribution.DataParallel()))]
    kgraph.utils.set_random_seed(100 + index)
    spread = distribution.DataParallel(auto_shard_dataset=False)
    found.append(on_stream(compiled(spread), slice(8 * index, 8 * index + 8)))
    kgraph.utils.set_random_seed(100 + index)
    layouts = distribution.LayoutMap(distribution.DeviceMesh((2, 2), ("batch", "model")))
    layouts["up/kernel"], layouts["head/kernel"] = (None, "model"), ("model", None)
    spread = distribution.ModelParallel(layout_map=layouts)
    model = compiled(spread)
    found.append(on_arrays(model))
    model.save(f"{folder}/")
    with spread.scope():
        again = kgraph.models.load_model(folder)
        predicted = again.predict(m.X, batch_size=12, verbose=0)
    np.testing.assert_array_equal(predicted, found[-1]["predict"])
    print(json.dumps(found), flush=True)
    os._exit(0)  # without the barrier at which the processes wait for each other


if __name__ == "__main__":
    main()
