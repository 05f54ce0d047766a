"""What each way to spread a training over eight devices costs: bytes on each, and what they send.

`python -m benchmarks.shardings` compiles the steps for virtual CPU devices; nothing runs.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

import kgraph as keras
from benchmarks.forecasts import gpt
from benchmarks.large_networks import resnet50
from kgraph import distribution as dist
from kgraph.forecast import Forecast
from kgraph.forecast.display import metric

DEVICES, ROWS = 8, 64
Rules = Mapping[str, tuple[str | None, ...]]

TRANSFORMER: Rules = {
    ".*/(query|key|value)/kernel": (None, "model"),
    ".*/(query|key|value)/bias": ("model",),
    ".*/attention_output/kernel": ("model",),
    "dense(_2|_4|_6)?/kernel": (None, "model"),
    "dense(_2|_4|_6)?/bias": ("model",),
    "dense(_1|_3|_5|_7)/kernel": ("model",),
    "dense_8/kernel": (None, "model"),
    "dense_8/bias": ("model",),
}
"""Heads and hidden units in parts; two sums for each block, and the logits in parts."""

CONVOLUTIONS: Rules = {".*conv.*/kernel": (None, None, None, "model"), "dense/kernel": ("model",)}
"""The channels that a convolution makes, in parts."""


def transformer() -> Any:
    """Returns 4 blocks of width 512 and 8 heads, length 256, 8,192 words."""
    return gpt(keras, 256, words=8192, width=512, heads=8, blocks=4)


NETWORKS = {
    "transformer": (transformer, TRANSFORMER),
    "ResNet50, 224 x 224": (lambda: resnet50(keras, 224, last=None), CONVOLUTIONS),
}


def shardings(rules: Rules) -> dict[str, dist.Distribution | None]:
    """Returns the ways to spread a training; None for one device."""

    def layouts(*shape: int, names: tuple[str, str]) -> dist.LayoutMap:
        found = dist.LayoutMap(dist.DeviceMesh(shape, names, ["cpu:0"] * DEVICES))
        for pattern, axes in rules.items():
            found[pattern] = axes
        return found

    flat = dist.DeviceMesh((DEVICES,), ("fsdp",), ["cpu:0"] * DEVICES)
    data = dist.DeviceMesh((DEVICES,), ("batch",), ["cpu:0"] * DEVICES)
    return {
        "one device": None,
        "DataParallel": dist.DataParallel(data),
        "FSDP": dist.FSDP(flat),
        "tensor parallel 8": dist.ModelParallel(layout_map=layouts(1, 8, names=("batch", "model"))),
        "data 2, tensor parallel 4": dist.ModelParallel(
            layout_map=layouts(2, 4, names=("batch", "model"))
        ),
        "FSDP 2, tensor parallel 4": dist.FSDP(layout_map=layouts(2, 4, names=("fsdp", "model"))),
    }


def forecast(build: Any, spread: dist.Distribution | None) -> Forecast:
    model = build()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model.forecast(
        "cpu:1" if spread is None else f"cpu:{DEVICES}", ROWS, distribution=spread
    )


def sent(found: Forecast) -> str:
    """Returns how often which collectives run in a step, and the bytes of their whole arrays."""
    calls: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for one in found.collectives:
        calls[one.kind] += one.times
        sizes[one.kind] += one.times * one.bytes
    return ", ".join(f"{calls[k]} {k}: {metric(size, 'B')}" for k, size in sizes.most_common())


def main() -> None:
    for name, (build, rules) in NETWORKS.items():
        print(f"| {name}, {ROWS} rows | arguments | temporary | sent in a step |")
        print("|---|---:|---:|---|", flush=True)
        for how, spread in shardings(rules).items():
            found = forecast(build, spread)
            need = found.bytes_per_chip
            cells = how, metric(need.arguments, "B"), metric(need.temporary, "B"), sent(found)
            print(f"| {' | '.join(cells)} |", flush=True)
        print(flush=True)


if __name__ == "__main__":
    sys.exit(main())
