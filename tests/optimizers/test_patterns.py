"""Patterns of paths, which files bring along: linear in time, and refused if that cannot be."""

from __future__ import annotations

import jax.numpy as jnp
import pytest

import kgraph
from kgraph.errors import ConfigError
from kgraph.patterns import compiled

BOMB, PATH = "(a|aa|a*)*b", "a" * 2000  # more than the age of the universe for Python's `re`


def test_a_bomb_is_matched_at_once():
    assert compiled(BOMB).fullmatch(PATH) is None
    assert compiled("enc.*/kernel").fullmatch("encoder/dense/kernel")
    assert compiled("bias$").search("dense/bias")


@pytest.mark.parametrize("pattern", ["(", r"(a)\1", "(?=a)b", "(a{900}){900}", 3])
def test_what_cannot_be_matched_so_is_refused(pattern):
    with pytest.raises(ConfigError, match=r"no regular expression[\s\S]*RE2"):
        compiled(pattern)


def test_optimizers_and_layouts_match_so():
    params = {PATH: jnp.ones((2, 2))}
    muon = kgraph.optimizers.Muon(exclude_layers=[BOMB])
    muon.update(params, muon.init(params), params)
    decayed = kgraph.optimizers.AdamW()
    decayed.exclude_from_weight_decay(var_names=[BOMB])
    decayed.update(params, decayed.init(params), params)
    assert kgraph.optimizers.OptimizerMap("sgd", {BOMB: "adam"}).key_for(PATH) is None
    mesh = kgraph.distribution.DeviceMesh((8,), ("x",))
    layouts = kgraph.distribution.LayoutMap(mesh)
    layouts[BOMB] = (None, "x")
    assert layouts.key_of(PATH) is None
