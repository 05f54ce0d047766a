"""Checks of options: what they take, what they return, and what they say."""

from __future__ import annotations

import math
from decimal import Decimal

import jax.numpy as jnp
import numpy as np
import pytest

from kgraph import checks
from kgraph.errors import ConfigError


@pytest.mark.parametrize("value", [3, np.int8(3), np.asarray(3), jnp.int32(3)])
def test_whole_numbers(value):
    assert checks.is_whole(value, least=3)
    assert not checks.is_whole(value, least=4)
    count = checks.check_count("Dense", "units", value)
    assert (count, type(count)) == (3, int)
    assert type(checks.check_integer("Dense", "units", value)) is int


@pytest.mark.parametrize("value", [True, np.True_, 3.0, "3", None, [3]])
def test_what_is_no_whole_number(value):
    assert not checks.is_whole(value)
    for check in (checks.check_count, checks.check_integer):
        with pytest.raises(ConfigError, match="a whole number"):
            check("Dense", "units", value)


def test_numbers():
    for value in (0, 0.5, np.float32(0.5), jnp.float32(0.5), Decimal("0.5")):
        assert checks.is_number(value)
        assert type(checks.check_rate("Dropout", "rate", value)) is float
    for value in (True, "0.5", None, [0.5], 1j):
        assert not checks.is_number(value)


@pytest.mark.parametrize(
    ("check", "good", "bad", "expected"),
    [
        (checks.check_rate, 1, 1.5, "a number from 0 to 1"),
        (checks.check_rate, 0, math.nan, "a number from 0 to 1"),
        (checks.check_positive, 1e-9, 0, "a positive number"),
        (checks.check_not_negative, 0, -1e-9, "a number of at least 0"),
        (checks.check_not_negative, 3, True, "a number of at least 0"),
        (checks.check_integer, -3, 0.5, "a whole number"),
        (checks.check_count, 1, 0, "a whole number of at least 1"),
    ],
)
def test_a_value_out_of_range_is_refused_with_all_that_one_needs(check, good, bad, expected):
    assert check("Owner", "option", good) == good
    with pytest.raises(ConfigError) as caught:
        check("Owner", "option", bad)
    assert str(caught.value).splitlines() == [
        "Owner cannot have this value of `option`",
        f"  expected  {expected}",
        f"  received  {bad!r}",
    ]


def test_a_count_may_have_a_most():
    assert checks.check_count("Hashing", "num_bins", 8, most=8) == 8
    with pytest.raises(ConfigError, match="from 1 to 8"):
        checks.check_count("Hashing", "num_bins", 9, most=8)
