"""Programs: variables, state, inputs, errors, and what printing shows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from counting import compilations

import kgraph
from kgraph import Input, Model
from kgraph.errors import DataError, GraphError, StateError
from kgraph.layers import Add, BatchNormalization, Dense, Dropout

KEY = jax.random.key(0)


def make_model() -> Model:
    x = Input((3,), name="x")
    y = BatchNormalization(name="norm")(Dense(4, name="hidden")(x))
    return Model(x, Dense(2, name="head")(Dropout(0.5, name="drop")(y)))


@pytest.fixture(scope="module")
def program():
    return kgraph.lower(make_model())


ONES = np.ones((2, 3), np.float32)


def test_variables_are_nested_dicts_by_path(program):
    shapes = jax.tree.map(jnp.shape, program.init(KEY))
    assert shapes == {
        "params": {
            "hidden": {"kernel": (3, 4), "bias": (4,)},
            "norm": {"gamma": (4,), "beta": (4,)},
            "head": {"kernel": (4, 2), "bias": (2,)},
        },
        "state": {"norm": {"moving_mean": (4,), "moving_variance": (4,)}},
    }


def test_init_depends_on_the_key_and_on_nothing_else(program):
    again = kgraph.lower(make_model())
    one, two = program.init(KEY), again.init(KEY)
    jax.tree.map(np.testing.assert_array_equal, one, two)
    other = program.init(jax.random.key(1))
    assert not np.array_equal(one["params"]["head"]["kernel"], other["params"]["head"]["kernel"])


def test_adding_a_layer_does_not_change_the_others_values(program):
    x = Input((3,), name="x")
    y = BatchNormalization(name="norm")(Dense(4, name="hidden")(x))
    y = Dense(4, name="extra")(y)
    longer = kgraph.lower(Model(x, Dense(2, name="head")(y))).init(KEY)
    for name in ("hidden", "head"):
        np.testing.assert_array_equal(
            longer["params"][name]["kernel"], program.init(KEY)["params"][name]["kernel"]
        )


def test_adding_a_layer_does_not_change_the_others_dropout():
    def draws(extra: bool):
        x = Input((64,))
        y = Dropout(0.5, name="extra")(x) if extra else x
        model = Model(x, [y, Dropout(0.5, name="drop")(x)])
        variables = {"params": {}, "state": {}}
        return kgraph.lower(model).apply(variables, np.ones((1, 64)), training=True, key=KEY)[0][1]

    np.testing.assert_array_equal(draws(False), draws(True))


def test_state_comes_back_complete(program):
    variables = program.init(KEY)
    _, kept = program.apply(variables, ONES)
    jax.tree.map(np.testing.assert_array_equal, kept, variables["state"])
    _, new = program.apply(variables, ONES, training=True, key=KEY)
    assert jax.tree.structure(new) == jax.tree.structure(variables["state"])
    assert not np.array_equal(new["norm"]["moving_mean"], kept["norm"]["moving_mean"])


def test_apply_leaves_its_arguments_alone(program):
    variables = program.init(KEY)
    before = jax.tree.map(np.array, variables)
    program.apply(variables, ONES, training=True, key=KEY)
    jax.tree.map(np.testing.assert_array_equal, variables, before)


def test_a_program_holds_no_arrays_and_gives_the_model_none():
    model = make_model()
    kgraph.lower(model).init(KEY)
    assert not any(weight.has_value for weight in model.weights)


def test_a_missing_key_is_named_with_its_layer(program):
    with pytest.raises(StateError, match=r"'drop' draws random numbers[\s\S]*key=jax\.random\.key"):
        program.apply(program.init(KEY), ONES, training=True)


def test_wrong_variables_are_named(program):
    variables = program.init(KEY)
    with pytest.raises(StateError, match="The variables have no 'state'"):
        program.apply({"params": variables["params"]}, ONES)
    params = {**variables["params"], "haed": variables["params"]["head"]}
    del params["head"]
    with pytest.raises(StateError, match=r"no 'head'[\s\S]*did you mean 'haed'"):
        program.apply({**variables, "params": params}, ONES)


def test_a_wrong_shape_of_a_weight_is_named(program):
    variables = program.init(KEY)
    params = {
        **variables["params"],
        "head": {**variables["params"]["head"], "kernel": np.ones((9, 2))},
    }
    with pytest.raises((StateError, TypeError), match=r"head|dot_general|shape"):
        program.apply({**variables, "params": params}, ONES)


def two_inputs():
    a, b = Input((3,), name="title"), Input((3,), name="body")
    return kgraph.lower(Model([a, b], a - b))


EMPTY = {"params": {}, "state": {}}


@pytest.mark.parametrize(
    "fed",
    [
        [3 * ONES, ONES],
        (3 * ONES, ONES),
        {"title": 3 * ONES, "body": ONES},
        {"body": ONES, "title": 3 * ONES},
        {"title": (3 * ONES).tolist(), "body": jnp.ones((2, 3))},
    ],
)
def test_inputs_by_order_or_by_name(fed):
    np.testing.assert_array_equal(two_inputs().apply(EMPTY, fed)[0], 2 * ONES)


def test_one_input_comes_alone_in_a_list_or_by_name(program):
    variables = program.init(KEY)
    wanted = program.apply(variables, ONES)[0]
    for fed in ([ONES], {"x": ONES}):
        np.testing.assert_array_equal(program.apply(variables, fed)[0], wanted)


@pytest.mark.parametrize(
    ("fed", "text"),
    [
        ({"titel": ONES, "body": ONES}, r"expected  'title', 'body'[\s\S]*did you mean 'title'"),
        ({"title": ONES}, r"missing: \['body'\]"),
        ([ONES], "The model takes 2 inputs"),
        ([ONES, np.ones((2, 4))], r"'body' has the wrong size[\s\S]*\[batch, 3\][\s\S]*\[2, 4\]"),
        ([ONES, np.ones((2, 3, 3))], "'body' has the wrong number of axes"),
        ([ONES, np.ones(3)], r"x\[None\]"),
    ],
)
def test_inputs_that_do_not_fit(fed, text):
    with pytest.raises(DataError, match=text):
        two_inputs().apply(EMPTY, fed)


def test_keys_that_the_model_does_not_have_are_warned_of():
    fed = {"title": 3 * ONES, "body": ONES, "extra": ONES}
    with pytest.warns(UserWarning, match="The model has no inputs 'extra'"):
        found = two_inputs().apply(EMPTY, fed)[0]
    np.testing.assert_array_equal(found, 2 * ONES)


def test_nested_inputs_are_paired_by_their_keys():
    a, b, c = (Input((3,)) for _ in range(3))
    program = kgraph.lower(Model({"p": {"q": a, "r": b}, "s": [c]}, a - b + 4 * c))
    fed = {"s": [ONES], "p": {"r": ONES, "q": 3 * ONES}}
    np.testing.assert_array_equal(program.apply(EMPTY, fed)[0], 6 * ONES)
    with pytest.raises(DataError, match=r"missing: \['q'\]"):
        program.apply(EMPTY, {"s": [ONES], "p": {"r": ONES}})
    with pytest.raises(DataError, match="The model takes 3 inputs"):
        program.apply(EMPTY, {"s": ONES, "p": {"r": ONES, "q": ONES, "z": ONES}})


def test_inputs_get_the_dtype_of_the_input():
    x = Input((3,), dtype="int32")
    found = kgraph.lower(Model(x, x * 2)).apply(EMPTY, ONES.astype(np.float64))[0]
    assert found.dtype == jnp.int32


def test_printing_shows_the_graph_after_each_pass():
    a = Input((3,))
    inner = Model(a, Dense(2, name="inside")(a), name="inner")
    x = Input((3,), name="x")
    text = str(kgraph.lower(Model(x, inner(x))))
    assert "-- model: 2 nodes" in text
    assert "inner: [batch, 2] float32 = Functional(x)" in text or "= Model(x)" in text
    assert "-- inline_models: 2 nodes" in text
    assert "inner/inside: [batch, 2] float32 = Dense(x)" in text
    assert "-- drop_unused: no change" in text
    assert "inline_models, drop_unused, merge_equal" in repr(kgraph.lower(inner))


def test_what_has_no_graph_cannot_be_lowered():
    class Plain(Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(GraphError, match=r"'plain' \(Plain\) has no graph to lower"):
        kgraph.lower(Plain())


def test_a_subclassed_model_that_has_been_called_can_be_lowered():
    class Plain(Model):
        def __init__(self):
            super().__init__()
            self.dense = Dense(2)

        def call(self, inputs):
            return self.dense(inputs)

    model = Plain()
    wanted = model(ONES)
    program = kgraph.lower(model)
    variables = model.variables_for(program)
    assert list(variables["params"]) == ["dense"]
    np.testing.assert_array_equal(program.apply(variables, ONES)[0], wanted)


def test_losses_of_layers_and_penalties_of_weights_are_reported():
    x = Input((3,))
    y = Dense(2, kernel_regularizer="l2", activity_regularizer="l1")(x)
    program = kgraph.lower(Model(x, y))
    variables = program.init(KEY)
    ran = program.run(variables, ONES)
    np.testing.assert_allclose(ran.losses[0], 0.01 * np.abs(ran.outputs[0]).sum() / 2, rtol=1e-6)
    kernel = variables["params"]["dense"]["kernel"]
    np.testing.assert_allclose(program.penalties(variables["params"]), 0.01 * (kernel**2).sum())


def test_constraints_are_applied_to_the_weights_that_have_one():
    x = Input((3,))
    program = kgraph.lower(Model(x, Dense(2, kernel_constraint="non_neg")(x)))
    params = {"dense": {"kernel": -np.ones((3, 2), np.float32), "bias": -np.ones(2, np.float32)}}
    found = program.constrain(params)
    assert (found["dense"]["kernel"] == 0).all()
    assert (found["dense"]["bias"] == -1).all()


def test_frozen_layers_keep_their_place_in_params():
    model = make_model()
    model.get_layer("hidden").trainable = False
    program = kgraph.lower(model)
    assert program.trained["hidden"] == {"kernel": False, "bias": False}
    assert program.trained["head"] == {"kernel": True, "bias": True}
    assert list(program.init(KEY)["params"]) == ["hidden", "norm", "head"]


def test_what_a_program_shows_is_for_its_users():
    x = Input((4,))
    program = kgraph.lower(Model(x, Dense(2)(x)))
    functions = "apply constrain filled fold init jaxpr pack penalties run specs trained unpack"
    facts = "adds_losses assigns_state batch_axes draws_always folds graph flat_graph inference"
    facts += " input_names layers mesh model_graph output_names passes stacks weights"
    of_others = "as_runner training_only"  # how a model calls it, and which weights a step trains
    shown = {name for name in dir(program) if not name.startswith("_")}
    assert shown == set(f"{functions} {facts} {of_others}".split())


def test_three_hundred_weights_are_made_without_compiling_for_each():
    x = y = Input((4,))
    for size in range(150):
        y = Dense(4 + size % 3)(y)
    model = Model(x, y)
    jax.clear_caches()
    assert compilations(model.get_weights) < 10
    assert compilations(lambda: jax.jit(lambda value: value * 7.25)(1.0)), "the counter counts"


def test_add_takes_the_same_tensor_twice():
    x = Input((3,))
    np.testing.assert_array_equal(
        kgraph.lower(Model(x, Add()([x, x]))).apply(EMPTY, ONES)[0], 2 * ONES
    )
