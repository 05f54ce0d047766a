"""History: lists, table, drawing."""

from __future__ import annotations

import builtins
import sys

import pytest
from callback_stand_in import replay

from kgraph.errors import ConfigError, StateError
from kgraph.training import callbacks as ours


def trained(logs: list[dict[str, float]]) -> ours.History:
    history = ours.History()
    model, _, _ = replay(ours.CallbackList, [history], logs)
    assert model.history is history
    return history


def test_lists_epochs_and_params():
    history = trained([{"loss": 2.0}, {"loss": 1.0}])
    assert history.history == {"loss": [2.0, 1.0]}
    assert history.epoch == [0, 1]
    assert history.params == {"verbose": 0, "epochs": 2, "steps": 3}


def test_used_again_it_goes_on_with_the_lists_and_starts_epochs_anew():
    history = trained([{"loss": 2.0}, {"loss": 1.0}])
    replay(ours.CallbackList, [history], [{"loss": 0.5}])
    assert history.history == {"loss": [2.0, 1.0, 0.5]}
    assert history.epoch == [0]
    assert history.to_dict() == {"epoch": [0, 1, 0], "loss": [2.0, 1.0, 0.5]}


def test_columns_are_aligned_where_validation_was_rare():
    history = trained([{"loss": 2.0}, {"loss": 1.0, "val_loss": 3.0}])
    assert history.to_dict() == {"epoch": [0, 1], "loss": [2.0, 1.0], "val_loss": [None, 3.0]}
    assert repr(history).splitlines() == [
        "History of 2 epochs",
        "epoch    loss  val_loss",
        "    1  2.0000",
        "    2  1.0000    3.0000",
    ]


def test_a_long_table_is_cut_in_the_middle():
    lines = repr(trained([{"loss": float(n)} for n in range(30)])).splitlines()
    assert len(lines) == 13
    assert lines[7].split() == ["..."]
    assert lines[-1].split() == ["30", "29.0000"]
    assert repr(ours.History()) == "History of 0 epochs"


def test_plot_without_matplotlib_says_what_to_do(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match="matplotlib, which is not installed"):
        trained([{"loss": 1.0}]).plot()
    with pytest.raises(StateError, match="no epoch to draw"):
        ours.History().plot()


def test_plot_draws_training_and_validation_together(tmp_path):
    pytest.importorskip("matplotlib").use("agg")
    logs = [{"loss": 2.0, "accuracy": 0.5}, {"loss": 1.0, "accuracy": 0.6, "val_loss": 3.0}]
    figure = trained(logs).plot(tmp_path / "curves.png")
    assert [axis.get_title() for axis in figure.axes] == ["loss", "accuracy"]
    training, validation = figure.axes[0].lines
    assert training.get_xydata().tolist() == [[1, 2], [2, 1]]
    assert validation.get_xydata().tolist() == [[2, 3]]
    assert all(tick == int(tick) for tick in figure.axes[0].get_xticks())
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert not sys.modules["matplotlib.pyplot"].get_fignums()
