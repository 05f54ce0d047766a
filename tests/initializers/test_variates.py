"""The generator: bits, distributions, and what an element does and does not depend on."""

from __future__ import annotations

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from jax.extend.random import threefry2x32_p

from kgraph.errors import ConfigError
from kgraph.initializers.erf_inv import erf_inv
from kgraph.initializers.on_host import encipher
from kgraph.initializers.variates import (
    derived_words,
    key_words,
    many_variates,
    path_hash,
    variates,
)

WORDS = np.array([0xDEADBEEF, 0x01234567], np.uint32)
KINDS = ("uniform", "normal", "truncated_normal")
DISTRIBUTIONS = {
    "uniform": scipy.stats.uniform(),
    "normal": scipy.stats.norm(),
    "truncated_normal": scipy.stats.truncnorm(-2, 2),
}


def test_numpy_enciphers_as_jax_does():
    high, low = np.random.default_rng(0).integers(2**32, size=(2, 1000), dtype=np.uint32)
    theirs = threefry2x32_p.bind(*(jnp.full(1000, word) for word in WORDS), high, low)
    ours = np.stack([high, low])
    encipher(WORDS, *ours, np.empty(1000, np.uint32))
    np.testing.assert_array_equal(ours, np.asarray(theirs))


def test_erf_inv_agrees_with_scipy_and_jax():
    # Up to the last value that `variates` asks for; both branches of the polynomial.
    x = np.concatenate(
        [np.linspace(-0.9999, 0.9999, 1001), [1 - 2**-23, 2**-23 - 1, 0.9967, 0.9966]]
    )
    x = x.astype(np.float32)
    expected = scipy.special.erfinv(x.astype(np.float64))
    # Near 1 the rounding of x * x in float32 counts.
    np.testing.assert_allclose(erf_inv(x, np), expected, rtol=5e-6)
    np.testing.assert_allclose(erf_inv(x, np), erf_inv(jnp.asarray(x), jnp), rtol=2e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_engines_agree(kind):
    host = variates(kind, WORDS, 7, 70_001, start=12, xp=np)
    traced = jax.jit(lambda words: variates(kind, words, 7, 70_001, start=12))(WORDS)
    assert host.dtype == traced.dtype == np.float32
    np.testing.assert_allclose(host, traced, rtol=1e-6, atol=1e-6)
    if kind == "uniform":
        np.testing.assert_array_equal(host, traced)


@pytest.mark.parametrize("kind", KINDS)
def test_cutting_changes_nothing(kind):
    whole = variates(kind, WORDS, 7, 100_000, xp=np)
    for start, count in ((0, 1), (1, 3), (32_767, 2), (65_000, 35_000), (5, 0)):
        piece = variates(kind, WORDS, 7, count, start=start, xp=np)
        np.testing.assert_array_equal(piece, whole[start : start + count])
        traced = variates(kind, WORDS, 7, count, start=start)
        np.testing.assert_allclose(traced, piece, rtol=1e-6, atol=1e-6)


def test_many_are_the_same_as_each_alone():
    counts = [0, 1, 1023, 1024, 1025, 3000]
    together = jax.jit(lambda words: many_variates("normal", words, range(6), counts))(WORDS)
    for path, (values, count) in enumerate(zip(together, counts)):
        alone = variates("normal", WORDS, path, count, xp=np)
        np.testing.assert_allclose(values, alone, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_distribution(kind):
    """With a correct generator each of the three fixed draws fails with probability 1e-4."""
    for path in range(3):
        z = variates(kind, WORDS, path, 200_000, xp=np)
        assert scipy.stats.kstest(z, DISTRIBUTIONS[kind].cdf).pvalue > 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_the_limits(kind):
    z = variates(kind, WORDS, 1, 1_000_000, xp=np)
    low, high = {"uniform": (0, 1), "normal": (-5.5, 5.5), "truncated_normal": (-2, 2)}[kind]
    assert low <= z.min() < low + 1
    assert high - 1 < z.max() <= high
    assert kind != "uniform" or z.max() < 1


def test_paths_keys_and_neighbours_are_independent():
    """Correlations of 200,000 pairs have deviation 0.0022; beyond 5 of them is one in a million."""
    z = [variates("normal", words, path, 200_000, xp=np)
         for words in (WORDS, WORDS + np.uint32(1)) for path in (7, 8)]  # fmt: skip
    pairs = [(z[0], z[1]), (z[0], z[2]), (z[0], z[3]), (z[0][1:], z[0][:-1])]
    assert all(abs(np.corrcoef(a, b)[0, 1]) < 0.0112 for a, b in pairs)


def test_path_hashes_are_the_same_in_every_process():
    code = "from kgraph.initializers.variates import path_hash; print(path_hash('a/b'))"
    found = [
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
            capture_output=True, text=True, check=True, timeout=60,
        ).stdout.strip()
        for seed in ("1", "2")
    ]  # fmt: skip
    assert found == [str(path_hash("a/b"))] * 2
    paths = [f"block{i}/dense/{name}" for i in range(500) for name in ("kernel", "bias")]
    assert len({path_hash(path) for path in paths}) == 1000
    assert all(0 <= path_hash(path) < 2**32 for path in paths)


def test_keys_of_every_form_have_two_words():
    typed = jax.random.key(3)
    np.testing.assert_array_equal(key_words(typed), jax.random.key_data(typed))
    np.testing.assert_array_equal(key_words(jax.random.PRNGKey(3)), key_words(typed))
    wide = jax.random.key(3, impl="rbg")
    other = jax.random.wrap_key_data(jnp.asarray([0, 3, 0, 4], jnp.uint32), impl="rbg")
    assert key_words(wide).shape == (2,)
    assert (key_words(wide) != key_words(other)).any()  # the upper words count
    np.testing.assert_array_equal(jax.jit(key_words)(wide), key_words(wide))


def test_derived_keys_differ_from_one_another():
    words = {tuple(derived_words(WORDS, path, xp=np).tolist()) for path in range(100)}
    assert len(words) == 100
    np.testing.assert_array_equal(derived_words(WORDS, 5), derived_words(WORDS, 5, xp=np))


def test_what_is_not_one_key_is_refused():
    for wrong, received in (
        (jax.random.split(jax.random.key(0), 3), r"uint32\[3, 2\]"),
        (np.zeros(2, np.float32), r"float32\[2\]"),
        (0, r"int64\[\]"),
    ):
        with pytest.raises(ConfigError, match=rf"one random key[\s\S]*received  {received}"):
            key_words(wrong)
