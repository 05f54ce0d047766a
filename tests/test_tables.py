"""What objects and reports look like: in a terminal as text, in a notebook as HTML."""

from xml.etree import ElementTree

import numpy as np
import pytest

import kgraph as keras
from kgraph import callbacks, distribution, layers, losses, metrics, optimizers
from kgraph.tables import Table


def smooth_labels(epoch):
    return 0.1 * epoch


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (lambda: optimizers.Adam(), "Adam()"),
        (lambda: optimizers.Adam(1e-4, clipnorm=1.0), "Adam(learning_rate=0.0001, clipnorm=1.0)"),
        (
            lambda: optimizers.SGD(optimizers.schedules.CosineDecay(0.1, 100)),
            "SGD(learning_rate=CosineDecay(initial_learning_rate=0.1, decay_steps=100))",
        ),
        (lambda: losses.Huber(delta=2.0), "Huber(delta=2.0)"),
        (lambda: metrics.AUC(num_thresholds=20, name="auc"), "AUC(num_thresholds=20, name='auc')"),
        (lambda: metrics.Accuracy(), "Accuracy()"),
        (lambda: callbacks.EarlyStopping(patience=3), "EarlyStopping(patience=3)"),
        (
            lambda: callbacks.LearningRateScheduler(smooth_labels),
            "LearningRateScheduler(schedule=smooth_labels)",
        ),
        (lambda: keras.initializers.Constant(np.ones((40, 40))), "Constant(value=array([[1."),
    ],
)
def test_objects_say_with_which_options_they_were_made(made, shown):
    assert repr(made()).startswith(shown)
    assert len(repr(made())) < 100
    assert "\n" not in repr(made())


def test_a_class_of_the_users_says_so_too():
    class Mine(keras.losses.Loss):
        def __init__(self, weight=1.0, **options):
            super().__init__(**options)

        def call(self, y_true, y_pred):
            return y_true - y_pred

    assert repr(Mine(weight=2.0)).endswith("Mine(weight=2.0)")


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input((3,), name="x<y")
    made = keras.Model(inputs, layers.Dense(1)(inputs))
    made.compile("sgd", "mse", distribution=distribution.DataParallel())
    made.fit(np.ones((8, 3)), np.ones((8, 1)), verbose=0, epochs=2)
    return made


@pytest.mark.parametrize("name", ["history", "report", "costs", "plan"])
def test_reports_are_tables_in_notebooks(model, name):
    made = {
        "history": lambda: model.history, "report": model.compile_report, "costs": model.cost,
        "plan": lambda: distribution.DataParallel().plan(model),
    }[name]()  # fmt: skip
    text, html = repr(made), made._repr_html_()
    page = ElementTree.fromstring(f"<div>{html}</div>")
    cells = [cell.text or "" for cell in (*page.iter("th"), *page.iter("td"))]
    assert [line for line in text.split() if line.strip("-")] == " ".join(
        [*page.find("div/b").itertext(), *cells]
    ).split()
    assert len(list(page.iter("tr"))) >= 2
    assert "color" not in html  # that of the page, light or dark


def test_a_table_aligns_and_escapes():
    table = Table("<t>", [["a", "n"], ["x", "1"], ["total", "10"]], (1,), True, ["<b>"])
    assert str(table).splitlines() == ["<t>", "a       n", "x       1", "-" * 9, "total  10", "<b>"]
    assert "<t>" not in table.html()
    assert "<b>&lt;t&gt;</b>" in table.html()
    empty = Table("nothing", [])
    assert str(empty) == "nothing"
    assert "<tr>" not in empty.html()
