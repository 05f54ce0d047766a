"""Progbar, Config, symbols, dtypes and numbers for prefixes."""

from __future__ import annotations

import copy
import itertools
import json
import re

import jax.numpy as jnp
import keras
import numpy as np
import pytest

import kgraph
from kgraph import backend, config, utils
from kgraph.errors import ConfigError
from kgraph.utils.dtypes import NAMES

# Progbar


def last_line(bar, calls, capsys):
    for current, values in calls:
        bar.update(current, values)
    return capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(
    "options",
    [{}, {"stateful_metrics": ["loss"]}, {"stateless_metrics": ["loss"]}, {"unit_name": "row"}],
    ids=str,
)
def test_a_progress_bar_ends_with_the_line_of_keras(options, capsys):
    def calls():
        yield 1, [("loss", 1.5), ("accuracy", 0.25)]
        yield 4, [("loss", 3.0), ("accuracy", 0.0002)]
        yield 10, [("loss", 0.5)]

    made = last_line(utils.Progbar(10, verbose=2, **options), calls(), capsys)
    wanted = last_line(keras.utils.Progbar(10, verbose=2, **options), calls(), capsys)
    times = r"\d+(?=(s|ms|us)\b)"
    assert re.sub(times, "0", made.replace("ms/", "us/")) == re.sub(
        times, "0", wanted.replace("ms/", "us/")
    )


def test_means_of_a_progress_bar_are_those_of_keras_before_the_end():
    ours, theirs = utils.Progbar(10, verbose=0), keras.utils.Progbar(10, verbose=0)
    for current, value in ((1, 1.5), (4, 3.0), (5, 0.5)):
        ours.update(current, [("loss", value)])
        theirs.update(current, [("loss", value)])
    assert ours._sums["loss"] == tuple(theirs._values["loss"])


def test_a_progress_bar_writes_whole_lines_to_what_is_no_terminal(capsys):
    bar = utils.Progbar(4, width=8)
    for _ in range(4):
        bar.add(1, [("loss", 0.5)])
    line = capsys.readouterr().out
    assert re.fullmatch(r"4/4 (━|=){8} \d+s \d+[mu]?s/step - loss: 0\.5000\n", line)
    unknown = utils.Progbar(None)
    unknown.update(3, finalize=True)
    assert capsys.readouterr().out.startswith("      3/Unknown 0s")
    with pytest.raises(ConfigError, match="not both"):
        utils.Progbar(1, stateful_metrics=[], stateless_metrics=[])


# Config


def test_a_config_is_a_dict_with_attributes():
    ours, theirs = utils.Config(rate=0.1, b=2), keras.utils.Config(rate=0.1, b=2)
    for options in (ours, theirs):
        options.momentum = 0.9
        options["seed"] = 1
        options.update(c=3)
        del options["b"]
        assert options.pop("c") == 3
    assert ours.as_dict() == theirs.as_dict() == copy.deepcopy(ours).as_dict()
    assert (list(ours), len(ours), repr(ours)) == (list(theirs), len(theirs), repr(theirs))
    assert json.loads(ours.to_json()) == json.loads(theirs.to_json())
    assert (ours.get("none", 5), "seed" in ours, ours.momentum) == (5, True, 0.9)
    with pytest.raises(AttributeError, match=r"no value 'momentun'\. did you mean 'momentum'"):
        _ = ours.momentun


def test_a_frozen_config_cannot_be_changed():
    options = utils.Config(rate=0.1)
    options.freeze()
    for change in (lambda: setattr(options, "rate", 1), lambda: options.update(b=1),
                   lambda: options.pop("rate"), lambda: options.__delitem__("rate")):  # fmt: skip
        with pytest.raises(ConfigError, match="frozen"):
            change()
    assert options.frozen
    options.unfreeze()
    options.rate = 1
    with pytest.raises(ConfigError, match="a method of the name 'keys'"):
        options.keys = 1


# symbols


def test_source_inputs_are_the_inputs_themselves():
    one, other = kgraph.Input((3,)), kgraph.Input((3,))
    joined = kgraph.layers.Add()([one, kgraph.layers.Dense(3)(other)])
    found = utils.get_source_inputs(kgraph.layers.Add()([joined, one]))
    assert [any(x is known for known in (one, other)) for x in found] == [True, True]
    assert utils.get_source_inputs(one)[0] is one
    assert utils.get_source_inputs(3) == 3
    assert (utils.is_keras_tensor(joined), utils.is_keras_tensor(np.ones(3))) == (True, False)


# dtypes


def outcome(function, *arguments):
    try:
        return function(*arguments)
    except ValueError:
        return "refused"


def test_dtypes_mix_as_in_keras():
    known = [*NAMES, int, float, None]
    triples = [("int8", "uint8", "bfloat16"), ("bool", int, float), ("uint32", int, "float16")]
    for dtypes in (*itertools.product(known, known), *((d,) for d in known), *triples, ()):
        made, wanted = (outcome(b.result_type, *dtypes) for b in (backend, keras.backend))
        assert made == wanted, dtypes


def test_names_of_dtypes_are_those_of_keras():
    given = [None, bool, int, float, str, complex, "int", "float", "float32", "long", object,
             np.int8, np.dtype("uint16"), jnp.bfloat16, np.float64, "bfloat16"]  # fmt: skip
    for dtype in given:
        for name in ("standardize_dtype", "is_float_dtype", "is_int_dtype"):
            ours, theirs = getattr(backend, name), getattr(keras.backend, name)
            assert outcome(ours, dtype) == outcome(theirs, dtype), (name, dtype)
    config.set_floatx("float16")
    assert backend.standardize_dtype(None) == backend.result_type(None) == "float16"
    with pytest.raises(ConfigError, match=r"'flaot32' is no dtype[\s\S]*'float32'"):
        backend.standardize_dtype("flaot32")


def test_uids_count_from_one():
    assert [backend.get_uid("test_uids") for _ in range(3)] == [1, 2, 3]


def test_objects_are_written_and_read_under_the_names_of_utils():
    layer = kgraph.layers.Dense(3, activation="relu")
    again = utils.deserialize_keras_object(utils.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()
