"""A job: trains a transformer on the bytes of a text, as one process or as many.

    python train_job.py --alone --text book.txt --run run/          # one process, all its devices
    srun python train_job.py --text book.txt --run /shared/run      # Slurm: one task a host

Weights and optimizer state are cut over all devices (FSDP), each process reads its own rows (grain),
checkpoints and a JSON log go into `--run`, a folder that all processes see (checkpoints also into a
bucket of Google's: `--checkpoint gs://bucket/run`, with `kgraph-jax[gcs]`). Started again with the
same arguments, it goes on where it was; so whatever restarts jobs (`#SBATCH --requeue`, a Kubernetes
Job, a spot TPU's startup script) has only to start this command. Needs `pip install "kgraph-jax[data]"`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import grain
import numpy as np

import kgraph as keras
from kgraph import layers as L

BYTES = 256


class Windows:
    """Windows of a text by number, each with the bytes that follow: a source for grain."""

    def __init__(self, path: Path, length: int) -> None:
        self.text = np.memmap(path, np.uint8, "r")
        self.length = length

    def __len__(self) -> int:
        return (len(self.text) - 1) // self.length

    def __getitem__(self, index: Any) -> Any:
        start = int(index) * self.length
        window = np.asarray(self.text[start : start + self.length + 1], np.int32)
        return window[:-1], window[1:]


def batches(options: argparse.Namespace) -> Any:
    """Returns this process' rows of each batch, without end, in an order that the seed decides."""
    rows = grain.MapDataset.source(Windows(options.text, options.length))
    return grain.experimental.ElasticIterator(
        rows.shuffle(seed=1).repeat(),
        options.rows,
        grain.sharding.ShardByJaxProcess(drop_remainder=True),
        read_options=grain.ReadOptions(num_threads=4, prefetch_buffer_size=16),
    )


class Positions(L.Layer):
    """Adds a learned vector for each position."""

    def build(self, input_shape: Any) -> None:
        self.table = self.add_weight(input_shape[1:], "random_normal", name="table")

    def call(self, inputs: Any) -> Any:
        return inputs + self.table[None]


def transformer(length: int, width: int, blocks: int, heads: int, dropout: float) -> Any:
    """Returns a model from bytes to the logits of the bytes that follow each of them."""
    inputs = keras.Input((length,), dtype="int32")
    x = Positions()(L.Embedding(BYTES, width)(inputs))
    for _ in range(blocks):
        h = L.LayerNormalization()(x)
        h = L.MultiHeadAttention(heads, width // heads)(h, h, use_causal_mask=True)
        x = L.Add()([x, L.Dropout(dropout)(h)])
        h = L.Dense(4 * width, activation="gelu")(L.LayerNormalization()(x))
        x = L.Add()([x, L.Dropout(dropout)(L.Dense(width)(h))])
    return keras.Model(inputs, L.Dense(BYTES)(L.LayerNormalization()(x)))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--text", type=Path, required=True, help="a file, the same everywhere")
    parser.add_argument("--run", type=Path, required=True, help="a folder that all processes see")
    parser.add_argument("--checkpoint", help="another place than RUN/steps: gs://bucket/name, say")
    parser.add_argument("--alone", action="store_true", help="there is one process only")
    parser.add_argument("--every", default="10min", help="how often to save; a number is of steps")
    parser.add_argument("--dropout", type=float, default=0.1)
    for name, number in {
        "epochs": 10, "steps": 1000, "rows": 64, "length": 256, "width": 512, "blocks": 8, "heads": 8,
    }.items():  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=number)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    if not options.alone:
        keras.distribution.initialize()
    keras.utils.set_random_seed(1)
    sizes = options.length, options.width, options.blocks, options.heads
    model = transformer(*sizes, options.dropout)
    model.compile(
        keras.optimizers.AdamW(3e-4, clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        distribution=keras.distribution.FSDP(auto_shard_dataset=False),
    )
    every = int(options.every) if options.every.isdigit() else options.every
    model.fit(
        batches(options),
        steps_per_epoch=options.steps,
        epochs=options.epochs,
        verbose=2,
        callbacks=[keras.callbacks.JSONLogger(options.run / "log.jsonl")],
        checkpoint=keras.Checkpoint(options.checkpoint or options.run / "steps", every=every),
    )
    model.save(f"{options.run}/model/")  # a folder: each process writes its part


if __name__ == "__main__":
    main()
