"""What each layer costs, as text and as a colour between grey and red."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from kgraph.compiler.costs import Cost, Costs
from kgraph.compiler.costs.report import short
from kgraph.errors import ConfigError, check_choice
from kgraph.visualization.drawing import Box, Drawing

if TYPE_CHECKING:
    from kgraph.models.model import Model


QUANTITIES = ("flops", "params", "activations")

_COLD, _HOT = (71, 85, 105), (185, 28, 28)


class Timed(Protocol):
    """What knows how long layers take: a forecast."""

    @property
    def step_seconds(self) -> float | None: ...

    def seconds_of(self, name: str) -> float | None: ...


def seconds_at(forecast: Timed, path: Sequence[str]) -> float | None:
    """Returns the time of a layer in a step, by the names from the model down to it."""
    return forecast.seconds_of("/".join(path))


def time_cell(forecast: Timed, path: Sequence[str]) -> str:
    """Returns the same as text; "" for a layer that the compiler has given no time of its own."""
    seconds = seconds_at(forecast, path)
    return "" if seconds is None else f"{seconds * 1e3:.3g} ms"


def check_timed(forecast: Any, model: Model) -> None:
    """Raises ConfigError for what is no forecast, or is one of another model.

    One for a CPU has no times at all, and says nothing of a model.
    """
    if not hasattr(forecast, "seconds_of"):
        raise ConfigError("A forecast is what model.forecast returns", received=repr(forecast))
    names = [layer.name for layer in model.layers]
    if forecast.step_seconds and all(forecast.seconds_of(name) is None for name in names):
        raise ConfigError(
            f"No layer of {model.name!r} has a time in this forecast",
            expected="a forecast of the same model", received=names[:5],
        )  # fmt: skip


def costs_of(model: Model, cost: bool | Costs) -> Costs | None:
    """Returns the costs that a caller asked for: given, those of one row, or none."""
    if isinstance(cost, bool) or cost is None:
        return model.cost() if cost else None
    if not isinstance(cost, Costs):
        raise ConfigError(
            "Costs are what model.cost returns", expected="True, False or model.cost(batch_size)",
            received=repr(cost),
        )  # fmt: skip
    return cost


def cost_at(costs: Costs, path: Sequence[str]) -> Cost | None:
    """Returns the costs of a layer, by the names from the model down to it; None if unknown."""
    try:
        return costs.of("/".join(path))
    except ConfigError:  # a layer inside of a layer: counted with it
        return None


def cost_cells(costs: Costs, path: Sequence[str]) -> list[str]:
    """Returns FLOPs forward, FLOPs backward and bytes of activations of a layer as text."""
    found = cost_at(costs, path)
    return ["?"] * 3 if found is None else _texts(found)


def cost_lines(costs: Costs) -> list[tuple[str, str]]:
    """Returns the lines below a summary with costs, as pairs of label and amount."""
    total = costs.total
    forward, backward, activations = _texts(total)
    unknown = "".join(f", {name} {size}" for name, size in costs.sizes.items())
    return [
        (f"FLOPs for batch {costs.batch_size}{unknown}", f"{forward}, backward {backward}"),
        ("Activations", activations),
        ("Kept for the backward pass", short(total.kept_bytes, "B", 1024)),
    ]


def colored(
    drawing: Drawing,
    model: Model,
    color_by: str | None,
    costs: Costs | None,
    forecast: Timed | None = None,
) -> Drawing:
    """Returns a drawing with a colour and a line for each box, by its part of the costs.

    Args:
        drawing: of the model.
        model: the model.
        color_by: "flops", "params", "activations", or None for the drawing as it is.
        costs: of the model; None counts those of one row.
        forecast: what `model.forecast` returned: boxes then show their time in a step.

    Raises:
        ConfigError: `color_by` is something else, sizes are unknown and no costs are given, or the
            forecast is of another model.
    """
    check_choice("A drawing", "color_by", color_by, (None, *QUANTITIES))
    if forecast is not None:
        check_timed(forecast, model)
        found = [(seconds_at(forecast, box.path) or 0, time_cell(forecast, box.path))
                 for box in drawing.boxes]  # fmt: skip
    elif color_by is None:
        return drawing
    else:
        costs = costs_of(model, True if costs is None else costs)
        assert costs is not None
        found = [_amount(cost_at(costs, box.path), color_by) for box in drawing.boxes]
    most = max((amount for amount, _ in found), default=0) or 1
    boxes = [_with_color(box, amount / most, text) for box, (amount, text) in zip(
        drawing.boxes, found, strict=True
    )]  # fmt: skip
    return replace(drawing, boxes=boxes)


def with_costs(drawing: Drawing, model: Model, costs: Costs | None) -> Drawing:
    """Returns a drawing whose boxes say what they cost, where sizes are known."""
    try:
        known = costs_of(model, True if costs is None else costs)
    except ConfigError:  # sizes that are not known
        return drawing
    assert known is not None

    def told(box: Box) -> Box:
        if (found := cost_at(known, box.path)) is None:
            return box
        forward, backward, activations = _texts(found)
        text = f"{forward} forward, {backward} backward, {activations} of activations"
        return replace(box, cost=text)

    return replace(drawing, boxes=[told(box) for box in drawing.boxes])


def _texts(cost: Cost) -> list[str]:
    flops = (short(n, "FLOP") for n in (cost.forward_flops, cost.backward_flops))
    return [*flops, short(cost.activation_bytes, "B", 1024)]


def _amount(cost: Cost | None, color_by: str) -> tuple[int, str]:
    if cost is None:
        return 0, "?"
    if color_by == "params":
        return cost.parameters, f"{cost.parameters:,} params"
    if color_by == "flops":
        return cost.flops, short(cost.flops, "FLOP")
    return cost.activation_bytes, short(cost.activation_bytes, "B", 1024)


def _with_color(box: Box, part: float, text: str) -> Box:
    """Returns the box in the colour of its part; by its root, so that small parts show too."""
    warmth = part**0.5
    mixed = (round(cold + (hot - cold) * warmth) for cold, hot in zip(_COLD, _HOT))
    return replace(box, lines=(*box.lines, text), color="#" + "".join(f"{c:02x}" for c in mixed))
