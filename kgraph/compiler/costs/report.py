"""Costs: a row for each node, totals, and a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from kgraph.errors import ConfigError, nearest
from kgraph.tables import Table, Tabular

_NUMBERS = (
    "parameters", "parameter_bytes", "activation_bytes", "kept_bytes", "forward_flops",
    "backward_flops",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cost:
    """What one node costs.

    Fields:
        path: the node's name, with the nodes of the models around it: `encoder/dense`.
        layer: the same with names of layers: two calls of one layer differ in `path` alone.
        type: class of the layer.
        parameters, parameter_bytes: of the weights; a shared layer counts them at its first call.
        activation_bytes: of the outputs.
        kept_bytes: what is held from here until the backward pass: outputs that a later node reads
            again to make gradients, and intermediate results.
        forward_flops: additions, multiplications and functions; those of random bits not included.
        backward_flops: of the gradients that training needs: none below the first trained layer.
        counted_by: "rule", "layer" (its own `count_flops`) or "XLA".
    """

    path: str
    layer: str
    type: str
    parameters: int = 0
    parameter_bytes: int = 0
    activation_bytes: int = 0
    kept_bytes: int = 0
    forward_flops: int = 0
    backward_flops: int = 0
    counted_by: str = "rule"

    @property
    def flops(self) -> int:
        """Forward and backward."""
        return self.forward_flops + self.backward_flops


class Costs(Tabular, Sequence[Cost]):
    """The costs of a model: rows in the order of its graph. Printed, it is a table.

    Attributes:
        batch_size, sizes: what it was counted for.
    """

    def __init__(self, rows: Iterable[Cost], batch_size: int, sizes: Mapping[str, int]) -> None:
        self._rows = tuple(rows)
        self.batch_size, self.sizes = batch_size, dict(sizes)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        return self._rows[index]

    @property
    def total(self) -> Cost:
        """The sum of all rows."""
        return _sum("total", "", "", self._rows)

    def of(self, layer: str) -> Cost:
        """Returns the sum over all calls of a layer, the layers of a nested model included.

        Raises:
            ConfigError: there is no such layer.
        """
        rows = list(self._of(layer))
        if not rows:
            names = [row.layer for row in self]
            raise ConfigError(f"The costs have no layer {layer!r}", hint=nearest(layer, names))
        own = rows[0].type if rows[0].layer == layer else ""
        return _sum(rows[0].path if own else layer, layer, own, rows)

    def _of(self, layer: str) -> Iterator[Cost]:
        inside = f"{layer}/"
        return (row for row in self if row.layer == layer or row.layer.startswith(inside))

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as plain data."""
        total = asdict(self.total)
        return {
            "batch_size": self.batch_size,
            "sizes": dict(self.sizes),
            "rows": [asdict(row) for row in self],
            "total": {name: total[name] for name in _NUMBERS},
        }

    def _kgraph_table(self) -> Table:
        head = ("node", "type", "params", "bytes", "activations", "kept", "forward", "backward")
        rows = [head, *(_cells(row) for row in (*self, self.total))]
        unknown = "".join(f", {name} {size}" for name, size in self.sizes.items())
        title = f"Costs of a training step, batch {self.batch_size}{unknown}"
        return Table(title, rows, right=range(2, len(head)), has_total=True)


def _sum(path: str, layer: str, type_: str, rows: Sequence[Cost]) -> Cost:
    names = [f.name for f in fields(Cost) if f.name in _NUMBERS]
    numbers = {name: sum(getattr(row, name) for row in rows) for name in names}
    kinds = list(dict.fromkeys(row.counted_by for row in rows))
    return Cost(path, layer, type_, **numbers, counted_by=", ".join(kinds))


def _cells(row: Cost) -> tuple[str, ...]:
    return (
        row.path, row.type, f"{row.parameters:,}", short(row.parameter_bytes, "B", 1024),
        short(row.activation_bytes, "B", 1024), short(row.kept_bytes, "B", 1024),
        short(row.forward_flops, "FLOP"), short(row.backward_flops, "FLOP"),
    )  # fmt: skip


def short(number: int, unit: str = "", step: int = 1000) -> str:
    """Returns a number for people.

    >>> short(1_234_000, "FLOP"), short(2048, "B", 1024), short(0, "B")
    ('1.23 MFLOP', '2 KiB', '0')
    """
    if not number:
        return "0"
    value, prefix = float(number), 0
    while value >= step and prefix < 5:
        value, prefix = value / step, prefix + 1
    letter = ("", "k", "M", "G", "T", "P")[prefix]
    if step == 1024 and prefix:
        letter = letter.upper() + "i"
    return f"{value:.3g} {letter}{unit}".rstrip()
