"""Errors while a graph is built: layer, the user's lines, expected, received, and what to try."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import pytest

import kgraph
from kgraph import Input, Layer, Model, Sequential
from kgraph.errors import ConfigError, GraphError, SymbolError
from kgraph.layers import Add, Concatenate, Conv2D, Dense, Flatten
from kgraph.layers.base.core import label_of


def text_of(build: Callable[[], object], error: type[Exception] = GraphError) -> str:
    with pytest.raises(error) as caught:
        build()
    return str(caught.value)


def facts(text: str) -> dict[str, str]:
    """Returns the lines of a message by their labels, continued lines joined."""
    found: dict[str, str] = {}
    label = "what"
    for line in text.splitlines():
        start = re.match(r"  (at|made|inside|expected|received|try) +(.*)", line)
        if start:
            label, line = start[1], start[2]
        found[label] = f"{found.get(label, '')}\n{line.strip()}".strip()
    return found


def test_wrong_rank():
    image = Input((28, 28), name="image")
    told = facts(text_of(lambda: Conv2D(8, 3, name="conv")(image)))
    assert told["what"] == "'conv' (Conv2D) cannot take an input with 3 axes"
    assert 'Conv2D(8, 3, name="conv")(image)' in told["at"]
    assert 'image = Input((28, 28), name="image")' in told["made"]
    assert "4 axes" in told["expected"]
    assert told["received"] == "[batch, 28, 28] from 'image'"
    assert told["try"]


def test_too_many_axes():
    class Flat(Layer):
        input_spec = kgraph.InputSpec(ndim=2)

        def call(self, inputs):
            return inputs

    told = facts(text_of(lambda: Flat()(Input((28, 28)))))
    assert "Flatten" in told["try"]


def test_a_shared_layer_with_another_width():
    head = Dense(10, name="head")
    head(Input((64,)))
    pool = Dense(32, name="pool")(Input((5,)))
    told = facts(text_of(lambda: head(pool)))
    assert told["what"] == (
        "'head' (Dense) already has parameters for 64 features and cannot be shared with 32"
    )
    assert "head(pool)" in told["at"]
    assert 'pool = Dense(32, name="pool")' in told["made"]
    assert told["expected"] == "[batch, 64]"
    assert told["received"] == "[batch, 32] from 'pool'"
    assert "its own Dense" in told["try"]
    assert "bring 'pool' to 64 features" in told["try"]


def test_wrong_width_of_an_input():
    class Three(Layer):
        input_spec = kgraph.InputSpec(axes={-1: 3})

        def call(self, inputs):
            return inputs

    told = facts(text_of(lambda: Three(name="three")(Input((4,), name="x"))))
    assert told["what"] == "'three' (Three) needs size 3 on axis -1"
    assert (told["expected"], told["received"]) == ("[batch, 3]", "[batch, 4] from 'x'")


def test_the_message_names_the_wrong_one_of_several_inputs():
    class Two(Layer):
        input_spec = (kgraph.InputSpec(axes={-1: 3}), kgraph.InputSpec(axes={-1: 3}))

        def call(self, inputs):
            return inputs[0]

    constant = np.ones((1, 3), np.float32)
    told = facts(text_of(lambda: Two()([constant, Input((4,), name="second")])))
    assert "from 'second'" in told["received"]


@pytest.mark.parametrize("layer", [Add(), Concatenate(axis=1)])
def test_a_merge_that_does_not_fit(layer):
    a = Input((4, 3), name="a")
    b = Dense(5, name="b")(Input((4, 3)))
    told = facts(text_of(lambda: layer([a, b])))
    assert label_of(layer) in told["what"]
    assert "layer([a, b])" in told["at"]
    assert 'a = Input((4, 3), name="a")' in told["made"]
    assert 'b = Dense(5, name="b")' in told["made"]
    assert "[batch, 4, 3]" in told["received"]
    assert "[batch, 4, 5]" in told["received"]


def test_a_missing_input():
    a = Input((3,), name="a")
    b = Input((3,), name="b")
    total = Add()([a, b])
    told = facts(text_of(lambda: Model(a, total)))
    assert told["what"] == (
        "The outputs depend on the input 'b', which is not among the model's inputs"
    )
    assert "total = Add()([a, b])" in told["at"]
    assert 'b = Input((3,), name="b")' in told["made"]
    assert told["received"] == "inputs 'a'"
    assert "inputs=[..., b]" in told["try"]


def test_an_input_given_twice():
    a = Input((3,), name="a")
    told = facts(text_of(lambda: Model([a, a], a * 2.0)))
    assert told["what"] == "The input 'a' is given twice"
    assert 'a = Input((3,), name="a")' in told["made"]


def test_duplicate_names():
    a = Input((3,), name="same")
    b = Dense(3, name="same")(a)
    told = facts(text_of(lambda: Model(a, b)))
    assert told["what"] == "Two layers of this model are named 'same'"
    assert 'a = Input((3,), name="same")' in told["at"]
    assert 'b = Dense(3, name="same")(a)' in told["at"]
    assert told["try"]


@pytest.mark.parametrize(
    ("inputs", "outputs", "received", "hint"),
    [
        ("x", Dense(3), "Dense", "outputs=layer(x), not outputs=layer"),
        ("x", None, "", ""),
        ("x", 3.0, "float: 3.0", ""),
        (np.ones((2, 3)), "x", "ndarray", "model(array)"),
        (jnp.ones((2, 3)), "x", "Array", "model(array)"),
        ([], "x", "[]", ""),
        ("x", {"a": [Dense(3)]}, "Dense", "outputs=layer(x)"),
    ],
)
def test_what_is_no_tensor_among_inputs_or_outputs(inputs, outputs, received, hint):
    x = Input((3,))
    given = [x if isinstance(part, str) else part for part in (inputs, outputs)]
    text = text_of(lambda: Model(*given), (GraphError, ConfigError))
    assert received in text
    assert hint in text


@pytest.mark.parametrize("thing", [jnp.tanh, "relu", 3, lambda x: x])
def test_what_is_no_layer_in_a_sequential_model(thing):
    told = facts(text_of(lambda: Sequential([Input((3,)), thing]), ConfigError))
    assert told["what"] == "A Sequential model is made of layers"
    assert "Lambda" in told["try"]


def test_an_array_where_a_tensor_is_needed():
    dense = Dense(3)
    y = dense(np.ones((2, 3), np.float32))
    text = text_of(lambda: Model(Input((3,)), y))
    assert "symbolic tensors" in text


def test_wrong_arguments_of_a_call():
    x = Input((3,))
    told = facts(text_of(lambda: Dense(3)(x, colour="red")))
    assert "cannot be called like this" in told["what"]
    assert "colour" in told["what"]
    assert "inputs" in told["expected"]
    assert 'Dense(3)(x, colour="red")' in told["at"]


def test_an_error_in_a_users_call_shows_the_line_inside_and_the_line_of_the_call():
    class Bad(Layer):
        def call(self, inputs):
            return inputs @ jnp.ones((7, 2))  # the faulty line

    x = Input((3,), name="x")
    told = facts(text_of(lambda: Bad(name="bad")(x)))
    assert told["what"].startswith("'bad' (Bad) failed in its call")
    assert "# the faulty line" in told["inside"]
    assert 'Bad(name="bad")(x)' in told["at"]
    assert 'x = Input((3,), name="x")' in told["made"]
    assert told["received"] == "[batch, 3] float32"


@pytest.mark.parametrize("folder", ["kgraph", "jax", "site-packages"])
def test_a_users_folder_may_have_the_name_of_a_library(tmp_path, monkeypatch, folder):
    home = tmp_path / folder
    home.mkdir()
    code = "def wrong(x):\n    return x + x.colour  # the faulty line\n"
    (home / f"users_{folder.replace('-', '_')}.py").write_text(code)
    monkeypatch.syspath_prepend(str(home))
    wrong = importlib.import_module(f"users_{folder.replace('-', '_')}").wrong

    class Bad(Layer):
        def call(self, inputs):
            return wrong(inputs)

    told = facts(text_of(lambda: Bad()(Input((3,)))))
    assert "# the faulty line" in told["inside"]


def test_numpy_inside_a_call():
    class UsesNumpy(Layer):
        def call(self, inputs):
            return np.tanh(inputs)

    told = facts(text_of(lambda: UsesNumpy()(Input((3,)))))
    assert "jax.numpy, not numpy" in told["try"]


def test_a_size_as_a_number_inside_a_call():
    class Loops(Layer):
        def call(self, inputs):
            return sum(inputs[:, i] for i in range(inputs.shape[1]))

    told = facts(text_of(lambda: Loops()(Input((None, 3)))))
    assert "Input(batch_shape=" in told["try"]


def test_a_call_that_returns_no_array():
    class Nothing(Layer):
        def call(self, inputs):
            pass

    assert "must return arrays" in text_of(lambda: Nothing()(Input((3,))))


def test_a_layer_without_a_call():
    told = facts(text_of(lambda: Layer()(Input((3,))), (ConfigError, GraphError)))
    assert "define call" in told["try"]


def test_a_wrong_width_inside_a_nested_layer_names_the_inner_layer():
    class Outer(Layer):
        def __init__(self):
            super().__init__()
            self.inner = Dense(3, name="inner")

        def call(self, inputs):
            return self.inner(self.inner(inputs))

    told = facts(text_of(lambda: Outer()(Input((4,)))))
    assert "'inner' (Dense) already has parameters for 4 features" in told["what"]
    assert "Outer()(Input((4,)))" in told["at"]


def test_a_build_that_fails_leaves_nothing_behind():
    class Wide(Layer):
        def build(self, shape):
            self.first = self.add_weight((2,))
            self.second = self.add_weight((shape[1],))

        def call(self, inputs):
            return inputs

    layer = Wide()
    text_of(lambda: layer(Input((None, 3))))
    layer(Input((4, 3)))
    assert [w.shape for w in layer.weights] == [(2,), (4,)]


def test_flatten_of_unknown_sizes_into_dense():
    text = text_of(lambda: Dense(3)(Flatten()(Input((None, 3)))))
    assert "known sizes for its weight 'kernel'" in text


def test_the_wrong_type_of_layer_argument():
    with pytest.raises((ConfigError, GraphError, SymbolError)):
        Dense(Input((3,)))
