"""What may stand for an optimizer, and optimizers as plain data."""

from __future__ import annotations

import json
import subprocess
import sys

import keras
import optax
import pytest
from optimizer_oracle import RULE_NAMES, keras_config

from kgraph import optimizers
from kgraph.custom_objects import custom_object_scope
from kgraph.errors import ConfigError


@pytest.mark.parametrize("name", RULE_NAMES)
def test_every_name_of_keras_is_known_in_any_case(name):
    for spelling in (name, name.lower(), name.upper()):
        assert type(optimizers.get(spelling)) is getattr(optimizers, name)


@pytest.mark.parametrize("name", RULE_NAMES)
def test_an_optimizer_survives_its_config(name):
    optimizer = getattr(optimizers, name)(0.25, use_ema=True, clipnorm=0.5, name="mine")
    data = json.loads(json.dumps(optimizers.serialize(optimizer)))
    again = optimizers.get(data)
    assert type(again) is type(optimizer)
    assert vars(again) | {"_kgraph": ()} == vars(optimizer) | {"_kgraph": ()}


@pytest.mark.parametrize("name", [name for name in RULE_NAMES if hasattr(keras.optimizers, name)])
def test_a_config_of_keras_is_read(name):
    theirs = getattr(keras.optimizers, name)(0.25, clipvalue=0.5)
    config = keras_config(theirs)
    read = optimizers.get({"class_name": name, "config": config})
    assert {option: getattr(read, option) for option in config} == config


def test_a_config_of_keras_with_a_schedule_is_read():
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 20, alpha=0.5)
    read = optimizers.deserialize(keras.optimizers.serialize(keras.optimizers.Adam(schedule)))
    assert isinstance(read.schedule, optimizers.schedules.CosineDecay)
    assert read.schedule.get_config() == schedule.get_config()


def test_the_config_tells_the_rate_and_the_exclusions_of_now():
    optimizer = optimizers.AdamW(0.5)
    optimizer.learning_rate = 0.125
    optimizer.exclude_from_weight_decay(["bias"])
    optimizer.exclude_from_weight_decay(["scale", "bias"])
    again = optimizers.deserialize(optimizers.serialize(optimizer))
    assert again.learning_rate == 0.125
    assert again.get_config()["exclude_from_weight_decay"] == ["bias", "scale"]


def test_a_schedule_is_part_of_the_config():
    optimizer = optimizers.SGD(optimizers.schedules.ExponentialDecay(0.1, 5, 0.5), momentum=0.5)
    again = optimizers.deserialize(json.loads(json.dumps(optimizers.serialize(optimizer))))
    assert again.schedule.get_config() == optimizer.schedule.get_config()
    assert again.momentum == 0.5


def test_objects_classes_and_transformations_are_taken():
    optimizer = optimizers.Adam()
    assert optimizers.get(optimizer) is optimizer
    assert type(optimizers.get(optimizers.Adam)) is optimizers.Adam
    for transformation in (optax.adam(0.1), optax.chain(optax.clip(1.0), optax.sgd(0.1))):
        assert type(optimizers.get(transformation)) is optimizers.OptaxOptimizer


def test_an_optimizer_of_the_users_own_is_found_by_name():
    class Mine(optimizers.SGD):
        pass

    data = optimizers.serialize(Mine(0.5, momentum=0.25))
    assert optimizers.deserialize(data, {"Mine": Mine}).momentum == 0.25
    with custom_object_scope({"Mine": Mine}):
        assert type(optimizers.get("Mine")) is Mine
    with pytest.raises(ConfigError, match=r"No optimizer is known as 'Mine'"):
        optimizers.get(data)


@pytest.mark.parametrize("thing", [None, 3, int, lambda: None, keras.optimizers.Adam])
def test_anything_else_is_refused(thing):
    with pytest.raises(ConfigError, match=r"not an optimizer[\s\S]*'adam'[\s\S]*optax"):
        optimizers.get(thing)


def test_a_misspelt_name_and_a_foreign_mapping_are_explained():
    with pytest.raises(ConfigError, match=r"No optimizer is known as 'adan'[\s\S]*'adam'"):
        optimizers.get("adan")
    with pytest.raises(ConfigError, match=r"'class_name' and 'config'[\s\S]*'a': 1"):
        optimizers.get({"a": 1})


def test_optax_is_not_imported_before_it_is_needed():
    code = "import sys, kgraph.optimizers as o; o.get('adam'); sys.exit('optax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
