"""FeatureSpace by hand; another file compares it with Keras', where TensorFlow is installed."""

from __future__ import annotations

import numpy as np
import pytest

import kgraph
from kgraph.errors import ConfigError, DataError, GraphError, NotYetError
from kgraph.utils import FeatureSpace

COLUMNS = {
    "size": [1.0, 2.0, 3.0, 6.0],
    "age": [10, 20, 20, 50],
    "kind": ["b", "a", "b", "b"],
    "code": [7, 3, 7, 7],
}


def test_each_kind_of_feature_by_hand():
    space = FeatureSpace(
        {
            "a": "float",
            "b": FeatureSpace.float_rescaled(2.0, 1.0),
            "c": "float_normalized",
            "d": FeatureSpace.float_discretized(3, bin_boundaries=[1.5, 4.0]),
            "e": FeatureSpace.integer_categorical(output_mode="int"),
            "f": "string_categorical",
            "g": FeatureSpace.integer_hashed(5, output_mode="int"),
            "h": FeatureSpace.string_hashed(4),
        },
        output_mode="dict",
    )
    sizes, codes, kinds = COLUMNS["size"], COLUMNS["code"], COLUMNS["kind"]
    columns = dict(zip("abcdefgh", (sizes,) * 4 + (codes, kinds, codes, kinds), strict=True))
    space.adapt(columns)
    found = {name: np.asarray(item) for name, item in space(columns).items()}
    assert list(found) == list("abcdefgh")
    assert found["a"].ravel().tolist() == sizes
    assert found["b"].ravel().tolist() == [3.0, 5.0, 7.0, 13.0]
    deviation = np.std(sizes)
    np.testing.assert_allclose(found["c"].ravel(), (np.array(sizes) - 3) / deviation, rtol=1e-6)
    assert found["d"].tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert found["e"].ravel().tolist() == [1, 2, 1, 1]  # unknown, 7, 3
    assert found["f"].tolist() == [[0, 1, 0], [0, 0, 1], [0, 1, 0], [0, 1, 0]]  # unknown, b, a
    bins = kgraph.layers.Hashing(5)(np.array(codes))
    assert found["g"].ravel().tolist() == np.asarray(bins).tolist()
    one_hot = kgraph.layers.Hashing(4, output_mode="one_hot")(np.array(kinds))
    np.testing.assert_array_equal(found["h"], one_hot)


def test_crosses_are_bins_of_what_the_layers_make_and_stand_behind():
    space = FeatureSpace(
        {"kind": "string_categorical", "code": "integer_categorical"},
        crosses=[("kind", "code")], crossing_dim=6,
    )  # fmt: skip
    columns = {name: COLUMNS[name] for name in ("kind", "code")}
    space.adapt(columns)
    crossed = kgraph.layers.HashedCrossing(6, output_mode="one_hot")
    expected = crossed([np.array([1, 2, 1, 1]), np.array([1, 2, 1, 1])])
    np.testing.assert_array_equal(space(columns)[:, 6:], expected)
    assert list(space.crossers) == ["kind_X_code"]


def test_a_single_row_has_no_batch_axis():
    space = FeatureSpace({"size": "float", "code": "integer_hashed"}, hashing_dim=4)
    assert space({"size": 1.0, "code": 7}).shape == (5,)
    assert space({"size": [1.0, 2.0], "code": [7, 8]}).shape == (2, 5)
    assert space({"size": [[1.0], [2.0]], "code": [[7], [8]]}).shape == (2, 5)


@pytest.mark.parametrize("whole", [True, False])
def test_it_adapts_to_batches_as_to_all_at_once(whole):
    parts = [{k: np.asarray(v[i : i + 2]) for k, v in COLUMNS.items()} for i in (0, 2)]
    space = FeatureSpace(
        {"size": "float_normalized", "age": "float_discretized", "kind": "string_categorical",
         "code": "integer_categorical"}, num_discretization_bins=2,
    )  # fmt: skip
    space.adapt(COLUMNS if whole else lambda: iter(parts))
    assert space.preprocessors["kind"].get_vocabulary() == ["[UNK]", "b", "a"]
    assert space.preprocessors["code"].get_vocabulary() == [-1, 7, 3]
    np.testing.assert_allclose(space.preprocessors["size"].mean.numpy(), [3.0])
    assert space(COLUMNS).shape == (4, 2 + 3 + 3 + 1)


def test_a_model_of_the_columns_and_one_of_the_vectors_share_their_layers():
    space = FeatureSpace({"size": "float_normalized", "code": "integer_categorical"})
    columns = {name: np.array(COLUMNS[name]) for name in ("size", "code")}
    space.adapt(columns)
    encoded = space.get_encoded_features()
    assert encoded is space.get_encoded_features()
    outputs = kgraph.layers.Dense(1)(encoded)
    of_vectors = kgraph.Model(encoded, outputs)
    of_columns = kgraph.Model(space.get_inputs(), outputs)
    of_vectors.compile("sgd", "mse")
    of_vectors.fit(np.asarray(space(columns)), np.ones((4, 1)), verbose=0)
    np.testing.assert_allclose(
        of_columns.predict({k: v[:, None] for k, v in columns.items()}, verbose=0),
        of_vectors.predict(np.asarray(space(columns)), verbose=0), rtol=1e-5,
    )  # fmt: skip


def test_a_model_takes_what_becomes_of_text():
    space = FeatureSpace({"size": "float", "kind": "string_categorical"}, output_mode="dict")
    columns = {name: COLUMNS[name] for name in ("size", "kind")}
    space.adapt(columns)
    encoded = space.get_encoded_features()
    assert {name: item.shape for name, item in encoded.items()} == {
        "size": (None, 1), "kind": (None, 3),
    }  # fmt: skip
    model = kgraph.Model(encoded, kgraph.layers.Concatenate()(list(encoded.values())))
    assert model.predict(space(columns), verbose=0).shape == (4, 4)
    with pytest.raises(GraphError, match=r"text[\s\S]*kind[\s\S]*get_encoded_features"):
        space.get_inputs()


def test_what_is_learned_anew_is_described_anew():
    space = FeatureSpace({"kind": "string_categorical"})
    widths = []
    for kinds in (["a", "b"], ["a", "b", "c", "d"]):
        space.adapt({"kind": kinds})
        widths.append(space.get_encoded_features().shape[-1])
    assert widths == [3, 5]  # one for what is unknown


def test_a_file_holds_what_was_learned(tmp_path):
    space = FeatureSpace(
        {"size": "float_normalized", "age": FeatureSpace.float_discretized(2),
         "kind": "string_categorical", "code": FeatureSpace.integer_hashed(4)},
        crosses=[FeatureSpace.cross(("kind", "code"), 5)],
    )  # fmt: skip
    space.adapt(COLUMNS)
    space.save(tmp_path / "space.keras")
    back = kgraph.models.load_model(tmp_path / "space.keras")
    np.testing.assert_array_equal(back(COLUMNS), space(COLUMNS))
    with pytest.raises(ConfigError, match=r"ends in \.keras"):
        space.save(tmp_path / "space.kgraph")
    again = FeatureSpace.from_config(space.get_config())
    assert again.preprocessors["kind"].get_vocabulary() == ["[UNK]", "b", "a"]


def test_a_layer_of_the_users_own_prepares_a_feature():
    words = kgraph.layers.TextVectorization(output_mode="multi_hot")
    space = FeatureSpace({"text": FeatureSpace.feature("string", words, "float")})
    space.adapt({"text": ["a b", "b c"]})
    assert space({"text": ["a b"]}).shape == (1, 4)
    one_hot = FeatureSpace({"text": FeatureSpace.feature("string", words, "one_hot")})
    with pytest.raises(ConfigError, match=r"'text'[\s\S]*one-hot"):
        one_hot({"text": ["a b"]})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FeatureSpace({}), "features"),
        (lambda: FeatureSpace({"a": "floaty"}), r"floaty[\s\S]*float"),
        (lambda: FeatureSpace({"a": "float"}, output_mode="vector"), "output_mode"),
        (lambda: FeatureSpace({"a": "float"}, crosses=[("a", "b")]), r"crosses[\s\S]*'b'"),
        (lambda: FeatureSpace.cross(("a", "b"), 0), "crossing_dim"),
        (lambda: FeatureSpace.feature("float32", len, "float"), "layer"),
    ],
)
def test_options_that_do_not_fit_are_named(make, words):
    with pytest.raises(ConfigError, match=words):
        make()


def test_data_that_does_not_fit_is_named():
    space = FeatureSpace({"size": "float", "kind": "string_categorical"})
    with pytest.raises(NotYetError, match="adapt"):
        space({"size": [1.0], "kind": ["a"]})
    with pytest.raises(DataError, match=r"columns[\s\S]*kind[\s\S]*size"):
        space({"size": [1.0]})
    with pytest.raises(DataError, match="columns"):
        space([1.0])
    with pytest.raises(DataError, match=r"dicts[\s\S]*'kind'"):
        space.adapt({"size": [1.0]})
    mixed = FeatureSpace({"code": FeatureSpace.integer_hashed(4, output_mode="int")})
    with pytest.raises(ConfigError, match=r"one vector[\s\S]*code[\s\S]*dict"):
        mixed({"code": [1]})
