"""CSVLogger in a training that was interrupted and goes on: each epoch has one row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import kgraph as keras

X = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")


class Stops(keras.callbacks.Callback):
    """Ends the process, as far as `fit` can tell, in the given epoch after its row is written."""

    def __init__(self, epoch: int | None):
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KeyboardInterrupt


def train(folder: Path, append: bool, stop: int | None) -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    checkpoint = keras.Checkpoint(folder / "run")
    logger = keras.callbacks.CSVLogger(folder / "log.csv", append=append)
    model.fit(
        X, X[:, :1], batch_size=8, epochs=4, verbose=0, checkpoint=checkpoint,
        callbacks=[logger, Stops(stop)],
    )  # fmt: skip


@pytest.mark.parametrize("append", [False, True])
def test_rows_are_neither_lost_nor_doubled(tmp_path, append):
    (tmp_path / "log.csv").write_text("epoch,loss\n0,9.0\n")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, append, stop=2)  # the row of epoch 2 is there, and its checkpoint is not
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 4 + append
    train(tmp_path, append, stop=None)
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in lines[1 + append :]] == ["0", "1", "2", "3"]
    assert len(lines) == 5 + append
