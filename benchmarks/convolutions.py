"""Forms of convolutions on a CPU: what `kgraph/layers/convolution/choice.py` is learnt from.

40 shapes; of each the outputs and both gradients, by XLA's own operation as every JAX library calls
it, and by kgraph's forms. `results/convolutions.json` keeps the times (milliseconds, the smallest
of interleaved repeats); a run replaces those of the shapes that it measures.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Result

FILE = Path(__file__).parent / "results" / "convolutions.json"
OWN = "XLA's own"


@dataclass(frozen=True)
class Case:
    """One convolution: shapes of inputs (channels last) and kernel, and the options."""

    inputs: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: int = 1
    padding: str = "SAME"
    dilation: int = 1
    groups: int = 1
    stretch: int = 1


CASES = {
    "toy ResNet 1": Case((64, 32, 32, 3), (3, 3, 3, 32), padding="VALID"),
    "toy ResNet 2": Case((64, 30, 30, 32), (3, 3, 32, 64), padding="VALID"),
    "toy ResNet block": Case((64, 9, 9, 64), (3, 3, 64, 64)),
    "toy ResNet last": Case((64, 9, 9, 64), (3, 3, 64, 64), padding="VALID"),
    "autoencoder 1": Case((64, 28, 28, 1), (3, 3, 1, 16), padding="VALID"),
    "autoencoder 2": Case((64, 26, 26, 16), (3, 3, 16, 32), padding="VALID"),
    "autoencoder 3": Case((64, 8, 8, 32), (3, 3, 32, 32), padding="VALID"),
    "autoencoder up": Case((64, 4, 4, 16), (3, 3, 16, 16), padding="FULL"),
    "autoencoder wide": Case((64, 24, 24, 32), (3, 3, 32, 16), padding="FULL"),
    "autoencoder end": Case((64, 26, 26, 16), (3, 3, 16, 1), padding="FULL"),
    "VGG 1": Case((4, 112, 112, 3), (3, 3, 3, 64)),
    "VGG 2": Case((4, 56, 56, 64), (3, 3, 64, 128)),
    "VGG 3": Case((8, 28, 28, 256), (3, 3, 256, 256)),
    "VGG 5": Case((8, 14, 14, 512), (3, 3, 512, 512)),
    "VGG 5, one row": Case((1, 14, 14, 512), (3, 3, 512, 512)),
    "ResNet50 stem": Case((8, 112, 112, 3), (7, 7, 3, 64), strides=2),
    "ResNet50 1x1 up": Case((8, 28, 28, 128), (1, 1, 128, 512)),
    "ResNet50 1x1 down": Case((8, 14, 14, 1024), (1, 1, 1024, 256)),
    "ResNet50 1x1 stride 2": Case((8, 28, 28, 512), (1, 1, 512, 1024), strides=2),
    "ResNet50 3x3": Case((8, 28, 28, 128), (3, 3, 128, 128)),
    "ResNet50 3x3 stride 2": Case((8, 28, 28, 128), (3, 3, 128, 128), strides=2),
    "small stride 2": Case((16, 32, 32, 32), (3, 3, 32, 64), strides=2),
    "patches of a ViT": Case((8, 112, 112, 3), (16, 16, 3, 192), strides=16),
    "MobileNet 3x3": Case((8, 56, 56, 64), (3, 3, 1, 64), groups=64),
    "MobileNet 3x3 stride 2": Case((8, 56, 56, 64), (3, 3, 1, 64), strides=2, groups=64),
    "MobileNet late": Case((32, 14, 14, 128), (3, 3, 1, 128), groups=128),
    "EfficientNet 5x5": Case((8, 28, 28, 96), (5, 5, 1, 96), groups=96),
    "depthwise, multiplier 2": Case((8, 28, 28, 32), (3, 3, 1, 64), groups=32),
    "depthwise, one row": Case((1, 28, 28, 64), (3, 3, 1, 64), groups=64),
    "groups of 16": Case((8, 28, 28, 64), (3, 3, 16, 64), groups=4),
    "dilated": Case((8, 32, 32, 32), (3, 3, 32, 32), dilation=2),
    "series": Case((32, 128, 64), (5, 64, 64)),
    "series, stride 2": Case((32, 256, 16), (5, 16, 32), strides=2),
    "series, dilated": Case((16, 256, 32), (3, 32, 32), dilation=4),
    "series, depthwise": Case((32, 128, 64), (5, 1, 64), groups=64),
    "series, one channel": Case((16, 1024, 1), (9, 1, 32)),
    "volume": Case((4, 16, 16, 16, 8), (3, 3, 3, 8, 16)),
    "volume, one channel": Case((4, 16, 16, 16, 1), (3, 3, 3, 1, 8), strides=2),
    "transposed, stride 2": Case((16, 8, 8, 64), (4, 4, 64, 32), padding="FULL", stretch=2),
    "tiny": Case((8, 14, 14, 1), (3, 3, 1, 8), padding="VALID"),
}  # fmt: skip


def run(rounds: int = 5) -> Iterator[list[Result]]:
    """Yields, after measuring, how kgraph's choice compares with XLA's own over all shapes.

    Args:
        rounds: the least number of repeats; short ones are repeated more often. The environment
            variable `CASES` can name the shapes to measure by their numbers, "0,1,2".
    """
    wanted = os.environ.get("CASES")
    numbers = range(len(CASES)) if wanted is None else map(int, wanted.split(","))
    found = json.loads(FILE.read_text()) if FILE.exists() else {}
    for name in [list(CASES)[number] for number in numbers]:
        found[name] = measure(CASES[name], rounds)
        print(name, found[name], flush=True)
    found = {name: found[name] for name in CASES if name in found}
    FILE.write_text(json.dumps(found, indent=1) + "\n")
    for what in ("outputs", "inputs", "kernel"):
        yield _compare(what, {name: times[what] for name, times in found.items()})


def measure(case: Case, rounds: int) -> dict[str, dict[str, Any]]:
    """Returns, for the outputs and each gradient, the time of each form and the form chosen."""
    import jax
    import jax.numpy as jnp

    from kgraph.layers.convolution.choice import choose
    from kgraph.layers.convolution.forms import FORMS
    from kgraph.layers.convolution.window import Window
    from kgraph.training.xla_options import xla_options

    rank = len(case.inputs) - 2
    window = Window(
        (case.strides,) * rank, _padding(case), (case.dilation,) * rank, (case.stretch,) * rank,
        case.groups,
    )  # fmt: skip
    random = np.random.default_rng(0)
    x, w = (jnp.asarray(random.normal(size=s), "float32") for s in (case.inputs, case.kernel))
    y = FORMS["window"](x, w, window)
    choice = choose(window, case.kernel, x.dtype)

    def compiled(form: str, what: str) -> Callable[[], Any]:
        convolve = FORMS["window" if form == OWN else form]

        def outputs(x: Any, w: Any, y: Any) -> Any:
            return convolve(x, w, window)

        def by_inputs(x: Any, w: Any, y: Any) -> Any:
            return jax.vjp(lambda x: convolve(x, w, window), x)[1](y)[0]

        def by_kernel(x: Any, w: Any, y: Any) -> Any:
            return jax.vjp(lambda w: convolve(x, w, window), w)[1](y)[0]

        function = {"outputs": outputs, "inputs": by_inputs, "kernel": by_kernel}[what]
        lowered = jax.jit(function).lower(x, w, y)
        options = {} if form == OWN else xla_options(lowered.as_text())
        executable = lowered.compile(options or None)
        return lambda: jax.block_until_ready(executable(x, w, y))

    runs = {
        (what, form): compiled(form, what)
        for what in ("outputs", "inputs", "kernel")
        for form in dict.fromkeys((OWN, getattr(choice, what), *_forms(case)))
    }
    times: dict[Any, list[float]] = {key: [] for key in runs}
    for call in runs.values():
        call()
    start = time.perf_counter()
    while len(times[next(iter(runs))]) < rounds or time.perf_counter() - start < 0.5:
        for key, call in runs.items():
            before = time.perf_counter()
            call()
            times[key].append(time.perf_counter() - before)
    found: dict[str, dict[str, Any]] = {}
    for (what, form), values in times.items():
        found.setdefault(what, {})[form] = round(min(values) * 1e3, 4)
    for what, entry in found.items():
        entry["chosen"] = getattr(choice, what)
    return found


def _forms(case: Case) -> tuple[str, ...]:
    """Returns the forms that a shape can have, beside the chosen one."""
    if case.stretch > 1:
        return ("window", "spreading")
    if case.groups > 1:
        return ("window", "shifts") if case.kernel[-2] == 1 else ("window", "patches")
    return "window", "patches", *(("spreading",) if case.strides == 1 else ())


def _padding(case: Case) -> Any:
    if case.padding != "FULL":
        return case.padding
    return tuple((k - 1, k - 1) for k in case.kernel[:-2])


def _compare(what: str, times: dict[str, dict[str, Any]]) -> list[Result]:
    """Returns XLA's own and the chosen forms as results; a unit is the geometric mean."""
    ratios = [entry[entry["chosen"]] / entry[OWN] for entry in times.values()]
    own = [entry[OWN] * 1e-3 for entry in times.values()]
    chosen = [entry[entry["chosen"]] * 1e-3 for entry in times.values()]
    title = f"convolutions, {what} of {len(times)} shapes"
    return [
        Result(title, OWN, "shape", _mean(own), min(own), max(own), 1.0, 1.0, 1.0),
        Result(
            title, "kgraph", "shape", _mean(chosen), min(chosen), max(chosen),
            _mean(ratios), min(ratios), max(ratios),
        ),
    ]  # fmt: skip


def _mean(values: list[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))
