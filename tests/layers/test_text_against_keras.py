"""The lookup layers against Keras', on random options and data.

Keras' layers need TensorFlow, whichever backend runs; without it these tests are skipped, and
`test_text.py` alone, which compares with plain Python, stands for the numbers.
"""

from __future__ import annotations

import random

import keras
import numpy as np
import pytest

from kgraph.layers import text
from kgraph.layers.text.words import STANDARDIZERS

pytest.importorskip("tensorflow")

WORDS = ["a", "b", "c", "dé", "É", "xx", "yy!", "Z", "the", "The"]
NUMBERS = [0, 5, -1, 7, -100, 10**10, 3, 4, 8, 9, 11]
MODES = ["int", "one_hot", "multi_hot", "count", "tf_idf"]


def sentence(rng: random.Random) -> str:
    ends = ["", "", " ", "\t", ",", "\u00a0"]
    return " ".join(rng.choice(WORDS) + rng.choice(ends) for _ in range(rng.randint(0, 6)))


def vectorization(rng: random.Random):
    mode = rng.choice(["int", "multi_hot", "count", "tf_idf"])
    options = {
        "output_mode": mode,
        "standardize": rng.choice([*STANDARDIZERS, None]),
        "split": rng.choice(["whitespace", "character"]),
        "ngrams": rng.choice([None, None, 2, (1, 3)]),
        "max_tokens": rng.choice([None, 5, 9]),
    }
    if mode == "int":
        options["output_sequence_length"] = rng.choice([None, 3, 7])
    elif options["max_tokens"]:
        options["pad_to_max_tokens"] = rng.choice([True, False])
    return options, [*(sentence(rng) for _ in range(6)), "b b c"], [sentence(rng), "a b", "q"]


def lookup(rng: random.Random, values: list, masks: list, hashing: dict):
    options = {
        "output_mode": rng.choice(MODES),
        "num_oov_indices": rng.choice([1, 2, 3]),
        "mask_token": rng.choice([None, *masks]),
        "max_tokens": rng.choice([None, 7, 8]),
    }
    if options["num_oov_indices"] > 1:
        options |= {name: rng.choice(choices) for name, choices in hashing.items()}
    width = rng.randint(1, 3)
    rows = np.array([[rng.choice(values) for _ in range(width)] for _ in range(14)])
    return options, rows[:9], rows[9:]


MAKERS = {
    "TextVectorization": vectorization,
    "StringLookup": lambda rng: lookup(rng, [*WORDS, ""], ["", "a"], {"salt": [None, 3, [4, 5]]}),
    "IntegerLookup": lambda rng: lookup(
        rng, NUMBERS, [0, 5], {"oov_method": ["floormod", "farmhash"]}
    ),
}


@pytest.mark.parametrize("name", MAKERS)
def test_vocabularies_and_outputs_are_those_of_keras(name):
    rng = random.Random(name)
    for _ in range(30):
        options, learned, asked = MAKERS[name](rng)
        ours, theirs = getattr(text, name)(**options), getattr(keras.layers, name)(**options)
        ours.adapt(learned)
        theirs.adapt(learned)
        assert ours.get_vocabulary() == theirs.get_vocabulary(), options
        one, two = ours(asked), np.asarray(theirs(asked))
        assert one.shape == two.shape, options
        np.testing.assert_allclose(one, two, rtol=1e-6, err_msg=str(options))
