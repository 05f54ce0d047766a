"""The loss in pieces and attention in chunks on a CPU: time and memory of a step with each of them.

`benchmarks.forecasts` has the same steps by the TPU's compiler.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import kgraph
from benchmarks.forecasts import gpt
from benchmarks.measure import Result, amounts, race

WIDTH, HEADS, WORDS = 256, 4, 8192
"""Of decoders whose logits and scores are as large as those that the default takes apart."""


@dataclass(frozen=True)
class Sizes:
    """Of one network and its batch."""

    length: int
    rows: int
    blocks: int


NETWORKS = {
    "GPT-like, T 512, on the CPU": Sizes(512, 8, 2),
    "GPT-like, T 4,096, on the CPU": Sizes(4096, 4, 1),
}
FORMS: dict[str, tuple[bool | None, bool | str]] = {
    "kgraph, plain": (False, False),
    "kgraph, loss in pieces": (False, "auto"),
    "kgraph": (None, "auto"),
}
"""Whether attention chooses its form, and the option for the loss."""


def run(rounds: int = 3) -> Iterator[list[Result]]:
    """Yields the times of a step, and the bytes that it needs beside its arguments."""
    for name, sizes in NETWORKS.items():
        words = np.random.default_rng(0).integers(0, WORDS, (sizes.rows, sizes.length), "int32")
        models: dict[str, Any] = {who: _model(kgraph, sizes, *how) for who, how in FORMS.items()}
        temporary = {who: model.memory(sizes.rows).temporary for who, model in models.items()}
        models["Keras"] = _model(_keras(), sizes)

        def step(model: Any, words: np.ndarray = words) -> Any:
            return lambda: float(model.train_on_batch(words, words))

        runs = {who: step(model) for who, model in models.items()}
        for once in runs.values():
            once()
        yield race(name, runs, unit="step", rounds=rounds)
        yield amounts(name, temporary, "B temporary")


def _keras() -> Any:
    import keras

    return keras


def _model(
    api: Any, sizes: Sizes, flash: bool | None = None, pieces: bool | str | None = None
) -> Any:
    model = gpt(api, sizes.length, WORDS, WIDTH, HEADS, sizes.blocks, flash=flash)
    loss = api.losses.SparseCategoricalCrossentropy(from_logits=True)
    options = {} if pieces is None else {"loss_in_pieces": pieces}
    model.compile(api.optimizers.AdamW(3e-4), loss, **options)
    return model
