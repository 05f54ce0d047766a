"""Creating many weights: eager and traced agree, nothing compiles, users' initializers work."""

from __future__ import annotations

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from counting import compilations
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from kgraph import initializers
from kgraph.errors import ConfigError
from kgraph.initializers import Request, create, on_host
from kgraph.initializers.variates import key_words, path_hash

KEY = jax.random.key(0)


class Ramp(initializers.Initializer):
    def __init__(self, step=1.0):
        self.step = step

    def __call__(self, shape, dtype=None):
        return self.step * jnp.arange(shape[0], dtype=dtype)


class Doubled(initializers.GlorotUniform):
    def __call__(self, shape, dtype=None, key=None):
        return 2 * super().__call__(shape, dtype, key)


class Signs(initializers.RandomInitializer):
    variates = "uniform"

    def transform(self, z, shape, xp):
        return xp.where(z < 0.5, -1.0, 1.0).astype(np.float32)


def keyed(shape, dtype=None, *, key):
    return jax.random.normal(key, shape, dtype)


REQUESTS = [
    Request(initializers.GlorotUniform(), (7, 5), None, "a/kernel"),
    Request(initializers.GlorotUniform(), (7, 5), None, "b/kernel"),
    Request(initializers.HeNormal(), (3, 3, 20, 11), "bfloat16", "conv/kernel"),
    Request(initializers.RandomNormal(), (), "float32", "scalar"),
    Request(initializers.RandomUniform(), (0, 4), "float32", "empty"),
    Request(initializers.RandomUniform(seed=5), (6,), "float32", "seeded"),
    Request(initializers.RandomUniform(seed=5), (6,), "float32", "seeded too"),
    Request(initializers.Orthogonal(), (4, 6), None, "recurrent"),
    Request(initializers.Zeros(), (5,), None, "a/bias"),
    Request(initializers.Constant(3), (2,), "int32", "count"),
    Request(initializers.Identity(), (3, 3), None, "identity"),
    Request(lambda shape, dtype: jnp.full(shape, 2, dtype), (3,), None, "function"),
    Request(lambda s, d=None: np.ones(s), (3,), None, "numpy function"),
    Request(lambda shape: jnp.ones(shape), (3,), None, "shape only"),
    Request(jnp.zeros, (3,), None, "jnp.zeros"),
    Request(np.zeros, (3,), None, "np.zeros"),
    Request(keyed, (3, 4), None, "keyed"),
    Request(jax.nn.initializers.lecun_normal(), (3, 4), None, "of jax"),
    Request(Ramp(0.5), (4,), None, "ramp"),
    Request(Doubled(), (7, 5), None, "doubled"),
    Request(Signs(), (50,), None, "signs"),
]
INDEX = {request.path: i for i, request in enumerate(REQUESTS)}


def test_values_have_what_was_asked_for():
    for request, value in zip(REQUESTS, create(REQUESTS, KEY)):
        assert isinstance(value, jax.Array)
        assert value.shape == request.shape
        assert value.dtype == (request.dtype or "float32")


def test_traced_values_equal_eager_ones():
    for request, eager, traced in zip(
        REQUESTS, create(REQUESTS, KEY), jax.jit(lambda key: create(REQUESTS, key))(KEY)
    ):
        assert eager.dtype == traced.dtype
        # QR amplifies rounding; bfloat16 may round to its other neighbour.
        tolerance = {"recurrent": 1e-5, "conv/kernel": 2e-3}.get(request.path, 1e-6)
        eager, traced = np.asarray(eager, np.float64), np.asarray(traced, np.float64)
        np.testing.assert_allclose(eager, traced, rtol=1e-6, atol=tolerance, err_msg=request.path)


def test_values_follow_paths_and_not_the_order_of_requests():
    values = create(REQUESTS, KEY)
    alone = create([REQUESTS[2]], KEY)[0]
    np.testing.assert_array_equal(np.asarray(alone), np.asarray(values[2]))
    for value, other in zip(values, reversed(create(REQUESTS[::-1], KEY))):
        np.testing.assert_array_equal(np.asarray(value), np.asarray(other))
    assert (values[INDEX["a/kernel"]] != values[INDEX["b/kernel"]]).all()
    np.testing.assert_array_equal(values[INDEX["seeded"]], values[INDEX["seeded too"]])
    other_key = create(REQUESTS, jax.random.key(1))
    for path in ("a/kernel", "recurrent", "keyed", "of jax", "doubled"):
        assert (values[INDEX[path]] != other_key[INDEX[path]]).all()


def test_values_follow_neither_threads_nor_neighbours(monkeypatch):
    makers = [initializers.GlorotUniform(), initializers.HeNormal(), initializers.HeNormal(seed=4)]
    shapes = [(300, 401), (3,), (0, 2), (70_000, 2), (64, 64)]
    requests = [
        Request(make, shape, dtype, f"{i}{shape}{dtype}")
        for i, make in enumerate(makers) for shape in shapes for dtype in ("float32", "bfloat16")
    ]  # fmt: skip
    found = []
    for cores in (1, 3):
        monkeypatch.setattr(on_host.os, "cpu_count", lambda cores=cores: cores)
        found.append(create(requests, KEY))
    for request, one, other in zip(requests, *found):
        alone = request.initializer.draw(
            request.shape, key_words(KEY), path_hash(request.path), np
        ).astype(one.dtype)
        for value in (one, other):
            np.testing.assert_array_equal(np.asarray(value), alone, err_msg=request.path)


def test_a_transform_of_the_users_sees_the_whole_array():
    class Ranked(initializers.RandomNormal):
        def transform(self, z, shape, xp):
            assert z.shape == shape
            return xp.sort(z.reshape(-1)).reshape(shape)

    values = np.asarray(create([Request(Ranked(), (300, 400), None, "w")], KEY)[0])
    assert (np.diff(values.reshape(-1)) >= 0).all()


def test_raw_and_typed_keys_give_the_same():
    raw = create(REQUESTS[:1], jax.random.PRNGKey(0))[0]
    np.testing.assert_array_equal(raw, create(REQUESTS[:1], KEY)[0])


def test_vmap_over_keys_gives_each_keys_values():
    keys = jax.random.split(KEY, 3)
    many = jax.vmap(lambda key: create(REQUESTS, key))(keys)
    for i in range(3):
        for request, batch, value in zip(REQUESTS, many, create(REQUESTS, keys[i])):
            tolerance = {"recurrent": 1e-5, "conv/kernel": 2e-3}.get(request.path, 1e-6)
            found, expected = np.asarray(batch[i], np.float64), np.asarray(value, np.float64)
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=tolerance)


def test_eval_shape_tells_shapes_and_dtypes():
    for request, spec in zip(REQUESTS, jax.eval_shape(lambda key: create(REQUESTS, key), KEY)):
        assert (spec.shape, spec.dtype) == (request.shape, request.dtype or "float32")


def test_a_key_closed_over_by_a_jit_works():
    np.testing.assert_allclose(
        jax.jit(lambda: create(REQUESTS[:1], KEY)[0])(), create(REQUESTS[:1], KEY)[0]
    )


def test_no_number_or_shape_of_weights_makes_a_compilation():
    names = ("he_normal", "glorot_uniform", "random_normal", "orthogonal", "zeros", "ones")
    makers = [initializers.get(name) for name in names]
    requests = [Request(makers[i % 6], (3 + i, 2 + i % 7), None, f"{i}") for i in range(120)]
    key = jax.random.key(1)
    assert compilations(lambda: create(requests, key)) == 0
    assert compilations(lambda: jax.jit(lambda x: x * 41.5)(1.0)), "the counter counts"


def test_the_traced_program_holds_one_generator_for_each_kind():
    def generators(count):
        requests = [
            Request(initializers.HeNormal(), (3 + i, 4), None, f"{i}") for i in range(count)
        ]
        return str(jax.make_jaxpr(lambda key: create(requests, key))(KEY)).count("threefry2x32[")

    assert generators(30) == generators(1) <= 1


def test_values_go_straight_to_their_shardings():
    mesh = Mesh(np.array(jax.devices()[:2]), ("x",))
    split = NamedSharding(mesh, PartitionSpec("x"))
    requests = [Request(initializers.HeNormal(), (4, 6), None, "a"), REQUESTS[8]]
    sharded, default = create(requests, KEY, shardings=[split, None])
    assert sharded.sharding == split
    assert default.sharding.device_set == {jax.devices()[0]}
    np.testing.assert_array_equal(sharded, create(requests, KEY)[0])


def test_values_may_be_donated_again_and_again():
    add = jax.jit(lambda x: x + 1, donate_argnums=0)
    for _ in range(2):
        zeros, ones = create([Request(initializers.Zeros(), (64, 64), None, "z"),
                              Request(initializers.Ones(), (64, 64), None, "o")], KEY)  # fmt: skip
        np.testing.assert_array_equal(add(zeros), np.ones((64, 64)))
        np.testing.assert_array_equal(add(ones), np.full((64, 64), 2))


def test_the_wrong_shape_and_dtype_are_refused_by_path():
    wrong = Request(lambda shape, dtype: jnp.ones((2, 2), dtype), (3,), None, "head/bias")
    with pytest.raises(
        ConfigError, match=r"'head/bias' made another shape\s+expected  \[3\]\s+.*\[2, 2\]"
    ):
        create([wrong], KEY)
    with pytest.raises(ConfigError, match=r"draws floats only"):
        create([Request(initializers.HeNormal(), (3,), "int32", "ids")], KEY)


def test_values_are_no_view_of_the_users_array():
    source = np.ones((64, 64), np.float32)
    makers = (lambda shape, dtype: source, initializers.get(source), initializers.Constant(source))
    values = create([Request(make, (64, 64), None, "w") for make in makers], KEY)
    source[:] = 7
    assert all(np.asarray(value).max() == 1 for value in values)


@pytest.mark.parametrize(
    "spec", [("a",), (None, "a"), ("b", "a"), (None, None, "a"), (("a", "b"),), (None, "b", "a")]
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_each_part_of_a_weight_is_made_by_itself_and_is_that_of_the_whole(spec, dtype):
    mesh = Mesh(np.array(jax.devices()[:8]).reshape(4, 2), ("a", "b"))
    sharding = NamedSharding(mesh, PartitionSpec(*spec))
    request = Request(initializers.GlorotNormal(), (8, 12, 20), dtype, "a/kernel")
    (whole,) = create([request], KEY)
    (cut,) = create([request], KEY, [sharding])
    assert cut.sharding == sharding
    np.testing.assert_array_equal(cut, whole)


def test_what_is_made_at_once_changes_no_value(monkeypatch):
    whole = create(REQUESTS[:9], KEY)
    monkeypatch.setattr(sys.modules[create.__module__], "AT_ONCE", 40)
    for ours, theirs in zip(create(REQUESTS[:9], KEY), whole, strict=True):
        np.testing.assert_array_equal(ours, theirs)
