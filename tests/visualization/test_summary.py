"""The text of a summary: columns, wrapping, totals."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest
from guide_models import GUIDE, mnist_model, nested, oracle, ticket, toy_resnet

import kgraph
from kgraph.errors import ConfigError
from kgraph.training.reached import Reached
from kgraph.visualization import summary, summary_rows, summary_text
from kgraph.visualization.layer_table import row_cells
from kgraph.visualization.table import fitting_widths, table_lines
from kgraph.visualization.text import columns, printable, wrap
from kgraph.visualization.totals import readable_size, total_lines, totals

pytestmark = pytest.mark.usefixtures("relaxed")  # Keras' own layers rely on rank promotion


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "130")


def keras_totals(model) -> list[str]:
    """Returns the lines that Keras prints below its table."""
    printed: list[str] = []
    model.summary(print_fn=printed.append)
    lines = [line.strip() for line in "".join(printed).splitlines()]
    return [line for line in lines if re.match(r"[\w-]+ params: ", line)]


@pytest.mark.parametrize("name", GUIDE)
def test_totals_are_those_of_keras(name):
    lines = summary_text(GUIDE[name](kgraph)).splitlines()
    assert [line for line in lines if " params: " in line] == keras_totals(oracle(GUIDE[name]))


def test_a_frozen_layer_counts_as_not_trainable():
    models = [mnist_model(k) for k in (kgraph, keras)]
    for model in models:
        model.layers[1].trainable = False
    ours = [f"{label}: {amount}" for label, amount in total_lines(totals(models[0]))]
    assert ours == keras_totals(models[1])


def test_state_of_the_optimizer_has_its_own_line():
    plain = mnist_model(kgraph)
    model = kgraph.Model(plain.input, plain.output)
    state = {"velocity": [weight.value for weight in model.trainable_weights]}
    model._kgraph.trainer.reached = Reached(state, 0, 0, None)
    found = totals(model)
    assert found.optimizer == found.trainable == totals(plain).all
    assert found.all.params == 2 * found.trainable.params
    assert summary_text(model).count("Optimizer params: ") == 1
    assert "Optimizer" not in summary_text(plain)


@pytest.mark.parametrize("nbytes", [0, 1, 1023, 1024, 220_200, 5 << 20, 3 << 50])
def test_sizes_are_written_as_in_keras(nbytes):
    oracle = keras.src.utils.summary_utils.readable_memory_size(nbytes)
    assert readable_size(nbytes) == oracle


def test_a_chain_has_the_columns_of_the_guide():
    lines = summary_text(mnist_model(kgraph)).splitlines()
    assert lines[0] == 'Model: "mnist_model"'
    assert re.fullmatch(r"Layer \(type\) {17}Output Shape {14}Param #", lines[2])
    assert lines[1] == lines[5] == lines[-1] == "_" * 65
    assert lines[3] == "=" * 65
    assert lines[4].split() == ["input_layer", "(InputLayer)", "(None,", "784)", "0"]
    assert lines[6].split() == ["dense", "(Dense)", "(None,", "64)", f"{784 * 64 + 64:,}"]


def test_a_branching_model_lists_its_connections():
    text = summary_text(ticket(kgraph))
    assert re.search(r"Param # +Connected to$", text, re.M)
    start = re.search(r"^concatenate .* +(lstm\[0\]\[0\])$", text, re.M)
    assert start
    column = start.start(1) - start.start()
    below = text[start.end() + 1 :].splitlines()[:2]
    assert below == [" " * column + "lstm_1[0][0]", " " * column + "tags[0][0]"]


def test_print_fn_gets_the_whole_text_once_and_print_is_the_default(capsys):
    seen: list[str] = []
    assert summary(mnist_model(kgraph), print_fn=seen.append) is None
    assert capsys.readouterr().out == ""
    summary(mnist_model(kgraph))
    assert capsys.readouterr().out == seen[0] + "\n"


def cells_of(text: str, ends: list[int]) -> list[list[str]]:
    """Returns the cells of a table whose columns end there, wrapped lines joined, no spaces."""
    rows: list[list[str]] = [[""] * len(ends)]
    for line in text.splitlines()[2:]:
        if " params: " in line:
            break
        if set(line) in ({"_"}, {"="}):
            rows.append([""] * len(ends))
            continue
        parts = [line[start:end] for start, end in zip([0, *ends], ends)]
        rows[-1] = [cell + part.replace(" ", "") for cell, part in zip(rows[-1], parts)]
    return [row for row in rows[1:] if any(row)]


@pytest.mark.parametrize("ends", [[8, 16, 24, 30], [10, 20, 26, 47], [30, 50, 60, 200]])
def test_wrapped_cells_hold_every_character(ends):
    model = toy_resnet(kgraph)
    text = summary_text(model, positions=ends)
    expected = [
        [cell.replace(" ", "").replace("\n", "") for cell, _ in row_cells(row, True, False, False)]
        for row in summary_rows(model)
    ]
    assert cells_of(text, ends) == expected


@pytest.mark.parametrize("width", [30, 47, 65, 200])
def test_line_length_is_exact(width):
    lines = summary_text(toy_resnet(kgraph), line_length=width).splitlines()
    assert lines[1] == lines[-1] == "_" * width
    assert all(len(line) <= width for line in lines if " params: " not in line)


@pytest.mark.parametrize("terminal", [40, 80])
def test_a_narrow_terminal_wraps(monkeypatch, terminal):
    name = "a_very_long_name_" * 8
    inputs = kgraph.Input((4,))
    x = kgraph.layers.Dense(3, name=name)(inputs)
    model = kgraph.Model(inputs, kgraph.layers.Add()([x, x]))
    assert max(map(len, summary_text(model).splitlines())) == 130
    monkeypatch.setenv("COLUMNS", str(terminal))
    assert max(map(len, summary_text(model).splitlines())) == terminal


def test_columns_grow_with_what_they_hold():
    inputs = kgraph.Input((4,))
    name = "x" * 60
    text = summary_text(kgraph.Model(inputs, kgraph.layers.Dense(2, name=name)(inputs)))
    assert f"{name} (Dense)  (None, 2)" in text


@pytest.mark.parametrize("positions", [(0.5, 0.8, 1.0), (40, 64, 80)])
def test_positions_are_fractions_or_characters(positions):
    text = summary_text(mnist_model(kgraph), line_length=80, positions=positions)
    header = text.splitlines()[2]
    assert (header.index("Output"), header.index("Param")) == (40, 64)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"line_length": 9}, r"too little width[\s\S]*at least 4 characters"),
        ({"positions": (0.01, 0.5, 1.0)}, r"too little width[\s\S]*columns of 0, "),
        ({"positions": (0.5,)}, r"has 3 columns here\n  expected  3 positions"),
        ({"line_length": "wide"}, r"`line_length` as a number"),
    ],
)
def test_widths_that_cannot_be_are_refused(options, text):
    with pytest.raises(ConfigError, match=text):
        summary_text(mnist_model(kgraph), **options)


def test_nested_rows_are_indented_also_where_they_wrap():
    model = nested(kgraph)
    assert "\n   └ conv2d (Conv2D)" in summary_text(model, expand_nested=True)
    wrapped = summary_text(model, expand_nested=True, line_length=60).splitlines()
    start = next(i for i, line in enumerate(wrapped) if line.startswith("   └ global"))
    assert re.match(r"     \S", wrapped[start + 1])


def test_show_trainable_adds_a_column():
    model = mnist_model(kgraph)
    model.layers[1].trainable = False
    rows = [line for line in summary_text(model, show_trainable=True).splitlines() if "(" in line]
    marks = {line.split()[0]: line.split()[-1] for line in rows if " params: " not in line}
    assert marks["Layer"] == "Trainable"
    assert marks["input_layer"] == "-"
    assert (marks["dense"], marks["dense_1"]) == ("N", "Y")


def test_symbolic_shows_expressions():
    x = kgraph.Input(("time", 8))
    y = kgraph.layers.Conv1D(4, 3)(x)
    model = kgraph.Model(x, y)
    assert "(None, None, 4)" in summary_text(model)
    assert "(batch, time - 2, 4)" in summary_text(model, symbolic=True)
    unnamed = kgraph.Model(x := kgraph.Input((None,)), kgraph.ops.tanh(x))
    assert "(batch, ?)" in summary_text(unnamed, symbolic=True)


def test_masks_are_noted_below_the_shape():
    text = summary_text(ticket(kgraph, mask_zero=True))
    assert re.search(r"^embedding .*\n +mask starts here$", text, re.M)
    assert re.search(r"^lstm .*\n +uses mask$", text, re.M)
    assert "mask" not in summary_text(ticket(kgraph))


def test_an_operation_is_a_row():
    x = kgraph.Input((3,))
    text = summary_text(kgraph.Model(x, x + 1.0))
    assert re.search(r"^add \(\w+\) +\(None, 3\) +0$", text, re.M)


def test_a_model_that_is_not_built_lists_its_layers():
    model = kgraph.Sequential([kgraph.layers.Dense(3), kgraph.layers.Dense(2)], name="later")
    text = summary_text(model)
    assert len(re.findall(r"\(Dense\) +\? +0 \(unbuilt\)", text)) == 2
    assert "Total params: 0 (0.00 B)" in text


def test_a_shared_layer_shows_each_shape_it_makes():
    class Scale(kgraph.Layer):
        def call(self, inputs):
            return inputs * 2.0

    scale = Scale(name="scale")
    a, b = kgraph.Input((3,)), kgraph.Input((5,))
    text = summary_text(kgraph.Model([a, b], [scale(a), scale(b)]))
    assert re.search(r"^scale \(Scale\) +\(None, 3\) .*\n +\(None, 5\) ", text, re.M)


def test_a_name_cannot_tear_the_table():
    x = kgraph.Input((3,))
    model = kgraph.Model(x, kgraph.layers.Dense(2, name="two\nlines \x1b[31m\u202e")(x))
    text = summary_text(model)
    assert "two\\nlines \\x1b[31m\\u202e (Dense)" in text
    assert not re.search("[\x1b\u202e]", text)


@pytest.mark.parametrize("width", range(4, 30))
@pytest.mark.parametrize(
    "text", ["global_max_pooling2d (GlobalMaxPooling2D)", "x" * 50, "名前" * 9]
)
def test_wrapped_lines_fit_and_hold_everything(text, width):
    lines = wrap(text, width, indent=2)
    assert all(columns(line) <= width for line in lines)
    assert "".join(line.replace(" ", "") for line in lines) == text.replace(" ", "")


def test_lines_break_where_a_word_ends():
    assert wrap("max_pooling2d (MaxPooling2D)", 20) == ["max_pooling2d", "(MaxPooling2D)"]
    assert wrap("four five   six", 5) == ["four", "five", "six"]
    assert wrap("global_average_pooling2d", 16) == ["global_average_", "pooling2d"]


def test_wide_characters_keep_columns_in_line():
    rows = [[("a", 0), ("b", 0)], [("名前", 0), ("c", 0)], [("né", 0), ("d", 0)]]
    widths = fitting_widths(rows, [0, 0], 80, None)
    body = [line for line in table_lines(rows, widths) if line[0] not in "_="]
    assert [columns(line[:-1]) for line in body] == [6, 6, 6]
    assert printable("né 名前") == "né 名前"


class Mine(kgraph.Model):
    def __init__(self):
        super().__init__()
        self.steps = kgraph.Sequential([kgraph.layers.Dense(4), kgraph.layers.Dense(5)])
        self.flat, self.head = kgraph.layers.Flatten(), kgraph.layers.Dense(3)
        self.idle = kgraph.layers.Dropout(0.1)

    def call(self, inputs):
        return self.head(self.flat(self.steps(inputs)))


def test_a_model_defined_by_code_shows_shapes_after_a_call():
    model = Mine()
    model.build((None, 2, 3))
    model(np.ones((7, 2, 3), "float32"))
    shapes = {row.name: [str(s.shape) for call in row.outputs for s in call]
              for row in summary_rows(model, expand_nested=True)}  # fmt: skip
    assert shapes == {
        "steps": ["(None, 2, 5)"], "dense": ["(None, 2, 4)"], "dense_1": ["(None, 2, 5)"],
        "flat": ["(None, 10)"], "head": ["(None, 3)"], "idle": [],
    }  # fmt: skip
    assert re.search(r"flat \(Flatten\) +\(None, 10\) +0", summary_text(model))


@pytest.mark.parametrize("name", GUIDE)
def test_in_eighty_columns_nothing_is_cut(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    model = GUIDE[name](kgraph)
    lines = summary_text(model).splitlines()
    assert max(map(len, lines)) <= 80
    cells = "".join("".join(lines).split())
    assert all(f"{layer.name}(" in cells for layer in model.layers if len(layer.name) < 20)
