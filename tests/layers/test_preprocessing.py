"""Adapting, hashing and what else the table of cases does not show of the preprocessing layers."""

from __future__ import annotations

import ast
import doctest
import json
import re

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from cases import Case
from checks import CASES, arrays, assert_near, pair, relaxed, run, run_keras
from rows_preprocessing import MORE

import kgraph
from kgraph.data import PyDataset
from kgraph.errors import ConfigError, DataError, GraphError, StateError
from kgraph.layers import preprocessing as layers
from kgraph.layers.base import Input
from kgraph.layers.preprocessing import quantiles
from kgraph.layers.preprocessing.fingerprint import keyed_hash
from kgraph.layers.preprocessing.hashed_text import Decimal, hash_on_host

CASES.update({case.id: case for case in MORE})
RNG = np.random.default_rng(0)
DATA = RNG.normal(size=(90, 3)).astype("float32") * [1, 5, 0.1] + [0, 100, -3]


@pytest.mark.slow
@pytest.mark.parametrize("case", MORE, ids=lambda case: case.id)
def test_outputs_of_further_options_are_those_of_keras(case: Case):
    both = pair(case.id)
    inputs, masks = arrays(case)
    ours = run(both.ours, case, both.weights, inputs, masks, False).outputs
    theirs = run_keras(both.theirs, case, both.weights, inputs, masks, False).outputs
    for one, two in zip(ours, theirs, strict=True):
        assert_near(one, two, case.tolerance)


# --- adapt: normalisation ------------------------------------------------------------------------


class Halves(PyDataset):
    """Two unequal batches, with targets."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return (DATA[:31], None) if index == 0 else (DATA[31:], None)


KINDS = {
    "array": lambda: DATA,
    "nested list": DATA.tolist,
    "list of arrays": lambda: [DATA[:7], DATA[7:]],
    "generator": lambda: (DATA[i : i + 8] for i in range(0, 90, 8)),
    "function": lambda: lambda: iter([DATA[:50], DATA[50:]]),
    "py_dataset": Halves,
    "list of pairs": lambda: [(DATA[:7], DATA[:7, 0]), (DATA[7:], DATA[7:, 0])],
    "jax array": lambda: jnp.asarray(DATA, "float32"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_normalization_learns_the_same_from_every_kind_of_data(kind: str):
    layer = layers.Normalization()
    layer.adapt(KINDS[kind]())
    tolerance = 1e-6 if kind != "jax array" else 1e-5  # float32 has less of the data
    np.testing.assert_allclose(layer.mean, DATA.mean(0), rtol=tolerance)
    np.testing.assert_allclose(layer.variance, DATA.var(0), rtol=tolerance)
    assert int(layer.count.value) == 90


@pytest.mark.parametrize("axis", [-1, None, (1, 2)], ids=str)
def test_normalization_learns_what_keras_learns(axis):
    data = RNG.normal(size=(6, 4, 3)).astype("float32") + 2
    ours, theirs = layers.Normalization(axis=axis), keras.layers.Normalization(axis=axis)
    ours.adapt([data[:1], data[1:]])
    with relaxed():
        theirs.adapt(data)
        expected = np.asarray(theirs(data))
    np.testing.assert_allclose(ours.mean, theirs.adapt_mean, atol=1e-6)
    np.testing.assert_allclose(ours.variance, theirs.adapt_variance, atol=1e-6)
    np.testing.assert_allclose(ours(data), expected, atol=1e-5)


def test_many_batches_cost_no_precision():
    far = [RNG.normal(size=(10, 1)) + 1e6 for _ in range(500)]
    layer = layers.Normalization()
    layer.adapt(far)
    np.testing.assert_allclose(layer.variance, np.concatenate(far).var(), rtol=1e-6)


def test_learned_statistics_are_state_that_is_saved_and_loaded(tmp_path):
    layer = layers.Normalization()
    layer.adapt(DATA)
    inputs = Input((3,))
    bins = layers.Discretization(num_bins=4, output_mode="one_hot")
    bins.adapt(DATA)
    model = kgraph.Model(inputs, [layer(inputs), bins(inputs)])
    expected = model.predict(DATA[:5], verbose=0)
    np.testing.assert_allclose(expected[0], (DATA[:5] - DATA.mean(0)) / DATA.std(0), atol=1e-5)
    assert not model.trainable_weights
    fresh = kgraph.lower(model).init(jax.random.key(0))
    np.testing.assert_allclose(jax.tree.leaves(fresh["state"])[1], DATA.mean(0), rtol=1e-6)
    model.save(tmp_path / "m.kgraph")
    again = kgraph.saving.load_model(tmp_path / "m.kgraph")
    for one, two in zip(again.predict(DATA[:5], verbose=0), expected, strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_failing_adapt_changes_nothing():
    layer = layers.Normalization()
    layer.adapt(DATA)
    before = layer.get_weights()
    with pytest.raises(DataError, match=r"not finite[\s\S]*1 of 3 are NaN"):
        layer.adapt([DATA, np.array([[1.0, np.nan, 2.0]])])
    for one, two in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, two)
    layer.adapt(2 * DATA)
    np.testing.assert_allclose(layer.mean, 2 * DATA.mean(0), rtol=1e-6)


def test_adapting_anew_reaches_models_that_hold_the_layer():
    layer = layers.Normalization(axis=None)
    inputs = Input((2,))
    model = kgraph.Model(inputs, layer(inputs))
    with pytest.raises(StateError, match=r"has not been adapted[\s\S]*call adapt\(data\)"):
        model.predict(np.ones((1, 2), "float32"), verbose=0)
    for shift in (0.0, 3.0):
        layer.adapt(np.array([1.0, 3.0]) + shift)
        assert model.predict(np.full((1, 2), 3.0), verbose=0).tolist() == [[1 - shift] * 2]


# --- adapt: bins ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "bins", "epsilon"), [(1000, 4, 0.01), (257, 3, 0.05), (5, 9, 0.01)]
)
def test_discretization_learns_the_boundaries_of_keras(size: int, bins: int, epsilon: float):
    data = RNG.gamma(2.0, size=size).astype("float32")
    ours = layers.Discretization(num_bins=bins, epsilon=epsilon)
    theirs = keras.layers.Discretization(num_bins=bins, epsilon=epsilon)
    ours.adapt(data)
    theirs.update_state(data)  # its adapt needs TensorFlow
    theirs.finalize_state()
    np.testing.assert_allclose(ours.bin_boundaries, theirs.bin_boundaries, rtol=1e-6)
    cut = layers.Discretization(num_bins=bins, epsilon=epsilon)
    cut.adapt([data[:3], data[3:]])
    assert cut.bin_boundaries == ours.bin_boundaries


def test_quantiles_stay_right_when_data_do_not_fit(monkeypatch):
    monkeypatch.setattr(quantiles, "LIMIT", 500)
    layer = layers.Discretization(num_bins=4, epsilon=0.001)
    layer.adapt(RNG.permutation(np.arange(20_000.0)).reshape(20, -1))
    np.testing.assert_allclose(layer.bin_boundaries, [5000, 10000, 15000], atol=40)


def test_learned_boundaries_are_in_the_config():
    layer = layers.Discretization(num_bins=4)
    layer.adapt(np.arange(100.0))
    config = json.loads(json.dumps(layer.get_config()))
    again = layers.Discretization.from_config(config)
    assert again.get_config() == config
    assert config["num_bins"] == 4
    np.testing.assert_array_equal(again([[3.0, 60.0]]), layer([[3.0, 60.0]]))


def test_bins_are_learned_before_they_are_in_a_graph():
    layer = layers.Discretization(num_bins=2)
    with pytest.raises(StateError, match=r"not been adapted[\s\S]*pass bin_boundaries"):
        layer(np.ones(3))
    with pytest.raises(StateError, match="not been adapted"):
        layer(Input((3,)))
    layer.adapt(np.arange(9.0))
    symbol = layer(Input((3,)))
    with pytest.raises(StateError, match="part of a graph, which holds its boundaries"):
        layer.adapt(np.arange(5.0))
    assert symbol.dtype == "int32"


# --- hashing -------------------------------------------------------------------------------------


def examples_of(cls: type) -> list[tuple[str, str, list]]:
    """Returns the examples in Keras' docstring: constructor, call and result."""
    found, last = [], {}
    for example in doctest.DocTestParser().get_examples(cls.__doc__):
        name, _, value = example.source.strip().partition(" = ")
        if name.startswith("layer("):
            numbers = re.sub(r"[^\d\[\],.]", "", re.sub(r"dtype.*", "", example.want))
            found.append(
                (dict(last), example.source.strip(), ast.literal_eval(numbers.strip(",.")))
            )
        else:
            last[name] = re.sub(r"\n\s*\.\.\.", "", value)
    return found


@pytest.mark.parametrize("name", ["Hashing", "HashedCrossing"])
def test_text_falls_into_the_bins_that_keras_documents(name: str):
    checked = 0
    for names, call, expected in examples_of(getattr(keras.layers, name)):
        values = {"np": np, "keras": type("Keras", (), {"layers": layers})}
        for key, source in names.items():
            values[key] = eval(source, values)
        np.testing.assert_array_equal(eval(call, values), expected, err_msg=call)
        checked += 1
    assert checked >= 2


def test_siphash_has_the_test_vector_of_its_paper():
    from_paper = 0xA129CA6149BE45E5  # of the bytes 0 to 14 under the key of the bytes 0 to 15
    key = tuple(int.from_bytes(bytes(range(i, i + 8)), "little") for i in (0, 8))
    text = np.array([bytes(range(15))], object)
    hashed = hash_on_host(text, lambda t: keyed_hash(t, key))
    assert hashed.tolist() == [from_paper]


INTEGERS = [0, 7, -1, 10, -99, 100, 999, -1000, 1234567, -9999999, 12345678, 2**31 - 1, -(2**31)]


@pytest.mark.parametrize("salt", [None, 9])
def test_integers_hash_in_compiled_code_as_their_text_does(salt):
    sizes = (3, 65536, 2**31 - 1)
    by_size = [layers.Hashing(size, salt=salt) for size in sizes]
    hashes = by_size[0]._hash
    compiled = jax.jit(lambda x: [hashes(Decimal(x)) % size for size in sizes])
    for layer, bins in zip(by_size, compiled(jnp.array(INTEGERS, "int32")), strict=True):
        text = layer([str(number) for number in INTEGERS])
        assert text.dtype == jnp.int32
        np.testing.assert_array_equal(bins.astype(jnp.int32), text)
        np.testing.assert_array_equal(layer(np.array(INTEGERS)), text)


@pytest.mark.slow
def test_64_bit_numbers_hash_without_loss():
    layer = layers.Hashing(1000)
    large = np.array([2**40, 2**40 + 2**32, -(2**63), 12345678901234567], "int64")
    text = layer([str(number) for number in large])
    np.testing.assert_array_equal(layer(large), text)
    with jax.enable_x64(True):
        np.testing.assert_array_equal(jax.jit(lambda x: layer(x))(jnp.asarray(large)), text)


def test_crossing_is_the_same_in_compiled_code():
    layer = layers.HashedCrossing(1000, output_mode="int")
    left, right = np.array([1, -2, 2**31 - 1], "int32"), np.array([5, 6, -7], "int32")
    compiled = jax.jit(lambda a, b: layer([a, b]))(left, right)
    np.testing.assert_array_equal(compiled, layer([left, right]))
    assert len(set(np.asarray(compiled).tolist())) == 3
    assert not np.array_equal(compiled, layer([right, left]))


def test_a_long_text_and_its_bytes_hash_alike():
    texts = ["ä" * n for n in (1, 3, 6, 12, 20, 40, 90)]
    layer = layers.Hashing(10**6)
    np.testing.assert_array_equal(layer(texts), layer([text.encode() for text in texts]))
    assert len(set(layer(texts).tolist())) == len(texts)


# --- errors --------------------------------------------------------------------------------------


def error_of(function) -> str:
    with pytest.raises((ConfigError, DataError, GraphError, StateError)) as caught:
        function()
    return str(caught.value)


X = np.ones((2, 3), "float32")
ERRORS = {
    "one statistic": (lambda: layers.Normalization(mean=1.0), "both `mean` and `variance`"),
    "statistics too wide": (
        lambda: layers.Normalization(mean=X, variance=X),
        "with at most 1 axes",
    ),
    "no such axis": (lambda: layers.Normalization(axis=3)(X), "an input with 2 axes"),
    "unknown size": (lambda: layers.Normalization()(Input((None,))), "pass axis=None"),
    "other width": (lambda: adapted(layers.Normalization())(X[:, :2]), r"3 features"),
    "other data": (lambda: adapted(layers.Normalization()).adapt(X[:, :2]), "shape [2, 2]"),
    "given and adapted": (
        lambda: layers.Normalization(mean=0.0, variance=1.0).adapt(X),
        "does not adapt",
    ),
    "no data": (lambda: layers.Normalization().adapt([]), "empty data"),
    "text": (lambda: layers.Normalization().adapt(["a"]), "adapts to numbers"),
    "pair": (lambda: layers.Normalization().adapt((X, X)), "pass the features alone"),
    "ragged": (lambda: layers.Normalization().adapt([[1, 2], [3]]), "cannot read batch 0"),
    "bins twice": (lambda: layers.Discretization([1.0], 3), "either `bin_boundaries`"),
    "descending": (lambda: layers.Discretization([2.0, 1.0]), "ascending order"),
    "epsilon": (lambda: layers.Discretization(num_bins=3, epsilon=0), "a share of the data"),
    "mode": (lambda: layers.Discretization([1.0], output_mode="hot"), "did you mean"),
    "sparse": (lambda: layers.CategoryEncoding(3, sparse=True), "dense outputs"),
    "no tokens": (lambda: layers.CategoryEncoding(), "use IntegerLookup"),
    "token": (lambda: layers.CategoryEncoding(3)([[1, 3]]), "received  3 at [0, 1]"),
    "weights": (
        lambda: layers.CategoryEncoding(3)([[1, 2]], count_weights=[[1.0, 2.0]]),
        "in the mode 'count' alone",
    ),
    "float bins": (lambda: layers.Hashing(3, dtype="float32"), "dtype int32 or int64"),
    "salt": (lambda: layers.Hashing(3, salt=[1, 2, 3]), "one number of at least 0, or two"),
    "mask": (lambda: layers.Hashing(3, mask_value="")([1, 2]), "compare its inputs"),
    "one input": (lambda: layers.HashedCrossing(3)([["a"]]), "two or more inputs"),
    "shapes": (lambda: layers.HashedCrossing(3)([X, X]), "one value for each row"),
    "floats": (lambda: layers.HashedCrossing(3)([X[0], X[0]]), "put floats into bins"),
    "step": (lambda: layers.STFTSpectrogram(frame_length=4, frame_step=5), "frame_step <= frame"),
    "short": (lambda: layers.STFTSpectrogram()(X[..., None]), "at least frame_length=256"),
    "window": (lambda: layers.MelSpectrogram(window="triangle"), "'hann', 'hamming'"),
    "lengths": (lambda: layers.MelSpectrogram(64, sequence_length=65), "sequence_length <= fft"),
}


def adapted(layer):
    layer.adapt(X)
    return layer


@pytest.mark.parametrize("case", ERRORS)
def test_errors_say_what_to_do(case: str):
    function, text = ERRORS[case]
    assert text in error_of(function)
