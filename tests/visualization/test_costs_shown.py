"""Costs in summaries and drawings."""

from __future__ import annotations

import re

import pytest

from kgraph import Input, Model, Sequential, layers
from kgraph.errors import ConfigError
from kgraph.visualization import model_to_dot, model_to_svg, plot_model, summary_text, to_mermaid

HOT, COLD = "#b91c1c", "#475569"


def model():
    encoder = Sequential(
        [Input((8,)), layers.Dense(64, name="up"), layers.Dense(4, name="down")], name="encoder"
    )
    inputs = Input((8,), name="x")
    return Model(inputs, layers.Dense(3, name="head")(layers.ReLU(name="relu")(encoder(inputs))))


def line(text: str, start: str) -> str:
    return next(row for row in text.splitlines() if row.strip("└ ").startswith(start))


def test_summary_has_columns_for_costs():
    made = model()
    costs = made.cost(10)
    text = summary_text(made, expand_nested=True, cost=costs)
    assert re.search(r"Forward +Backward +Activations", text)
    assert re.search(r"10\.9 kFLOP +10\.9 kFLOP +2\.5 KiB", line(text, "up"))
    assert re.search(r"encoder .* 16 kFLOP ", line(text, "encoder"))
    assert re.search(r"FLOPs for batch 10: .* kFLOP, backward ", text)
    assert "Kept for the backward pass: " in text
    assert "Forward" not in summary_text(made)
    assert "FLOPs for batch 1:" in summary_text(made, cost=True)
    with pytest.raises(ConfigError, match=r"Costs are what model\.cost returns"):
        summary_text(made, cost="yes")  # pyright: ignore


def test_model_summary_and_mermaid_pass_options_on(capsys):
    made = model()
    made.summary(cost=True)
    assert "FLOPs for batch 1" in capsys.readouterr().out
    assert f"fill:{HOT}" in made.to_mermaid(color_by="params")


@pytest.mark.parametrize("draw", [to_mermaid, model_to_svg, model_to_dot, plot_model])
def test_every_drawing_shows_the_costliest_layer_hottest(draw):
    def text(**options):
        more = {"to_file": None} if draw is plot_model else {}
        found = draw(model(), **more, **options)
        found = found.to_string() if draw is model_to_dot else getattr(found, "data", found)
        return found.decode() if isinstance(found, bytes) else found

    by_params = text(color_by="params", expand_nested=True)
    assert HOT in by_params
    assert COLD in by_params
    assert "576 params" in by_params
    assert "15 params" in by_params
    assert "FLOP" in text(color_by="flops", costs=model().cost(8))
    assert "2 KiB" in text(color_by="activations", costs=model().cost(8), expand_nested=True)
    assert HOT not in text()


def test_drawings_refuse_what_they_cannot_show():
    with pytest.raises(ConfigError, match=r"(?s)`color_by`.*'flops'.*did you mean 'flops'"):
        to_mermaid(model(), color_by="flop")
    unknown = Input(("time", 4))
    with pytest.raises(ConfigError, match=r"(?s)every size.*'time'"):
        to_mermaid(Model(unknown, layers.LSTM(2)(unknown)), color_by="flops")
