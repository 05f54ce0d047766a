"""What the steps of plain JAX take by the TPU's compiler, for those versions that made the figures.

`python tests/forecast/steps_by_hand.py [CASE ...]`, with the root and tests/forecast on PYTHONPATH,
compiles them anew, all or some, and writes the figures down.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
from tpu_cases import CASES, Case

from benchmarks.large_by_hand import stacked, state_specs, train_step
from benchmarks.on_tpu import compiled, figures
from kgraph.forecast.collectives import Collective, find_collectives
from kgraph.forecast.hlo import read_module

WRITTEN = Path(__file__).with_suffix(".json")


@dataclass(frozen=True)
class Taken:
    """What a step takes on each chip.

    Fields:
        cycles: by the compiler's estimate.
        memory: bytes of arrays, the most at once; at these sizes the program itself may be larger.
        exchanged: bytes that it gets from other chips.
    """

    cycles: int
    memory: int
    exchanged: int


def exchanged(collectives: Sequence[Collective]) -> int:
    """Returns the bytes of all exchanges of a step."""
    return sum(one.times * one.bytes for one in collectives)


def versions() -> dict[str, str]:
    """Returns those that figures depend on."""
    return {name: version(name) for name in ("jax", "libtpu")}


def written() -> dict[str, Taken]:
    """Returns the figures by case; none, if other versions made them."""
    found = json.loads(WRITTEN.read_text()) if WRITTEN.exists() else {}
    known = found.get("versions") == versions()
    return {name: Taken(**one) for name, one in found["steps"].items()} if known else {}


def compiled_anew(case: Case, model: Any) -> Taken:
    """Compiles the step of plain JAX, its weights laid out as those of the model are."""
    spread = case.options().get("distribution")
    cut = {w.shape: spread.axes_of(w.path, w.shape) for w in model.weights} if spread else {}
    cut |= {(2, *shape): (None, *axes) for shape, axes in cut.items()}
    shapes = [weight.shape for weight in model.weights]
    trained = [weight.trainable for weight in model.weights]
    if case.scan:
        shapes = stacked(shapes)
        trained = [True] * len(shapes)
    step = train_step(case.apply, case.loss, case.optimizer, trained)
    specs = [jax.ShapeDtypeStruct(shape, "float32") for shape in shapes]
    state = state_specs(specs, case.optimizer, trained)
    made = compiled(
        case.where, case.mesh, step, state, case.arrays(case.rows), lambda s: cut.get(s, ())
    )  # fmt: skip
    found = figures(made, case.where)
    moves = exchanged(find_collectives(read_module(made.text), case.mesh))
    return Taken(found.cycles, found.total - made.code, moves)


def main(names: Sequence[str]) -> None:
    """Writes the figures of some cases, or of all, beside those of the same versions."""
    steps = written()
    for name in names or CASES:
        steps[name] = compiled_anew(CASES[name], CASES[name].model())
        print(name, steps[name], flush=True)
        ordered = {name: asdict(steps[name]) for name in CASES if name in steps}
        WRITTEN.write_text(json.dumps({"versions": versions(), "steps": ordered}, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
