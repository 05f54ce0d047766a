"""Layouts: where weights stand in nested variables, as a value; all else is a function of it."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import jax
import numpy as np
import optax
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import kgraph
from kgraph import Input, Model, optimizers
from kgraph.compiler import Layout
from kgraph.errors import StateError
from kgraph.layers import BatchNormalization, Dense

WIDTH, BLOCKS = 4, 3
KEY = jax.random.key(3)


def blocks() -> Model:
    inputs = x = Input((WIDTH,))
    for _ in range(BLOCKS):
        x = BatchNormalization()(Dense(WIDTH, "tanh")(x))
    model = Model(inputs, Dense(2)(x))
    model.layers[-1].trainable = False
    return model


@pytest.fixture(scope="module")
def program():
    return kgraph.lower(blocks(), stack=True)


@pytest.fixture(scope="module")
def variables(program):
    return program.init(KEY)


def assert_equal(one, other) -> None:
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_a_layout_is_a_value(program):
    with pytest.raises(FrozenInstanceError):
        program.weights.packed.places = ()
    with pytest.raises(FrozenInstanceError):
        program.weights.packed.places[0].path = ("other",)
    assert program.weights.layout.plain is None
    assert program.weights.packed.plain is program.weights.layout
    assert all(
        isinstance(x, Layout)
        for x in (program.weights.layout, program.weights.packed, program.weights.folded)
    )


def test_what_a_program_is_given_says_which_layout_it_has(program, variables):
    assert program.weights.layout_of(variables) is program.weights.layout
    assert program.weights.layout_of(program.pack(variables)) is program.weights.packed
    folding = kgraph.lower(blocks(), inference=True, stack=False)
    folded, weights = folding.fold(folding.init(KEY)), folding.weights
    assert weights.layout_of(folded) in (weights.folded, weights.layout)


def test_each_weight_is_fetched_and_stored_wherever_it_stands(program, variables):
    packed = program.pack(variables)
    for place in program.weights.places:
        weight = place.weight
        wanted = program.weights.layout.fetch(variables, weight)
        assert_equal(program.weights.packed.fetch(packed, weight), wanted)
        new = np.arange(wanted.size, dtype=wanted.dtype).reshape(wanted.shape)
        changed = program.weights.packed.store(packed, weight, new)
        assert_equal(changed, program.pack(program.weights.layout.store(variables, weight, new)))
        assert_equal(program.weights.packed.fetch(changed, weight), new)
    assert_equal(program.unpack(packed), variables)  # nothing was written into


def test_parameters_are_split_into_what_training_changes_and_what_not(program, variables):
    trained, frozen = program.weights.layout.split(variables["params"])
    assert set(frozen) == {"dense_3"}
    assert set(trained) | set(frozen) == set(variables["params"])
    packed = program.weights.packed.split(program.pack(variables)["params"])
    assert_equal(program.weights.packed.trained.unpack({"params": packed[0]})["params"], trained)
    assert_equal(packed[1], frozen)


@pytest.mark.parametrize(
    "make", [lambda: optimizers.Adam(use_ema=True), lambda: optax.adam(0.1)], ids=["own", "optax"]
)
def test_the_state_of_an_optimizer_is_packed_like_its_parameters(make, program, variables):
    optimizer = make()
    trained, _ = program.weights.layout.split(variables["params"])
    state = optimizer.init(trained)
    packed = program.weights.packed.pack_state(state)
    wanted = optimizer.init(program.weights.packed.split(program.pack(variables)["params"])[0])
    assert jax.tree.map(np.shape, packed) == jax.tree.map(np.shape, wanted)
    assert_equal(program.weights.packed.unpack_state(packed), state)
    assert program.weights.layout.pack_state(state) is state


def test_a_layout_that_is_spread_says_where_each_leaf_lies(program):
    mesh = Mesh(np.array(jax.devices()[:2]), ("model",))

    def rule(path: str, shape: tuple[int, ...]) -> NamedSharding:
        return NamedSharding(mesh, P(None, "model") if path.endswith("kernel") else P())

    def over_rows(one: NamedSharding) -> NamedSharding:
        return NamedSharding(mesh, P(None, *one.spec))

    spread = program.weights.packed.spread(rule, over_rows)
    (name,) = program.stacks
    specs = spread.specs["params"]
    assert specs[name]["dense"]["kernel"].sharding.spec == P(None, None, "model")
    assert specs["dense_3"]["kernel"].sharding.spec == P(None, "model")
    assert spread.plain.specs["params"]["dense"]["kernel"].sharding.spec == P(None, "model")
    assert specs[name]["dense"]["kernel"].shape == (BLOCKS, WIDTH, WIDTH)
    assert all(place.sharding is None for place in program.weights.packed.places)


def test_variables_of_another_layout_are_refused(program, variables):
    packed = program.pack(variables)
    with pytest.raises(StateError, match="The variables have no 'dense'"):
        program.pack(packed)
    with pytest.raises(StateError, match="The variables have no 'dense"):
        program.unpack(variables)


def test_packed_folded_variables_are_told_by_their_names():
    folding = kgraph.lower(blocks(), inference=True)
    folded = folding.fold(folding.init(KEY))
    x = np.ones((2, WIDTH), np.float32)
    wanted, _ = folding.apply(folding.init(KEY), x)
    np.testing.assert_allclose(folding.apply(folding.pack(folded), x)[0], wanted, rtol=1e-6)
