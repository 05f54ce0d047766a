"""Each rule against Keras: the same 30 gradients, of size 1 and of size 1e-5."""

from __future__ import annotations

import keras
import pytest
from optimizer_oracle import (
    STEPS,
    assert_same_weights,
    gradients,
    keras_config,
    run_keras,
    run_kgraph,
)

from kgraph import optimizers

RULES = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.8, "rho": 0.8}),
    ("RMSprop", {"momentum": 0.8, "centered": True, "epsilon": 1e-6}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True, "beta_1": 0.8, "beta_2": 0.9}),
    ("AdamW", {}),
    ("Adagrad", {}),
    ("Adagrad", {"initial_accumulator_value": 0.5, "epsilon": 1e-3}),
    ("Adadelta", {}),
    ("Adadelta", {"rho": 0.8, "epsilon": 1e-5}),
    ("Lion", {}),
    ("Lion", {"beta_1": 0.5, "beta_2": 0.8}),
    ("Adamax", {}),
    ("Nadam", {}),
    ("Ftrl", {}),
    ("Ftrl", {"l1_regularization_strength": 0.05, "l2_regularization_strength": 0.1}),
    ("Ftrl", {"l2_shrinkage_regularization_strength": 0.1, "beta": 0.3}),
    ("Ftrl", {"learning_rate_power": -0.3, "initial_accumulator_value": 1.0}),
    ("Lamb", {}),
    ("Adafactor", {}),
    ("Adafactor", {"beta_2_decay": -0.5, "clip_threshold": 0.5, "epsilon_2": 1.5}),
    ("Muon", {}),
    ("Muon", {"nesterov": False, "rms_rate": None, "ns_steps": 3, "adam_lr_ratio": 0.5}),
    ("Muon", {"exclude_embeddings": False, "exclude_layers": ["dense"], "weight_decay": 0.1}),
    ("ScheduleFreeAdamW", {}),
    ("ScheduleFreeAdamW", {"warmup_steps": 8, "beta_1": 0.7}),
]
# Gradients of 1e-5 move these by less than float32 can show, so they get a larger rate there.
SLOW = {"SGD": 1e3, "Adadelta": 1e3, "Adagrad": 1e4, "Ftrl": 1e3, "RMSprop": 30}
# Adam after few steps is a ratio of rounded numbers; the running mean of ScheduleFreeAdamW is
# computed back from the weights; Newton-Schulz multiplies rounding by up to 3.4 in each iteration.
TOLERANCE = {"ScheduleFreeAdamW": 2e-4, "Muon": 5e-5, "Nadam": 5e-5, "Ftrl": 5e-5}


SIZES = [
    pytest.param(
        name, options, size, id=f"{name}-{options}-{size}",
        marks=pytest.mark.slow if options and size < 1 else (),
    )
    for name, options in RULES
    for size in (1.0, 1e-5)
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "size"), SIZES)
def test_rule_gives_the_weights_of_keras(name, options, size):
    rate = 0.01 * (SLOW.get(name, 1) if size < 1 else 1)
    grads = gradients(size, STEPS)
    ours, _ = run_kgraph(getattr(optimizers, name)(rate, **options), grads)
    theirs = run_keras(getattr(keras.optimizers, name)(rate, **options), grads)
    assert_same_weights(ours, theirs, TOLERANCE.get(name, 1e-5))


@pytest.mark.parametrize("name", sorted({name for name, _ in RULES}))
def test_defaults_are_those_of_keras(name):
    ours = getattr(optimizers, name)()
    theirs = keras_config(getattr(keras.optimizers, name)())
    theirs.pop("name")
    for option, value in theirs.items():
        mine = getattr(ours, option)
        expected = pytest.approx(value, rel=1e-6) if isinstance(value, float) else value
        assert mine == expected, option  # Keras gives a learning rate rounded to float32


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("SGD", {"momentum": 1.5}, "SGD cannot have this value of `momentum`"),
        ("Lion", {"beta_1": 0.0}, "Lion needs `beta_1` above 0"),
        ("AdamW", {"weight_decay": None}, "AdamW needs a number as `weight_decay`"),
        ("Ftrl", {"learning_rate_power": 0.5}, "`learning_rate_power` <= 0"),
        (
            "Ftrl",
            {"l1_regularization_strength": -1.0},
            r"`l1_regularization_strength`[\s\S]*at least 0",
        ),
    ],
)
def test_an_option_out_of_range_is_refused_as_in_keras(name, options, text):
    with pytest.raises(ValueError, match=text):
        getattr(optimizers, name)(**options)
    with pytest.raises(ValueError):  # noqa: PT011 - the oracle's own words do not matter
        getattr(keras.optimizers, name)(**options)


def test_adafactor_keeps_row_and_column_means_only():
    _, state = run_kgraph(optimizers.Adafactor(), gradients(1.0, 1))
    slots = state.inner.slots
    assert slots["row"]["dense"]["kernel"].shape == (6,)
    assert slots["column"]["scan"]["stack"].shape == (2, 4)
    assert slots["velocity"]["dense"]["kernel"] is None
    assert slots["velocity"]["dense"]["bias"].shape == (5,)


def test_ftrl_reaches_exact_zeros():
    optimizer = optimizers.Ftrl(0.1, l1_regularization_strength=50.0)
    params, _ = run_kgraph(optimizer, gradients(1.0, 5))
    assert (params["dense"]["kernel"] == 0).all()
