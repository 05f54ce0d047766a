"""Forecast: what a step needs and takes on devices that are not here, by their own compiler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from kgraph.distribution.chips import Slice
from kgraph.errors import ConfigError, StateError
from kgraph.forecast.advice import Advice, advise
from kgraph.forecast.collectives import Collective, find_collectives
from kgraph.forecast.compiling import Compiled
from kgraph.forecast.display import forecast_table
from kgraph.forecast.executable import write_executable
from kgraph.forecast.hlo import read_module
from kgraph.forecast.profile import LayerTime, Profile, profile
from kgraph.forecast.table import Comparison
from kgraph.graph.graph import Graph
from kgraph.tables import Table, Tabular

Again: TypeAlias = Callable[..., "Forecast"]
"""Makes the forecast anew with some of its options changed, by name."""


@dataclass(frozen=True)
class ChipBytes:
    """Bytes on each chip.

    Fields:
        arguments: weights, optimizer state, metrics and the chip's part of the batch; for
            predictions weights and inputs.
        temporary: everything in between: activations, gradients, work space.
        total: the most at once, results and the program itself included.
        limit: what a program may use; None if that is not known.
        exact: False if the step does not fit, and the compiler only says about what it would need.
    """

    arguments: int
    temporary: int
    total: int
    limit: int | None
    exact: bool


@dataclass(frozen=True)
class Options:
    """What a forecast was made for.

    Fields:
        what: "train" or "predict".
        batch_size: rows of the whole batch.
        mesh: the axes of the devices.
        layout: how weights are spread: the name of the distribution's class.
        remat: what is computed again; None for nothing.
        model_flops: of the model on the whole batch, without loss and optimizer.
    """

    what: str
    batch_size: int
    mesh: Mapping[str, int]
    layout: str
    remat: Any
    model_flops: int


@dataclass(frozen=True, repr=False)
class Forecast(Tabular):
    """What a step needs and takes on a slice of chips, as their compiler plans it.

    Shown, it is a table. Seconds are a bound from below: they leave out all waiting for other
    chips and for data, and what has no estimate (`unknown`).

    Fields:
        where: the devices.
        options: what it was made for.
        compiled: what the compiler gave.
        identity: of which model and training the step is.
    """

    where: Slice
    options: Options
    compiled: Compiled
    graph: Graph = field(repr=False)
    again: Again = field(repr=False)
    identity: str = field(repr=False)

    # --- memory ----------------------------------------------------------------------------------

    @property
    def fits(self) -> bool:
        """Whether the step fits into the memory of each chip, as far as that is known."""
        return self.compiled.fits

    @cached_property
    def bytes_per_chip(self) -> ChipBytes:
        """What it needs on each chip."""
        made = self.compiled
        whole = made.arguments + made.outputs - made.aliased + made.temporary + made.code
        return ChipBytes(
            made.arguments, made.temporary, whole, self.where.chip.memory, exact=made.fits
        )

    @property
    def donated(self) -> bool:
        """Whether all of the state after the step takes the place of the state before it."""
        return self.compiled.outputs - self.compiled.aliased < 4096

    # --- time ------------------------------------------------------------------------------------

    @cached_property
    def _module(self) -> Any:
        if not self.compiled.fits:
            raise StateError(
                f"The step does not fit on {self.where.name}, so there is no program to look at",
                received=self.compiled.message.partition("\n")[0],
                hint="forecast.advice tries what would fit",
            )
        return read_module(self.compiled.text)

    @cached_property
    def profile(self) -> Profile:
        """The compiler's estimates, layer by layer.

        Raises:
            StateError: the step does not fit, so that there is no program.
        """
        return profile(self._module, self.graph, self.where.chip)

    @property
    def layers(self) -> tuple[LayerTime, ...]:
        """A row for each layer, in the order of the model."""
        return self.profile.layers

    @property
    def cycles(self) -> int:
        """The compiler's estimate, loops by the number of their trips, kernels by their own."""
        return self.profile.cycles

    @property
    def step_seconds(self) -> float | None:
        """The same as time; None for devices that are not estimated."""
        clock = self.where.chip.clock
        return self.cycles / clock if clock and self.cycles else None

    @property
    def flops(self) -> int:
        """FLOPs of the matrix products on each chip, with those that are computed again."""
        return self.profile.flops

    @property
    def bytes_moved(self) -> int:
        """Bytes that each chip reads from its memory and writes to it."""
        return self.profile.bytes

    @property
    def flops_utilization(self) -> float | None:
        """At most how much of the chips' peak the model's own FLOPs are: an upper bound.

        Without those that are computed again, and without any waiting.
        """
        seconds = self.step_seconds
        if seconds is None:
            return None
        return self.options.model_flops / (seconds * self.where.chip.flops * self.where.devices)

    @property
    def unknown(self) -> Counter[str]:
        """What runs and has no estimate, and how often: it counts nothing in `cycles`."""
        return self.profile.unknown

    @cached_property
    def collectives(self) -> list[Collective]:
        """What the chips send each other."""
        return find_collectives(self._module, self.options.mesh)

    def seconds_of(self, name: str) -> float | None:
        """Returns the time of one layer, by its name in the model; None if it is not estimated.

        That of a nested model is what its layers have together. Of repeated blocks that are
        computed by one body each has an equal part.
        """
        clock = self.where.chip.clock
        found = [
            row.cycles / len(row.names) / clock
            for row in (self.layers if clock and self.fits else ())
            for own in row.names
            if own == name or own.startswith(f"{name}/")
        ]
        return sum(found) if found else None

    # --- further ---------------------------------------------------------------------------------

    @cached_property
    def advice(self) -> Advice:
        """What would fit, each tried: the largest batch, remat, FSDP, a larger slice.

        Each of them is compiled, so this takes several times as long as the forecast did.
        """
        return advise(self)

    def compare(self, others: Sequence[Forecast | Mapping[str, Any]]) -> Comparison:
        """Returns a table of this forecast and others.

        Args:
            others: forecasts, or options of `model.forecast` that differ from this one's, by name:
                `[{"topology": "v5e:4x4"}, {"batch_size": 512}]`; those are made now.

        Raises:
            ConfigError: there is something else among them, or no such option.
        """
        if isinstance(others, Mapping) or not all(
            isinstance(o, Forecast | Mapping) for o in others
        ):
            raise ConfigError(
                "A forecast is compared with others, or with options that differ",
                expected='a list of forecasts and of options, such as [{"batch_size": 512}]',
                received=repr(others),
            )
        made = [o if isinstance(o, Forecast) else self.again(**o) for o in others]
        return Comparison((self, *made))

    def save_executable(self, path: str | Path) -> None:
        """Writes the compiled step into a file, to run it without compiling.

        `kgraph.forecast.load_executable` reads it, with the same versions of JAX and of the
        compiler, on a slice of the same form.

        Raises:
            StateError: the step does not fit, or the compiler cannot write its programs down.
            OSError: the file cannot be written; names the path and the bytes.
        """
        if self.compiled.executable is None:
            reason = "does not fit" if not self.fits else "cannot be written down by its compiler"
            raise StateError(f"The program for {self.where.name} {reason}")
        write_executable(path, self.identity, self.compiled.executable)

    def _kgraph_table(self) -> Table:
        return forecast_table(self)
