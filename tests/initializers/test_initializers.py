"""Every initializer: values against Keras and theory, options, configs, names."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
import scipy.stats

from kgraph import Input, config, initializers, layers
from kgraph.errors import ConfigError

KEY = jax.random.key(0)
SCALED = {
    "VarianceScaling": [
        {},
        {"scale": 3.0, "mode": "fan_out", "distribution": "uniform"},
        {"scale": 0.5, "mode": "fan_avg", "distribution": "untruncated_normal"},
        {"mode": "fan_avg", "distribution": "normal"},
        {"input_axes": (0, 2), "output_axes": (1, 3), "distribution": "uniform"},
    ],
    **{name: [{}] for name in dir(initializers) if name[:3] in ("Glo", "HeN", "HeU", "Lec")},
}
RANDOM = [(name, options) for name, many in SCALED.items() for options in many]
RANDOM += [
    ("RandomNormal", {}),
    ("RandomNormal", {"mean": 1.0, "stddev": 2.0}),
    ("TruncatedNormal", {}),
    ("TruncatedNormal", {"mean": -1.0, "stddev": 0.3}),
    ("RandomUniform", {}),
    ("RandomUniform", {"minval": 1.0, "maxval": 4.0}),
]
FIXED = [
    ("Zeros", {}, (2, 3)),
    ("Ones", {}, (4,)),
    ("Constant", {}, (2, 3)),
    ("Constant", {"value": 2.5}, ()),
    ("Constant", {"value": [1.0, 2.0, 3.0]}, (2, 3)),
    ("Identity", {}, (3, 3)),
    ("Identity", {"gain": 2.0}, (2, 4)),
    ("STFT", {}, (16, 1, 9)),
    ("STFT", {"side": "imag", "window": "hamming", "scaling": "spectrum"}, (10, 1, 9)),
    ("STFT", {"window": None}, (8, 1, 5)),
    ("STFT", {"periodic": True, "scaling": None}, (8, 1, 5)),
]


def keras_makes(name, options, shape):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return np.asarray(getattr(keras.initializers, name)(**options)(shape))


@pytest.mark.parametrize(("name", "options"), RANDOM, ids=str)
def test_draws_come_from_the_distribution_of_keras(name, options):
    """Two samples of 60,000; with equal distributions the test fails with probability 1e-4."""
    shape = (10, 5, 20, 60)
    ours = np.asarray(getattr(initializers, name)(**options)(shape, key=KEY))
    theirs = keras_makes(name, options | {"seed": 7}, shape)
    assert scipy.stats.ks_2samp(ours.ravel(), theirs.ravel()).pvalue > 1e-4
    assert ours.dtype == theirs.dtype
    assert ours.std() == pytest.approx(theirs.std(), rel=0.02)
    distribution = getattr(getattr(initializers, name)(**options), "variates", None)
    if distribution != "normal":  # limits: of 60,000 draws the largest is near them
        assert ours.max() == pytest.approx(theirs.max(), abs=0.01 * float(theirs.std()))
        assert ours.min() == pytest.approx(theirs.min(), abs=0.01 * float(theirs.std()))


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
@pytest.mark.parametrize(
    "shape",
    [(), (7,), (1,), (3, 4), (5, 2, 3), (3, 3, 8, 4), (3, 3, 8, 1), (2, 3, 4, 5, 6)],
    ids=str,
)
def test_fans_are_those_of_keras(shape, mode, monkeypatch):
    limits = []
    uniform = keras.src.initializers.random_initializers.random

    def spy(shape, minval, maxval, **_):
        limits.append(maxval)
        return np.zeros(shape, np.float32)

    monkeypatch.setattr(uniform, "uniform", spy)
    keras.initializers.VarianceScaling(mode=mode, distribution="uniform")(shape)
    ours = initializers.VarianceScaling(mode=mode, distribution="uniform")
    # transform maps [0, 1] to [-limit, limit]
    assert ours.transform(np.float32(1), shape, np) == pytest.approx(limits[0], rel=1e-6)


def test_compute_fans_with_axes():
    assert initializers.compute_fans((2, 3, 4, 5), (0, 2), (1, 3)) == (8, 15)


@pytest.mark.parametrize(("name", "options", "shape"), FIXED, ids=str)
def test_fixed_values_are_those_of_keras(name, options, shape):
    ours = getattr(initializers, name)(**options)
    theirs = keras_makes(name, options, shape)
    if "value" in options:
        theirs = np.broadcast_to(theirs, shape)
    np.testing.assert_allclose(ours(shape), theirs, rtol=1e-5, atol=2e-6)  # float32 angles there
    assert ours(shape).dtype == np.float32
    assert ours(shape, "int32" if name == "Ones" else "bfloat16").shape == shape


@pytest.mark.parametrize("shape", [(8, 8), (3, 20), (20, 3), (3, 3, 4, 6), (2, 1, 30)], ids=str)
@pytest.mark.parametrize("gain", [1.0, 0.5])
def test_orthogonal_matrices_are_orthogonal(shape, gain):
    w = np.asarray(initializers.Orthogonal(gain)(shape, key=KEY))
    assert w.shape == shape
    matrix = w.reshape(-1, shape[-1]) / gain
    short = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    np.testing.assert_allclose(short @ short.T, np.eye(len(short)), atol=2e-6)


def test_orthogonal_draws_are_uniform():
    """The first element of a uniform 2 x 2 rotation is a cosine of a uniform angle; p as above."""
    draw = jax.vmap(lambda key: initializers.Orthogonal()((2, 2), key=key)[0, 0])
    first = draw(jax.random.split(KEY, 2000))
    angles = np.arccos(np.clip(np.asarray(first), -1, 1)) / np.pi
    assert scipy.stats.kstest(angles, "uniform").pvalue > 1e-4


def test_a_seed_fixes_the_values_and_no_key_means_a_seed_of_the_object():
    seeded = initializers.HeNormal(seed=3)
    np.testing.assert_array_equal(seeded((3, 4)), seeded((3, 4), key=KEY))
    np.testing.assert_array_equal(seeded((3, 4)), initializers.HeNormal(seed=3)((3, 4)))
    assert (seeded((3, 4)) != initializers.HeNormal(seed=4)((3, 4))).any()
    assert (seeded((3, 4)) != initializers.HeNormal(seed=3 + 2**32)((3, 4))).any()
    config.set_random_seed(1)
    free = initializers.HeNormal()
    values = free((3, 4))
    np.testing.assert_array_equal(values, free((3, 4)))
    assert (values != initializers.HeNormal()((3, 4))).any()
    config.set_random_seed(1)
    np.testing.assert_array_equal(values, initializers.HeNormal()((3, 4)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_dtypes(dtype):
    wide = initializers.GlorotUniform(seed=0)((30, 40))
    short = initializers.GlorotUniform(seed=0)((30, 40), dtype)
    assert short.dtype == dtype
    np.testing.assert_array_equal(short, wide.astype(dtype))
    config.set_floatx(dtype)
    assert initializers.Ones()((2,)).dtype == dtype


EVERY = [*RANDOM, ("Orthogonal", {"gain": 0.3}), *[(name, options) for name, options, _ in FIXED]]


@pytest.mark.parametrize(("name", "options"), EVERY, ids=str)
def test_configs_have_the_keys_of_keras_and_come_back(name, options):
    ours = getattr(initializers, name)(**options)
    theirs = getattr(keras.initializers, name)(**options).get_config()
    if name == "Identity":
        theirs["gain"] = ours.gain  # Keras 3.15 forgets it
    assert set(ours.get_config()) == set(theirs)
    again = initializers.deserialize(initializers.serialize(ours))
    assert type(again) is type(ours)
    assert again.get_config() == ours.get_config()


def test_names_are_those_of_keras():
    theirs = {name for name in dir(keras.initializers) if not name.startswith("_")}
    assert theirs <= set(initializers.__all__) | {"get", "serialize", "deserialize"}
    for name in theirs - {"get", "serialize", "deserialize"}:
        cls = getattr(keras.initializers, name)
        assert getattr(initializers, name).__name__ == cls.__name__
        assert type(initializers.get(name)).__name__ == cls.__name__
    for name, cls in {"normal": "RandomNormal", "uniform": "RandomUniform", "zero": "Zeros",
                      "one": "Ones"}.items():  # fmt: skip
        assert type(initializers.get(name)).__name__ == cls


def test_get_reads_classes_configs_arrays_functions_and_none():
    assert initializers.get(None) is None
    assert initializers.get(jnp.zeros) is jnp.zeros
    assert initializers.get(initializers.HeNormal).scale == 2
    np.testing.assert_array_equal(initializers.get(np.arange(3))((3,)), [0, 1, 2])
    keras_form = keras.initializers.serialize(keras.initializers.RandomNormal(stddev=0.3, seed=4))
    assert initializers.get(keras_form).get_config() == {"mean": 0.0, "stddev": 0.3, "seed": 4}
    with pytest.raises(ConfigError, match=r"did you mean .*'glorot_uniform'"):
        initializers.get("glorot_unifrm")
    with pytest.raises(ConfigError, match=r"cannot be used as initializer[\s\S]*received  0\.1"):
        initializers.get(0.1)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: initializers.RandomUniform(1, 0), r"RandomUniform needs a range"),
        (lambda: initializers.TruncatedNormal(stddev=-1), r"TruncatedNormal needs a stddev"),
        (lambda: initializers.VarianceScaling(0), r"positive scale[\s\S]*received  0"),
        (lambda: initializers.VarianceScaling(mode="fan_inn"), r"did you mean 'fan_in'"),
        (lambda: initializers.VarianceScaling(distribution="gauss"), r"`distribution`"),
        (lambda: initializers.GlorotNormal(input_axes=[0]), r"both or neither"),
        (lambda: initializers.HeNormal(seed=0.5), r"HeNormal needs a seed[\s\S]*0\.5"),
        (lambda: initializers.HeNormal()((2,), "int32"), r"HeNormal draws floats only[\s\S]*int32"),
        (lambda: initializers.Orthogonal()((3,)), r"at least two axes[\s\S]*received  \[3\]"),
        (lambda: initializers.Identity()((3,)), r"matrices only[\s\S]*received  \[3\]"),
        (lambda: initializers.Constant([1, 2])((3,)), r"does not fit[\s\S]*received  \[2\]"),
        (lambda: initializers.Constant([[1, 2]])((2,)), r"does not fit[\s\S]*received  \[1, 2\]"),
        (lambda: initializers.STFT("up"), r"`side`"),
        (lambda: initializers.STFT(window="glass"), r"does not know this window[\s\S]*'glass'"),
        (lambda: initializers.STFT(window=[1.0])((2, 1, 3)), r"window that does not fit"),
        (lambda: initializers.STFT()((2, 2, 3)), r"one channel[\s\S]*received  \[2, 2, 3\]"),
        (lambda: initializers.Initializer()((2,)), r"Initializer does not define __call__"),
        (lambda: initializers.RandomInitializer()((2,)), r"does not define transform"),
        (lambda: initializers.FixedInitializer()((2,)), r"does not define fill"),
    ],
)
def test_wrong_options_and_shapes_are_refused(make, text):
    with pytest.raises(ConfigError, match=text):
        make()


def test_a_subclass_with_a_constructor_of_its_own_is_told_the_axes() -> None:
    class Own(initializers.HeNormal):
        def __init__(self) -> None:
            super().__init__(seed=1)

    inputs, own = Input((4, 6)), Own()
    layer = layers.MultiHeadAttention(3, 50, kernel_initializer=own)
    layer(inputs, inputs)
    kernel = layer.query_dense.get_weights()[0]  # 6 inputs, and 150 outputs
    assert abs(kernel.std() - (2 / 6) ** 0.5) < 0.05
    assert own.input_axes is None
