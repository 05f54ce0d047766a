"""`kgraph.ops`: the functions of JAX by name, on arrays and on symbolic tensors."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import kgraph
from kgraph import Input, Model, ops
from kgraph.errors import ConfigError, GraphError
from kgraph.models import model_from_json

X = np.random.default_rng(0).uniform(0.1, 0.9, size=(2, 4)).astype(np.float32)
CALLS = {
    "cast": lambda o, x: o.cast(x, "float16"),
    "where": lambda o, x: o.where(x > 0.5, x, 0.0),
    "clip": lambda o, x: o.clip(x, 0.2, 0.5),
    "sum": lambda o, x: o.sum(x, axis=-1, keepdims=True),
    "max": lambda o, x: o.max(x, axis=1),
    "argmax": lambda o, x: o.argmax(x, axis=-1),
    "concatenate": lambda o, x: o.concatenate([x, x], axis=-1),
    "stack": lambda o, x: o.stack([x, x], axis=1),
    "split": lambda o, x: o.split(x, 2, axis=-1)[1],
    "reshape": lambda o, x: o.reshape(x, (-1, 2, 2)),
    "transpose": lambda o, x: o.transpose(x, (1, 0)),
    "einsum": lambda o, x: o.einsum("bi,bi->b", x, x),
    "matmul": lambda o, x: o.matmul(x, np.ones((4, 2), np.float32)),
    "expand_dims": lambda o, x: o.expand_dims(x, axis=(1, 2)),
    "squeeze": lambda o, x: o.squeeze(o.expand_dims(x, 1), 1),
    "softmax": lambda o, x: o.softmax(x, axis=-1),
    "logsumexp": lambda o, x: o.logsumexp(x, axis=-1),
    "one_hot": lambda o, x: o.one_hot(o.cast(x * 4, "int32"), 5),
    "take": lambda o, x: o.take(x, np.array([1, 3]), axis=1),
    "pad": lambda o, x: o.pad(x, ((0, 0), (1, 2))),
    "flip": lambda o, x: o.flip(x, axis=1),
    "cumsum": lambda o, x: o.cumsum(x, axis=1),
    "sort": lambda o, x: o.sort(x, axis=-1),
    "norm": lambda o, x: o.norm(x, axis=-1),
    "top_k": lambda o, x: o.top_k(x, 2)[0],
    "zeros_like": lambda o, x: o.zeros_like(x),
    "swapaxes": lambda o, x: o.swapaxes(x, 0, 1),
    "tile": lambda o, x: o.tile(x, (1, 3)),
    "std": lambda o, x: o.std(x, axis=1),
    "broadcast_to": lambda o, x: o.broadcast_to(x[:, None], (2, 3, 4)),
    "norm of all": lambda o, x: o.norm(x),
    "nested": lambda o, x: o.add(o.sin(x), o.multiply(2.0, o.cos(x))),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_function_on_symbols_gives_what_it_gives_on_arrays(name):
    x = Input(batch_shape=(2, 4))
    y = CALLS[name](ops, x)
    wanted = CALLS[name](ops, jnp.asarray(X))
    assert (y.shape, y.dtype) == (wanted.shape, str(wanted.dtype))
    model = Model(x, y)
    np.testing.assert_allclose(model(X), wanted, rtol=1e-6)
    again = model_from_json(model.to_json())
    assert again.graph == model.graph
    np.testing.assert_array_equal(again(X), model(X))


@pytest.mark.parametrize("name", ops.names)
def test_every_name_in_the_list_exists(name):
    assert callable(getattr(ops, name))
    assert name in dir(ops)


def test_a_name_that_is_not_in_the_list():
    with pytest.raises(AttributeError, match=r"no 'tahn'; did you mean .*'tanh'"):
        _ = ops.tahn
    for name in ("save", "load", "fromfile", "frombuffer", "__wrapped__", "jit"):
        with pytest.raises(AttributeError):
            getattr(ops, name)


def test_a_file_cannot_name_another_function():
    x = Input((3,))
    text = Model(x, ops.tanh(x)).to_json()
    with pytest.raises((AttributeError, kgraph.errors.KGraphError), match="no 'fromfile'"):
        model_from_json(text.replace('"tanh"', '"fromfile"'))


def test_several_results_are_several_tensors():
    x = Input((4,))
    values, indices = ops.top_k(x, 2)
    assert (values.dtype, indices.dtype) == ("float32", "int32")
    model = Model(x, [values, indices])
    jax.tree.map(np.testing.assert_array_equal, model(X), list(jax.lax.top_k(X, 2)))


def test_a_mask_goes_through_elementwise_functions_only():
    words = Input((None,), dtype="int32")
    x = kgraph.layers.Embedding(5, 3, mask_zero=True)(words)
    assert ops.tanh(x * 2.0).mask is not None
    with pytest.warns(UserWarning, match="does not support masks"):
        assert ops.sum(x, axis=1).mask is None


def test_arguments_are_part_of_the_graph():
    x = Input((4,))
    assert Model(x, ops.sum(x, axis=1)).graph != Model(x, ops.sum(x, axis=0)).graph
    assert Model(x, ops.sum(x, axis=1)).graph == Model(x, ops.sum(x, axis=1)).graph


def test_the_namespaces_have_what_keras_has_there():
    for name in ("nn", "numpy", "linalg", "image"):
        theirs = {n for n in dir(getattr(keras.ops, name)) if not n.startswith("_")}
        ours = getattr(ops, name)
        assert theirs <= set(dir(ours))
        for function in dir(ours):
            assert getattr(ours, function) is getattr(ops, function)
    assert {n for n in dir(keras.ops) if not n.startswith("_")} <= set(dir(ops))
    with pytest.raises(AttributeError, match=r"ops\.nn has no 'rellu'; did you mean 'relu'"):
        _ = ops.nn.rellu


def test_arguments_have_keras_places_and_jaxs_names_too():
    x = jnp.asarray(X)
    np.testing.assert_array_equal(ops.var(x, 1, True), jnp.var(x, 1, keepdims=True))
    np.testing.assert_array_equal(ops.sum(a=x, axis=1), ops.sum(x=x, axis=1))
    np.testing.assert_array_equal(ops.reshape(x, shape=(4, 2)), ops.reshape(x, newshape=(4, 2)))
    assert ops.sum(x, dtype="float16").dtype == "float16"
    assert ops.leaky_relu(jnp.asarray(-1.0)) == np.float32(-0.2)  # in jax.nn the slope is 0.01
    with pytest.raises(TypeError, match=r"sum\(x, axis, keepdims\) got 4 arguments by position"):
        ops.sum(x, 1, True, None)
    with pytest.raises(TypeError, match="sum got 'axis' twice"):
        ops.sum(x, 1, axis=1)


def test_what_is_known_of_a_symbol_adds_no_node():
    x = Input((4,))
    assert ops.shape(x) == (None, 4)
    assert (ops.ndim(x), ops.dtype(x), ops.is_tensor(x)) == (2, "float32", True)
    assert ops.get_item(x, (slice(None), 1)).shape == (None,)
    assert Model(x, ops.size(x) * 2)(X) == 16
    with pytest.raises(kgraph.errors.KGraphError, match="by a NumPy function"):
        ops.convert_to_numpy(x)


def increase(x):
    return x + 1


def test_functions_of_python_run_in_graphs_and_stay_out_of_files(tmp_path):
    x = Input((4,))
    calls = {
        "map": ops.map(lambda row: row * 2, x),
        "vectorized_map": ops.vectorized_map(jnp.sum, x),
        "fori_loop": ops.fori_loop(0, 3, lambda i, v: v + 1, x),
        "while_loop": ops.while_loop(lambda i, v: i < 2, lambda i, v: (i + 1, v * 3), (0, x))[1],
        "scan": ops.scan(lambda c, row: (c + row.sum(), row), 0.0, x)[0],
        "associative_scan": ops.associative_scan(jnp.add, x, axis=1),
        "cond": ops.cond(ops.sum(x) > 0.0, increase, jnp.negative, x),
        "switch": ops.switch(1, [jnp.negative, increase], x),
        "jvp": ops.jvp(jnp.square, [x], [x])[1],
    }
    made = Model(x, calls)(X)
    wanted = {
        "map": 2 * X, "vectorized_map": X.sum(1), "fori_loop": X + 3, "while_loop": 9 * X,
        "scan": X.sum(), "associative_scan": X.cumsum(1), "cond": X + 1, "switch": X + 1,
        "jvp": 2 * X * X,
    }  # fmt: skip
    for name, value in wanted.items():
        np.testing.assert_allclose(made[name], value, rtol=1e-5, err_msg=name)
        with pytest.raises(ConfigError, match="cannot be written to a file"):
            Model(x, calls[name]).save(tmp_path / "model.kgraph")
    named = Model(x, ops.map(jax.nn.relu, x))  # a file could name this function
    with pytest.raises(ConfigError, match=r"kgraph\.ops\.map cannot be read from a file"):
        named.save(tmp_path / "model.kgraph")


def test_pieces_without_a_window_are_put_together_again():
    signal = np.random.default_rng(5).normal(size=(2, 40)).astype("float32")
    for length, stride, size in ((8, 2, 8), (6, 3, 8), (8, 8, 8)):
        pieces = ops.stft(signal, length, stride, size, window=None)
        back = ops.istft(pieces, length, stride, size, length=40, window=None)
        # The last rows of pieces that do not overlap have no piece of their own.
        whole = 40 - 40 % stride
        np.testing.assert_allclose(back[:, :whole], signal[:, :whole], atol=1e-5)


def test_systems_of_one_right_side_and_of_many():
    rng = np.random.default_rng(6)
    a, b = rng.normal(size=(4, 3, 3)).astype("float32"), rng.normal(size=(4, 3)).astype("float32")
    expected = np.linalg.solve(a, b[..., None])[..., 0]
    np.testing.assert_allclose(ops.solve(a, b), expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(ops.solve(a[0], b[0]), expected[0], rtol=1e-3, atol=1e-4)
    matrices, sides = Input((3, 3)), Input((3,))
    model = Model([matrices, sides], ops.solve(matrices, sides))
    np.testing.assert_allclose(model.predict([a, b], verbose=0), expected, rtol=1e-3, atol=1e-4)


def test_norms_and_means_of_float16_do_not_overflow():
    x = np.full((2, 1000), 200, "float16")
    norm = 200 * np.sqrt(1000)
    np.testing.assert_allclose(ops.norm(x, axis=1), norm, rtol=1e-3)
    np.testing.assert_allclose(ops.normalize(x, axis=1), 200 / norm, rtol=1e-3)
    np.testing.assert_allclose(ops.normalize(x, axis=1, order=3), 0.1, rtol=1e-3)
    np.testing.assert_allclose(ops.mean(x), 200)
    assert {ops.norm(x).dtype, ops.normalize(x).dtype, ops.mean(x).dtype} == {jnp.dtype("float16")}
    large = np.full((1, 2), 60000, "float16")
    average = kgraph.layers.Average(dtype="float16")([large, large, large])
    np.testing.assert_array_equal(average, large)


def test_control_flow_on_arrays():
    assert ops.cond(True, lambda: 1.0, lambda: 2.0) == 1.0
    assert ops.while_loop(lambda v: v < 50, lambda v: v + 1, 0, maximum_iterations=7) == 7
    assert ops.while_loop(lambda v: v < 5, lambda v: (v + 1,), [0]) == (5,)
    square = ops.custom_gradient(lambda x: (x * x, lambda upstream: upstream * 10.0))
    assert jax.grad(square)(3.0) == 10.0
    np.testing.assert_array_equal(ops.vectorize(lambda a: a + 1)(X), X + 1)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: ops.linspace(x, x, 2**28),
        lambda x: ops.tile(x, (1, 2**28)),
        lambda x: ops.repeat(x, 2**27, 1),
        lambda x: ops.one_hot(ops.cast(x, "int32"), 2**28),
        lambda x: ops.pad(x, ((0, 0), (0, 2**30))),
        lambda x: ops.full((2**20, 2**20), x[0, 0]),
        lambda x: ops.vander(x[0], 2**28),
        lambda x: ops.segment_sum(x[0], ops.cast(x[0], "int32"), 2**29),
        lambda x: ops.diagflat(ops.tile(x[0], 2**13)),
        lambda x: ops.scatter(ops.cast(x[:, :1], "int32"), x[:, 0], (2**29,)),
    ],
)
def test_a_node_grows_only_so_far(call):
    with pytest.raises(GraphError, match="far larger than its inputs"):
        call(Input(batch_shape=(2, 4)))


def test_a_node_is_written_out_only_so_often():
    images = Input((4, 4, 3))
    for call in (
        lambda: ops.image.extract_patches(images, 200, padding="same"),
        lambda: ops.unfold(images, (200, 100)),
        lambda: ops.image.gaussian_blur(images, kernel_size=(10**6, 3)),
        lambda: ops.image.ssim(images, images, filter_size=101),
        lambda: ops.hsplit(images, 20_000),
    ):
        with pytest.raises(GraphError, match="too many operations"):
            call()
    with pytest.raises(ConfigError, match="sequence_length <= fft_length <= 1048576"):
        ops.stft(jnp.zeros((1, 8)), 2, 1, 2**30)


REFUSED = {
    "ops.one_hot has dense results only": lambda x: ops.one_hot(jnp.arange(2), 3, sparse=True),
    "kgraph has dense arrays only": lambda x: ops.convert_to_tensor(x, sparse=True),
    "multi_hot needs `num_classes`": lambda x: ops.multi_hot(jnp.arange(2)),
    "Segments need `num_segments`": lambda x: ops.segment_sum(x, jnp.arange(2)),
    "two of three numbers": lambda x: ops.image.pad_images(jnp.zeros((4, 4, 1)), 1, 1, 1, 1, 9),
    "a size below 0": lambda x: ops.image.crop_images(jnp.zeros((4, 4, 1)), 3, 0, 3, 0),
    "does not fit the tensor": lambda x: ops.rearrange(x, "a b -> a c"),
    "do not fit an axis of size 4": lambda x: ops.rearrange(x, "a (b c) -> a b c", b=3),
    "needs two arrays of one shape": lambda x: ops.psnr(x, x[:1], 1.0),
    "needs one class number": lambda x: ops.sparse_categorical_crossentropy(jnp.arange(3), x),
    "a whole number from 1 as `order`": lambda x: ops.normalize(x, order=0),
    "another number of slices": lambda x: ops.unstack(x, 3),
    "takes constant_values only": lambda x: ops.pad(x, 1, "edge", 2.0),
    "has no soft cap": lambda x: ops.dot_product_attention(x, x, x, attn_logits_soft_cap=1.0),
    "does not fit the channels": lambda x: ops.conv(x[..., None], jnp.zeros((2, 3, 1))),
    "has no option 'rms_scaling'": lambda x: ops.layer_normalization(x, rms_scaling=True),
    "No patch fits into the input": lambda x: ops.unfold(jnp.zeros((1, 1, 2, 2)), 3),
    "takes one image or a batch": lambda x: ops.image.rgb_to_hsv(x),
    "takes floats": lambda x: ops.image.rgb_to_hsv(jnp.zeros((2, 2, 3), "uint8")),
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_refused(text):
    with pytest.raises(ConfigError, match=text):
        REFUSED[text](jnp.asarray(X))


@pytest.mark.slow
def test_elastic_transform_bends_and_repeats_itself():
    rows = np.broadcast_to(np.arange(8.0, dtype=np.float32)[:, None, None], (8, 8, 1))
    image = np.stack([rows, rows])
    bent = ops.image.elastic_transform(image, alpha=2.0, sigma=1.0, seed=3)
    assert bent.shape == image.shape
    assert float(jnp.max(jnp.abs(bent - image))) > 0.1
    np.testing.assert_array_equal(bent, ops.image.elastic_transform(image, 2.0, 1.0, seed=3))
    still = ops.image.elastic_transform(image, alpha=0.0, seed=3)
    np.testing.assert_allclose(still, image, atol=1e-5)
    x = Input((8, 8, 1))
    model = Model(x, ops.image.elastic_transform(x, 2.0, 1.0, seed=3))
    np.testing.assert_allclose(model(image), bent, atol=1e-5)
    with pytest.raises(kgraph.errors.StateError, match="without a seed cannot draw while JAX"):
        ops.image.elastic_transform(x)


def test_a_file_asks_for_no_more_than_code_may():
    x = Input((4,))
    text = Model(x, ops.tile(x, (1, 7))).to_json()
    assert model_from_json(text).output_shape == (None, 28)
    with pytest.raises(kgraph.errors.KGraphError, match="far larger than its inputs"):
        model_from_json(text.replace("7", str(2**30)))
    flow = text.replace('"tile"', '"fori_loop"')
    with pytest.raises(ConfigError, match=r"fori_loop cannot be read from a file"):
        model_from_json(flow)
