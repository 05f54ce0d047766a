"""The layers that look words and integers up.

Keras' need TensorFlow, which the tests do without. So the expected numbers come from plain Python
below, written from the documented rules; `test_text_against_keras.py` compares with Keras itself
where TensorFlow is installed.
"""

from __future__ import annotations

import json
import math
import string
from collections import Counter

import jax.numpy as jnp
import numpy as np
import pytest

import kgraph
from kgraph.errors import ConfigError, DataError, GraphError, StateError
from kgraph.layers import Dense, Embedding, GlobalAveragePooling1D, Input
from kgraph.layers.text import IntegerLookup, StringLookup, TextVectorization
from kgraph.registry import deserialize, serialize

TEXTS = ["The cat sat.", "the DOG, the cat!", "", "É\u00a0b\tÉ é", "a dog"]
TAGS = [["b", "a"], ["a", "c"], ["a", "a"], ["b", "d"]]


def words_by_hand(text):
    kept = "".join(c for c in text if c not in string.punctuation)
    kept = "".join(c.lower() if c.isascii() else c for c in kept)
    for space in "\t\n\v\f\r":
        kept = kept.replace(space, " ")
    return [word for word in kept.split(" ") if word]


def ranked_by_hand(rows):
    counts = Counter(word for row in rows for word in row)
    return [w for w, _ in sorted(counts.items(), key=lambda i: (i[1], i[0].encode()), reverse=True)]


def bag_by_hand(rows, places, depth, mode):
    made = np.zeros((len(rows), depth))
    for i, row in enumerate(rows):
        for value in row:
            if value in places:
                made[i, places[value]] = 1 if mode == "multi_hot" else made[i, places[value]] + 1
    return made


# --- TextVectorization ---------------------------------------------------------------------------


def test_words_are_ranked_and_numbered_as_by_hand():
    layer = TextVectorization()
    layer.adapt(TEXTS)
    rows = list(map(words_by_hand, TEXTS))
    vocabulary = ["", "[UNK]", *ranked_by_hand(rows)]
    assert layer.get_vocabulary() == vocabulary
    assert layer.get_vocabulary(include_special_tokens=False) == vocabulary[2:]
    assert layer.vocabulary_size() == len(vocabulary)
    longest = max(map(len, rows))
    ids = [[vocabulary.index(w) for w in row] + [0] * (longest - len(row)) for row in rows]
    made = layer(TEXTS)
    np.testing.assert_array_equal(made, ids)
    assert isinstance(made, np.ndarray)
    assert made.dtype == np.int64
    np.testing.assert_array_equal(layer(["cat zebra"]), [[vocabulary.index("cat"), 1]])


@pytest.mark.parametrize("kind", ["list", "column", "U", "S", "object", "bytes", "StringDType"])
def test_text_may_come_in_any_form(kind):
    layer = TextVectorization(vocabulary=["cat", "dog", "é"])
    plain = ["cat é", "dog"]
    forms = {
        "list": plain,
        "column": [[text] for text in plain],
        "U": np.array(plain),
        "S": np.char.encode(np.array(plain), "utf-8"),
        "object": np.array([[text] for text in plain], object),
        "bytes": [text.encode() for text in plain],
        "StringDType": np.array(plain, np.dtypes.StringDType()),
    }
    np.testing.assert_array_equal(layer(forms[kind]), [[2, 4], [3, 0]])


def test_one_text_gives_one_row_without_a_batch():
    layer = TextVectorization(vocabulary=["cat"])
    np.testing.assert_array_equal(layer("cat dog cat"), [2, 1, 2])
    assert TextVectorization(vocabulary=["cat"], output_sequence_length=5)("cat").shape == (5,)


@pytest.mark.parametrize(
    ("standardize", "split", "expected"),
    [
        ("lower", "whitespace", ["the", "cat!"]),
        ("strip_punctuation", "whitespace", ["The", "Cat"]),
        (None, "whitespace", ["The", "Cat!"]),
        ("lower", None, ["the  cat!"]),
        ("strip_punctuation", "character", list("The  Cat")),
        (np.char.upper, lambda texts: [text.split("E") for text in texts], ["TH", "  CAT!"]),
    ],
    ids=["lower", "strip", "nothing", "no split", "characters", "functions"],
)
def test_texts_are_standardized_and_split(standardize, split, expected):
    layer = TextVectorization(standardize=standardize, split=split)
    layer.adapt(["The  Cat!"])
    assert set(layer.get_vocabulary(include_special_tokens=False)) == set(expected)
    index = layer.get_vocabulary().index
    np.testing.assert_array_equal(layer(["The  Cat!"]).ravel(), [index(w) for w in expected])


def test_ngrams_come_width_by_width():
    layer = TextVectorization(vocabulary=["on", "a", "hill", "on a", "a hill"], ngrams=2)
    np.testing.assert_array_equal(layer(["on a hill", "a"]), [[2, 3, 4, 5, 6], [3, 0, 0, 0, 0]])
    layer = TextVectorization(vocabulary=["on a hill", "on"], ngrams=(3, 1))
    np.testing.assert_array_equal(layer(["on a hill"]), [[2, 3, 1, 1]])
    ready = TextVectorization(vocabulary=["x y", "x"], ngrams=(2,), split=None)
    np.testing.assert_array_equal(ready([["x", "y"], ["y", "x"]]), [[2], [1]])


def test_rows_are_cut_and_filled_to_the_wanted_length():
    layer = TextVectorization(vocabulary=["a", "b"], output_sequence_length=3)
    np.testing.assert_array_equal(layer(["a b a b", "b", ""]), [[2, 3, 2], [3, 0, 0], [0, 0, 0]])
    ready = TextVectorization(vocabulary=["a"], output_sequence_length=3, split=None)
    np.testing.assert_array_equal(ready([["a", "z"]]), [[2, 1, 0]])


def test_bags_and_tf_idf_of_texts_are_those_by_hand():
    rows = list(map(words_by_hand, TEXTS))
    for mode in ("multi_hot", "count", "tf_idf"):
        layer = TextVectorization(max_tokens=20, output_mode=mode, pad_to_max_tokens=True)
        layer.adapt(np.array(TEXTS))
        vocabulary = layer.get_vocabulary()
        expected = bag_by_hand(rows, {w: i for i, w in enumerate(vocabulary)}, 20, mode)
        if mode == "tf_idf":
            containing = [sum(w in row for row in rows) for w in vocabulary[1:]]
            weights = [math.log(1 + len(rows) / (1 + n)) for n in containing]
            expected *= [np.mean(weights), *weights, *[0] * (20 - len(vocabulary))]
        made = layer(TEXTS)
        assert made.dtype == np.float32
        np.testing.assert_allclose(made, expected, rtol=1e-6)  # float32 weights
        unknown = layer(["zebra"])
        assert unknown[0, 0] > 0
        assert not unknown[0, 1:].any()


def test_one_hot_of_texts_fills_with_zeros():
    made = TextVectorization(vocabulary=["a"], output_mode="one_hot")(["a z", "a"])
    np.testing.assert_array_equal(made, [[[0, 1], [1, 0]], [[0, 1], [0, 0]]])


# --- StringLookup --------------------------------------------------------------------------------


def test_outputs_of_lookup_are_those_by_hand():
    ranked = ranked_by_hand(TAGS)
    plain = StringLookup()
    plain.adapt(TAGS)
    assert plain.get_vocabulary() == ["[UNK]", *ranked]
    np.testing.assert_array_equal(plain([["a", "z"]]), [[plain.get_vocabulary().index("a"), 0]])
    assert plain("b").shape == ()
    assert plain(["b"]).shape == (1,)
    assert plain([]).shape == (0,)
    for mode in ("multi_hot", "count"):
        layer = StringLookup(vocabulary=["a", "b", "c"], mask_token="m", output_mode=mode)
        rows = [["a", "m", "a"], [], ["z", "c"]]
        places = {"z": 0, "a": 1, "b": 2, "c": 3}
        np.testing.assert_array_equal(layer(rows), bag_by_hand(rows, places, 4, mode))
        np.testing.assert_array_equal(layer(["a", "c"]), [0, 1, 0, 1])
    hot = StringLookup(vocabulary=["a", "b"], output_mode="one_hot")
    np.testing.assert_array_equal(hot([["a"], ["z"]]), [[0, 1, 0], [1, 0, 0]])
    assert hot([["a", "b"]]).shape == (1, 2, 3)


def test_special_tokens_take_the_first_places():
    layer = StringLookup(vocabulary=["a"], mask_token="", num_oov_indices=2)
    assert layer.get_vocabulary() == ["", "[UNK]", "[UNK]", "a"]
    ids = layer(["", "a", *string.ascii_uppercase])
    assert list(ids[:2]) == [0, 3]
    assert set(ids[2:]) == {1, 2}
    again = StringLookup(vocabulary=layer.get_vocabulary(), mask_token="", num_oov_indices=2)
    assert again.get_vocabulary() == layer.get_vocabulary()
    salted = StringLookup(vocabulary=["a"], mask_token="", num_oov_indices=2, salt=7)
    assert list(salted(list(string.ascii_uppercase))) != list(ids[2:])


def test_inversion_gives_the_texts_back():
    forward = StringLookup(vocabulary=["a", "b"], mask_token="")
    back = StringLookup(vocabulary=forward.get_vocabulary(), mask_token="", invert=True)
    texts = np.array([["a", "b"], ["", "z"]])
    np.testing.assert_array_equal(back(forward(texts)), [["a", "b"], ["", "[UNK]"]])
    np.testing.assert_array_equal(back(jnp.array([2, 99])), ["a", "[UNK]"])


def test_adapt_reads_datasets_and_keeps_the_most_frequent():
    layer = StringLookup(max_tokens=3)
    layer.adapt(lambda: (np.array(row) for row in TAGS))
    assert layer.get_vocabulary() == ["[UNK]", "a", "b"]
    layer.adapt((([row], 1) for row in TAGS), steps=1)  # batches (x, y); replaces what was there
    assert layer.get_vocabulary() == ["[UNK]", "b", "a"]
    layer.adapt(("q", "r", "q"))
    assert layer.get_vocabulary() == ["[UNK]", "q", "r"]


def test_hashes_differ_in_every_length_class_and_stay():
    names = ["", "a", "abcd", "abcdefghi", "x" * 20, "x" * 40, "x" * 70, "x" * 140]
    layer = StringLookup(vocabulary=["-"], num_oov_indices=10**6)
    salted = StringLookup(vocabulary=["-"], num_oov_indices=10**6, salt=(1, 2))
    assert len({*layer(names), *salted(names)}) == 2 * len(names)
    # Fixed: models are trained on these places. The numbers are TensorFlow's.
    assert layer(["kgraph"]) == [785686]
    assert salted(["kgraph"]) == [334881]


# --- IntegerLookup -------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count", "tf_idf"])
@pytest.mark.parametrize("mask", [None, 5])
def test_integers_are_looked_up_equally_on_the_host_and_traced(mode, mask):
    layer = IntegerLookup(output_mode=mode, mask_token=mask, num_oov_indices=2)
    hashing = IntegerLookup(vocabulary=[7], num_oov_indices=5, oov_method="farmhash")
    layer.adapt([[30, 5, -20], [7, 7, 7]])
    data = np.array([[30, 8], [5, 7], [-20, -9]])
    made = layer(data)
    assert isinstance(made, np.ndarray)
    np.testing.assert_allclose(made, layer(jnp.asarray(data)), rtol=1e-6)
    np.testing.assert_array_equal(hashing(data), hashing(jnp.asarray(data)))
    order = [7, 30, 5, -20] if mask is None else [7, 30, -20]  # ties: the larger first
    specials = [] if mask is None or mode != "int" else [5]
    assert layer.get_vocabulary() == [*specials, -1, -1, *order]
    if mode == "int":
        start = len(specials)
        places = {value: start + 2 + i for i, value in enumerate(order)} | {8: start, -9: start + 1}
        places |= {} if mask is None else {5: 0}
        np.testing.assert_array_equal(made, np.vectorize(places.get)(data))


def test_host_lookup_is_exact_beyond_32_bits():
    big = 2**40
    layer = IntegerLookup(vocabulary=[big, big + 2**32])
    np.testing.assert_array_equal(layer([big, big + 2**32, 0]), [1, 2, 0])
    back = IntegerLookup(vocabulary=[big], invert=True)
    np.testing.assert_array_equal(back([[1, 0]]), [[big, -1]])
    with pytest.raises(GraphError, match=r"(?s)in a graph.*values that fit int32.*before fit"):
        layer(Input((), dtype="int32"))


def test_a_model_has_a_lookup_inside_and_keeps_it(tmp_path):
    lookup = IntegerLookup(num_oov_indices=0)
    lookup.adapt([10, 20, 30])
    ids = Input((None,), dtype="int32")
    x = Embedding(lookup.vocabulary_size(), 2)(lookup(ids))
    model = kgraph.Model(ids, Dense(1)(GlobalAveragePooling1D()(x)))
    data = np.array([[10, 30], [20, 20]])
    expected = model.predict(data, verbose=0)
    model.save(tmp_path / "m.kgraph")
    loaded = kgraph.models.load_model(tmp_path / "m.kgraph")
    np.testing.assert_array_equal(loaded.predict(data, verbose=0), expected)
    copy = kgraph.models.clone_model(model)
    assert copy.layers[1].get_vocabulary() == [30, 20, 10]
    with pytest.raises(DataError, match=r"(?s)does not know 1 of the values.*received  7"):
        model.predict(np.array([[10, 7]]), verbose=0)
    with pytest.raises(DataError, match=r"(?s)values in a graph.*int32.*received  4294967306"):
        model.predict(np.array([[10, 2**32 + 10]]), verbose=0)
    with pytest.raises(StateError, match="part of a graph, so its vocabulary cannot change"):
        lookup.adapt([1])


# --- config --------------------------------------------------------------------------------------


@kgraph.saving.register_keras_serializable("test_text")
def shouted(texts):
    return np.char.upper(texts)


@pytest.mark.parametrize(
    ("layer", "data"),
    [
        (TextVectorization(output_mode="tf_idf", standardize=shouted, ngrams=(1, 2)), TEXTS),
        (StringLookup(num_oov_indices=2, salt=3, mask_token="a"), TAGS),
        (IntegerLookup(output_mode="tf_idf", mask_token=2), [[1, 2], [1, 3]]),
    ],
    ids=["text", "string", "integer"],
)
def test_a_config_holds_what_was_learned(layer, data):
    assert layer.get_config()["vocabulary"] is None
    layer.adapt(data)
    written = json.loads(json.dumps(serialize("layer", layer)))
    again = deserialize("layer", written)
    assert again.get_config() == layer.get_config()
    np.testing.assert_array_equal(again(data), layer(data))


def test_a_vocabulary_file_is_read_once_and_never_named_in_a_config(tmp_path):
    file = tmp_path / "words.txt"
    file.write_bytes("é\r\nb\n".encode())
    layer = StringLookup(vocabulary=str(file))
    numbers = tmp_path / "numbers.txt"
    numbers.write_text("7\n5")
    assert IntegerLookup(vocabulary=numbers).get_vocabulary() == [-1, 7, 5]
    file.unlink()
    assert layer.get_config()["vocabulary"] == ["[UNK]", "é", "b"]
    assert "words.txt" not in json.dumps(layer.get_config())
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="reads vocabularies in UTF-8"):
        StringLookup(vocabulary=file)
    with pytest.raises(ConfigError, match="cannot read the file"):
        StringLookup(vocabulary="no such file")
    config = {**layer.get_config(), "vocabulary": str(numbers)}
    for cls in (StringLookup, TextVectorization, IntegerLookup):
        with pytest.raises(ConfigError, match="holds its vocabulary itself, never a path"):
            cls.from_config(config)


def test_a_file_may_not_be_huge(tmp_path, monkeypatch):
    monkeypatch.setattr("kgraph.layers.text.vocabulary._FILE_LIMIT", 3)
    (tmp_path / "words.txt").write_text("abc\n")
    with pytest.raises(ConfigError, match="vocabularies of at most"):
        StringLookup(vocabulary=tmp_path / "words.txt")


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [StringLookup, TextVectorization])
def test_text_in_a_graph_is_refused_with_what_to_write_instead(cls):
    layer = cls(vocabulary=["a"])
    wanted = r"(?s)text stays on the host.*test_text\.py.*ids = layer\(texts\).*data\.mapped"
    with pytest.raises(GraphError, match=wanted):
        layer(Input((1,), name="title"))
    with pytest.raises(GraphError, match="text stays on the host"):
        kgraph.Sequential([Input((1,)), layer, Dense(1)])

    class Outer(kgraph.layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = layer

        def call(self, inputs):
            return self.inner(inputs)

    with pytest.raises(GraphError, match="text stays on the host"):
        Outer()(np.ones((1, 1), np.float32))


@pytest.mark.parametrize(
    ("cls", "options", "text"),
    [
        (StringLookup, {"vocabulary": []}, "empty vocabulary"),
        (StringLookup, {"vocabulary": ["a", "a"]}, "values twice"),
        (StringLookup, {"vocabulary": ["a", ""], "mask_token": ""}, "special token among"),
        (StringLookup, {"vocabulary": ["a", "[UNK]"], "invert": True}, "oov_token among"),
        (StringLookup, {"vocabulary": [1]}, "takes text as tokens"),
        (StringLookup, {"vocabulary": ["a", "b"], "max_tokens": 2}, "room for 2 tokens"),
        (StringLookup, {"max_tokens": 1}, "`max_tokens`"),
        (StringLookup, {"num_oov_indices": -1}, "`num_oov_indices`"),
        (StringLookup, {"output_mode": "hot"}, "`output_mode`"),
        (StringLookup, {"sparse": True, "output_mode": "count"}, "sparse=True"),
        (StringLookup, {"pad_to_max_tokens": True}, "pad_to_max_tokens=True without"),
        (StringLookup, {"invert": True, "output_mode": "count"}, "invert=True with"),
        (StringLookup, {"idf_weights": [1.0]}, "`idf_weights` without"),
        (StringLookup, {"vocabulary": ["a"], "output_mode": "tf_idf"}, "takes `idf_weights`"),
        (StringLookup, {"salt": (1, 2, 3)}, "one or two numbers"),
        (IntegerLookup, {"vocabulary": ["x"]}, "integers of 64 bits"),
        (IntegerLookup, {"vocabulary": [2**63]}, "integers of 64 bits"),
        (IntegerLookup, {"vocabulary_dtype": "int32"}, "`vocabulary_dtype`"),
        (IntegerLookup, {"oov_method": "md5"}, "`oov_method`"),
        (IntegerLookup, {"salt": 1}, "`salt` with oov_method"),
        (TextVectorization, {"ragged": True}, "ragged=True"),
        (TextVectorization, {"standardize": "upper"}, "`standardize`"),
        (TextVectorization, {"split": "lines"}, "`split`"),
        (TextVectorization, {"ngrams": 0}, "`ngrams`"),
        (TextVectorization, {"output_sequence_length": 0}, "`output_sequence_length`"),
        (
            TextVectorization,
            {"output_sequence_length": 2, "output_mode": "count"},
            "`output_sequence_length` with",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(cls, options, text):
    with pytest.raises(ConfigError, match=text):
        cls(**options)


@pytest.mark.parametrize(
    ("layer", "data", "text"),
    [
        (StringLookup(vocabulary=["a"]), np.ones(2), "reads text"),
        (StringLookup(vocabulary=["a"]), ["a", None], "at position 1"),
        (StringLookup(vocabulary=["a"]), np.array(["a", np.nan], object), "fill missing values"),
        (StringLookup(vocabulary=["a"]), [b"\xff"], "bytes at position 0"),
        (StringLookup(vocabulary=["a"]), [["a"], ["a", "a"]], "rows of 1 to 2 values"),
        (StringLookup(vocabulary=["a"]), ["a", ["a"]], "lists of this form"),
        (StringLookup(vocabulary=["a"], num_oov_indices=0), ["a", "z"], "received  'z'"),
        (IntegerLookup(vocabulary=[1]), ["a"], "StringLookup reads text"),
        (IntegerLookup(vocabulary=[1]), [1, 1.5], "whole numbers"),
        (TextVectorization(vocabulary=["a"]), [["a", "b"]], "split=None"),
        (
            TextVectorization(vocabulary=["a"], split=lambda texts: [["a"]]),
            ["a", "b"],
            "function `split`",
        ),
    ],
    ids=range(11),
)
def test_data_that_cannot_be_read_are_refused(layer, data, text):
    with pytest.raises(DataError, match=text):
        layer(data)


def test_a_layer_says_that_it_knows_nothing_yet():
    with pytest.raises(StateError, match="has not been adapted"):
        TextVectorization()(["a"])
    with pytest.raises(StateError, match="has not been adapted"):
        IntegerLookup()(Input((), dtype="int32"))
    with pytest.raises(DataError, match="found no value to learn"):
        TextVectorization().adapt(["", "!"])
