"""`kgraph.random`: what is drawn, from which keys, and inside of layers."""

from __future__ import annotations

import inspect

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import kgraph
from kgraph import random
from kgraph.errors import ConfigError, StateError

N = 4096
DRAWS = {
    # function, arguments: mean, deviation, least, most
    "normal": (lambda s: random.normal((N,), 1.0, 2.0, seed=s), 1, 2, -9, 11),
    "truncated_normal": (lambda s: random.truncated_normal((N,), 1, 2, seed=s), 1, 1.759, -3, 5),
    "uniform": (lambda s: random.uniform((N,), -1, 3, seed=s), 1, 4 / 12**0.5, -1, 3),
    "randint": (lambda s: random.randint((N,), 0, 5, seed=s), 2, 2**0.5, 0, 4),
    "gamma": (lambda s: random.gamma((N,), 2.0, seed=s), 2, 2**0.5, 0, 30),
    "beta": (lambda s: random.beta((N,), 2.0, 3.0, seed=s), 0.4, 0.2, 0, 1),
    "binomial": (lambda s: random.binomial((N,), 10, 0.3, seed=s), 3, 2.1**0.5, 0, 10),
    "categorical": (
        lambda s: random.categorical(jnp.log(jnp.array([[0.25, 0.5, 0.25]])), N, seed=s)[0],
        1, 0.5**0.5, 0, 2,
    ),
}  # fmt: skip


COSTLY = ("binomial", "beta", "gamma")  # to compile


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in COSTLY else n for n in DRAWS]
)
def test_moments_range_and_repetition(name):
    draw, mean, deviation, least, most = DRAWS[name]
    values = np.asarray(draw(7), np.float64)
    assert values.shape == (N,)
    # Five deviations of the mean of so many draws.
    assert abs(values.mean() - mean) < 5 * deviation / N**0.5
    assert abs(values.std() - deviation) < 0.1 * deviation
    assert least <= values.min()
    assert values.max() <= most
    np.testing.assert_array_equal(draw(7), draw(7))
    np.testing.assert_array_equal(draw(7), draw(jax.random.key(7, impl="threefry2x32")))
    assert (np.asarray(draw(8)) != np.asarray(draw(7))).any()
    assert (np.asarray(draw(None)) != np.asarray(draw(None))).any()


def test_signatures_are_keras():
    for name in (n for n in dir(keras.random) if not n.startswith("_")):
        theirs = inspect.signature(getattr(keras.random, name)).parameters
        ours = inspect.signature(getattr(random, name)).parameters
        named = [p for p in theirs.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        assert list(ours) == [p.name for p in named], name
        assert [p.default for p in ours.values()] == [p.default for p in named], name


def test_dtypes():
    assert random.normal((2,), dtype="float16", seed=1).dtype == "float16"
    assert random.uniform((2,), seed=1).dtype == kgraph.config.floatx()
    assert random.randint((2,), 0, 9, "uint8", seed=1).dtype == "uint8"
    assert random.categorical(jnp.zeros((2, 3)), 4, "int16", 1).dtype == "int16"
    with pytest.raises(ConfigError, match=r"random\.normal needs a dtype of floats"):
        random.normal((2,), dtype="int32")
    with pytest.raises(ConfigError, match=r"random\.randint needs a dtype of whole numbers"):
        random.randint((2,), 0, 1, dtype="float32")
    with pytest.raises(ConfigError, match=r"needs logits \[batch, classes\]"):
        random.categorical(jnp.zeros(3), 1)


def test_shuffle_and_dropout():
    rows = np.arange(40).reshape(20, 2)
    mixed = np.asarray(random.shuffle(rows, seed=1))
    assert (mixed != rows).any()
    np.testing.assert_array_equal(mixed[np.argsort(mixed[:, 0])], rows)
    across = np.asarray(random.shuffle(rows, axis=1, seed=2))
    np.testing.assert_array_equal(np.sort(across, axis=1), rows)
    kept = np.asarray(random.dropout(np.ones((64, 64), "float32"), 0.25, seed=1))
    np.testing.assert_allclose(np.unique(kept), [0, 4 / 3], rtol=1e-6)
    assert abs((kept == 0).mean() - 0.25) < 0.05
    shared = np.asarray(random.dropout(np.ones((8, 9), "float32"), 0.5, (None, 1), seed=3))
    assert (shared == shared[:, :1]).all()
    assert len(np.unique(shared)) == 2
    np.testing.assert_array_equal(random.dropout(np.ones(3), 0.0), np.ones(3))
    np.testing.assert_array_equal(random.dropout(np.ones(3), 1), np.zeros(3))


def test_what_is_a_seed():
    generator = random.SeedGenerator(5)
    first, second = (np.asarray(random.normal((3,), seed=generator)) for _ in range(2))
    assert (first != second).any()
    again = random.SeedGenerator.from_config(generator.get_config())
    np.testing.assert_array_equal(random.normal((3,), seed=again), first)
    np.testing.assert_array_equal(
        random.normal((3,), seed=jnp.array([0, 7], "uint32")), random.normal((3,), seed=7)
    )
    kgraph.utils.set_random_seed(3)
    one = random.uniform((3,)), random.normal((3,), seed=random.SeedGenerator())
    kgraph.utils.set_random_seed(3)
    other = random.uniform((3,)), random.normal((3,), seed=random.SeedGenerator())
    jax.tree.map(np.testing.assert_array_equal, one, other)
    for wrong in (1.5, "3", True):
        with pytest.raises(ConfigError, match="This is no seed"):
            random.uniform((3,), seed=wrong)
    with pytest.raises(ConfigError, match="needs a whole number as `seed`"):
        random.SeedGenerator(1.5)


def test_a_compiled_function_needs_a_seed_of_its_own():
    with pytest.raises(StateError, match="A draw without a seed cannot draw while JAX traces"):
        jax.jit(lambda: random.normal((2,)))()
    generator = random.SeedGenerator(1)
    with pytest.raises(StateError, match=r"belongs to no layer[\s\S]*self.next_key\(\)"):
        jax.jit(lambda: random.normal((2,), seed=generator))()
    drawn = jax.jit(lambda key: random.normal((2,), seed=key))(jax.random.key(0))
    np.testing.assert_array_equal(drawn, random.normal((2,), seed=jax.random.key(0)))


class Noise(kgraph.layers.Layer):
    """A layer as code written for Keras has it."""

    def __init__(self, seed: int | None = None, **options):
        super().__init__(**options)
        self.seed_generator = random.SeedGenerator(seed)

    def call(self, inputs, training=None):
        if not training:
            return inputs
        shape = kgraph.ops.shape(inputs)
        return inputs + random.normal(shape, seed=self.seed_generator)


@pytest.mark.parametrize("seed", [None, 4])
def test_a_generator_of_a_layer_draws_anew_in_each_step(seed):
    x = kgraph.Input((3,))
    model = kgraph.Model(x, [Noise(seed)(x), Noise(seed)(x)])
    program = kgraph.lower(model)
    variables = program.init(jax.random.key(0))
    assert not jax.tree.leaves(variables)
    zeros = np.zeros((2, 3), np.float32)
    run = jax.jit(lambda key: program.apply(variables, zeros, training=True, key=key)[0])
    one, two = run(jax.random.key(1)), run(jax.random.key(2))
    assert (np.asarray(one[0]) != np.asarray(two[0])).all()
    assert (np.asarray(one[0]) != np.asarray(one[1])).all()
    jax.tree.map(np.testing.assert_array_equal, one, run(jax.random.key(1)))
    np.testing.assert_array_equal(model.predict(zeros, verbose=0)[0], zeros)


@pytest.mark.filterwarnings("ignore:.*nobody registered:UserWarning")
def test_a_model_with_such_a_layer_trains_and_is_saved(tmp_path):
    x = kgraph.Input((3,))
    model = kgraph.Model(x, kgraph.layers.Dense(1)(Noise(4)(x)))
    model.compile("sgd", "mse")
    data = np.ones((8, 3), np.float32), np.ones((8, 1), np.float32)
    first, second = (model.fit(*data, verbose=0).history["loss"][0] for _ in range(2))
    assert first != second
    with kgraph.saving.custom_object_scope({"Noise": Noise}):
        model.save(tmp_path / "m.kgraph")
        loaded = kgraph.saving.load_model(tmp_path / "m.kgraph")
    np.testing.assert_array_equal(
        loaded.predict(data[0], verbose=0), model.predict(data[0], verbose=0)
    )


def test_the_state_of_a_generator_goes_through_a_function_that_jax_traces():
    generator, again = kgraph.random.SeedGenerator(7), kgraph.random.SeedGenerator(7)

    @jax.jit
    def drawn(state):
        with kgraph.StatelessScope([(generator.state, state)]) as scope:
            first = kgraph.random.normal((3,), seed=generator)
            second = kgraph.random.normal((3,), seed=generator)
            return first, second, scope.get_current_value(generator.state)

    first, second, state = drawn(generator.state.value)
    for numbers in (first, second):
        np.testing.assert_array_equal(numbers, kgraph.random.normal((3,), seed=again))
    assert state.tolist() == again.state.value.tolist() == [7, 2]
    generator.state.assign(state)
    third = kgraph.random.normal((3,), seed=generator)
    np.testing.assert_array_equal(third, kgraph.random.normal((3,), seed=again))
    assert generator.state.path == "seed_generator/seed_generator_state"
    with pytest.raises(StateError, match="cannot draw while JAX traces"):
        jax.jit(lambda: kgraph.random.normal((3,), seed=generator))()
