"""What layers say of themselves: a user's are left out, folded and padded like built-in ones."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from inference_models import assert_infers_the_same, classes

import kgraph
from kgraph import Input, Layer, Model, Traits, layers
from kgraph.compiler.passes import expose_logits
from kgraph.errors import ConfigError
from kgraph.graph import Activated, Convolution, LinearForm, Normalization
from kgraph.layers import BatchNormalization, Conv2D, Dense, Dropout
from kgraph.layers.base.traits import traits_of

ROOT = Path(kgraph.__file__).parent
IDLE = Traits(idle_at_inference=True)


class Noise(Layer, traits=IDLE):
    def call(self, inputs, training=None):
        if not training:
            return inputs
        return inputs + jax.random.normal(self.next_key(), inputs.shape)


class Scaled(
    Layer,
    traits=Traits(
        linear=(LinearForm(kernel="w", kernel_axes=(0,), bias="b"),),
        activation=Activated("linear"),
    ),
):
    """A product with the transposed kernel, with or without a bias."""

    def __init__(self, units, use_bias=True, **options):
        super().__init__(**options)
        self.units, self.use_bias = units, use_bias
        self.b = None

    def build(self, input_shape):
        self.w = self.add_weight((self.units, input_shape[-1]), "glorot_uniform", name="w")
        if self.use_bias:
            self.b = self.add_weight((self.units,), "zeros", name="b")

    def call(self, inputs):
        outputs = inputs @ self.w.T
        return outputs if self.b is None else outputs + self.b[None]


class Standard(
    Layer,
    traits=lambda layer: Traits(
        normalization=Normalization(-1, layer.floor, "mean", "spread", "scale", "offset")
    ),
):
    """A normalisation by fixed statistics, without an offset."""

    def __init__(self, floor=0.5, **options):
        super().__init__(**options)
        self.floor = floor

    def build(self, input_shape):
        shape = (input_shape[-1],)
        self.mean = self.add_weight(shape, "zeros", trainable=False, name="mean")
        self.spread = self.add_weight(shape, "ones", trainable=False, name="spread")
        self.scale = self.add_weight(shape, "ones", name="scale")

    def call(self, inputs):
        root = jnp.sqrt(self.spread + self.floor)
        return (inputs - self.mean[None]) / root[None] * self.scale[None]


def test_a_noise_layer_of_ones_own_is_dropped_and_does_not_stop_folding():
    x = Input((4,))
    program = assert_infers_the_same(Model(x, BatchNormalization()(Noise()(Dense(3)(x)))))
    assert classes(program) == ["Dense+BatchNormalization"]


def test_one_that_is_in_training_always_stays():
    x = Input((4,))
    program = kgraph.lower(Model(x, Noise()(Dense(3)(x), training=True)), inference=True)
    assert classes(program) == ["Dense", "Noise"]


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("norm", [BatchNormalization, Standard])
def test_a_linear_layer_and_a_normalisation_of_ones_own_are_folded(norm, use_bias):
    x = Input((4,))
    program = assert_infers_the_same(Model(x, norm()(Scaled(3, use_bias)(x))))
    assert len(list(program.graph.calls)) == 1


def test_a_kernel_that_is_not_there_is_an_error():
    class Wrong(Scaled, traits=Traits(linear=(LinearForm(kernel="kernel"),))):
        pass

    x = Input((4,))
    model = Model(x, BatchNormalization()(Wrong(3)(x)))
    with pytest.raises(ConfigError, match=r"traits of .*Wrong name a kernel 'kernel'[\s\S]*'w'"):
        kgraph.lower(model, inference=True)


class Quiet(Noise):
    """Leaves alone what the class above said it of."""

    def __init__(self, strength, **options):
        super().__init__(**options)
        self.strength = strength


class Loud(Noise):
    def call(self, inputs, training=None):
        return inputs + 1


class Louder(Loud, traits=IDLE):
    pass


class Mixin:
    def call(self, inputs, training=None):
        return inputs + 1


class Mixed(Mixin, Noise):
    pass


@pytest.mark.parametrize(
    ("layer", "idle"),
    [(Quiet(1.0), True), (Loud(), False), (Louder(), True), (Mixed(), False)],
    ids=["unchanged", "redefined", "said again", "by a mixin"],
)
def test_what_a_class_says_holds_until_it_defines_something_anew(layer, idle):
    assert traits_of(layer).idle_at_inference is idle


def test_a_subclass_of_a_built_in_class_is_what_it_leaves_alone():
    class Narrow(Conv2D):
        def __init__(self, **options):
            super().__init__(2, 3, **options)

    class Other(Conv2D):
        def convolve(self, inputs, kernel, groups=1):
            return super().convolve(jnp.tanh(inputs), kernel, groups)

    x = Input((5, 5, 2))
    assert len(classes(assert_infers_the_same(Model(x, BatchNormalization()(Narrow()(x)))))) == 1
    assert len(classes(assert_infers_the_same(Model(x, BatchNormalization()(Other(2, 3)(x)))))) == 2


def test_traits_follow_the_layer_as_it_is_when_the_model_is_lowered():
    class Gate(Layer, traits=lambda layer: Traits(idle_at_inference=layer.off)):
        off = True

        def call(self, inputs, training=None):
            return inputs if self.off and not training else inputs * 2

    x, gate = Input((3,)), Gate()
    model = Model(x, gate(x))
    assert not list(kgraph.lower(model, inference=True).graph.calls)
    gate.off = False
    assert len(list(kgraph.lower(model, inference=True).graph.calls)) == 1


def test_traits_are_data():
    spec = Model(x := Input((4,)), Noise()(x)).graph.layers["noise"]
    assert spec.traits == traits_of(Noise())
    assert spec.traits.rows_independent is False
    with pytest.raises(FrozenInstanceError):
        spec.traits.idle_at_inference = False
    with pytest.raises(TypeError, match="idle"):
        Traits(idle=True)


def test_no_attribute_name_is_taken():
    class Named(Layer, traits=IDLE):
        traits, mixes_rows, is_own, remembers_inference = 1, 2, 3, 4

        def call(self, inputs):
            return inputs

    x = Input((4,))
    model = Model(x, Dense(2)(Named()(x)))
    assert classes(kgraph.lower(model, inference=True)) == ["Dense"]
    assert (Named().traits, Named.is_own) == (1, 3)


def test_the_activation_of_a_recurrence_is_not_split_off():
    x = Input((2, 4, 4, 1))
    model = Model(x, layers.ConvLSTM2D(1, 2, activation="sigmoid")(x))
    assert expose_logits({0})(model.graph) is model.graph
    assert traits_of(model.layers[1].cell).convolution == Convolution()


def test_a_softmax_with_a_mask_of_its_own_is_not_split_off():
    x, mask = Input((4,)), Input((4,), dtype="bool")
    masked = Model([x, mask], layers.Softmax()(x, mask=mask))
    plain = Model(x, layers.Softmax()(x))
    found = [len(expose_logits({0})(model.graph).outputs) for model in (masked, plain)]
    assert found == [1, 2]


def test_a_layer_with_a_changed_option_says_nothing_that_a_pass_would_go_by():
    x = Input((4,))
    drop = Dropout(0.5)
    model = Model(x, BatchNormalization()(Dense(3)(drop(x))))
    model.layers[2].activation = jnp.tanh
    drop.rate = 0.25
    program = assert_infers_the_same(model)
    assert classes(program) == ["Dropout", "Dense", "BatchNormalization"]


def test_equal_shapes_are_not_remembered_for_a_class_that_was_defined_anew():
    def shape_of(width):
        class Wide(Layer, traits=Traits(same_shapes=True)):
            def call(self, inputs):
                return jnp.repeat(inputs, width, axis=-1)

        return Wide()(Input((3,))).shape

    assert [shape_of(2), shape_of(5)] == [(None, 6), (None, 15)]


def test_a_class_of_ones_own_may_say_of_shapes_what_built_in_ones_say():
    traced = []

    class Counting(Layer, traits=Traits(same_shapes=True)):
        def call(self, inputs):
            traced.append(1)
            return inputs

    for _ in range(3):
        Counting()(Input((3,)))
    assert len(traced) == 1


# --- nobody goes by names


def test_passes_and_engine_compare_no_names_of_classes_and_modules():
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for part in ("compiler", "training")
        for path in sorted((ROOT / part).rglob("*.py"))
        for line in comparisons(ast.parse(path.read_text()))
    ]
    assert not found


NAMES = {"class_name", "__module__", "__name__", "__qualname__", "INPUT_CLASS", "STACK_CLASS"}
TESTS = {"startswith", "endswith", "removeprefix", "removesuffix", "partition", "split", "find"}


def comparisons(tree: ast.AST) -> Iterator[int]:
    """Yields the lines that compare the name of a class or module, or look into it.

    A variable that was given such a name counts as one, within its function.
    """
    for scope in ast.walk(tree):
        if not isinstance(scope, (ast.FunctionDef, ast.Module)):
            continue
        nodes = list(ast.walk(scope))
        named = {
            target.id
            for node in nodes
            if isinstance(node, ast.Assign) and mentions(node.value, set())
            for target in node.targets
            if isinstance(target, ast.Name)
        } if isinstance(scope, ast.FunctionDef) else set()  # fmt: skip
        for node in nodes:
            looked_at: list[ast.expr] = []
            if isinstance(node, ast.Compare):
                looked_at = [node.left, *node.comparators]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                looked_at = [node.func.value] if node.func.attr in TESTS else []
            elif isinstance(node, ast.Subscript):
                looked_at = [node.value, node.slice]
            if any(mentions(expression, named) for expression in looked_at):
                yield node.lineno


def mentions(expression: ast.expr, named: set[str]) -> bool:
    """Tells whether an expression is (or is made by text methods of) a name of that kind."""
    match expression:
        case ast.Attribute(attr=attr):
            return attr in NAMES
        case ast.Name(id=name):
            return name in named | NAMES
        case ast.Subscript(value=value):
            return mentions(value, named)
        case ast.JoinedStr(values=values):
            return any(
                mentions(v.value, named) for v in values if isinstance(v, ast.FormattedValue)
            )
        case ast.BoolOp(values=values):
            return any(mentions(value, named) for value in values)
        case ast.Call(func=ast.Attribute(value=value, attr="get"), args=args):
            return mentions(value, named) or any(is_key(arg) for arg in args)
        case ast.Call(func=ast.Attribute(value=value)):
            return mentions(value, named)
        case ast.Call(args=args):
            return any(mentions(arg, named) or is_key(arg) for arg in args)
    return False


def is_key(argument: ast.expr) -> bool:
    return isinstance(argument, ast.Constant) and argument.value in NAMES


@pytest.mark.parametrize(
    "line",
    [
        'spec.class_name == "Dense"', '"Conv" in spec.class_name', "kernels[spec.class_name]",
        'type(x).__module__.startswith("kgraph.")', 'getattr(f, "__name__", None) == "linear"',
        'cls.__module__.partition(".")[0] == "kgraph"', '">" in str(config.get("class_name"))',
        "spec.class_name in IDLE", "int(spec.class_name[-2])",
        "f\"{type(o).__module__}.{type(o).__name__}\" in RULES",
    ],
)  # fmt: skip
def test_each_way_to_go_by_a_name_is_noticed(line):
    assert list(comparisons(ast.parse(line)))
    assert list(comparisons(ast.parse("def f(spec):\n  name = spec.class_name\n  name == 'Dense'")))
