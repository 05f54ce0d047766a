"""What a user reads when a layer cannot be made or called: names, lines, and what to do."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from kgraph.errors import ConfigError, DataError, GraphError, StateError
from kgraph.layers.activation import LeakyReLU, PReLU, ReLU, Softmax
from kgraph.layers.base import Input
from kgraph.layers.core import Activation, Dense, Embedding, Lambda
from kgraph.layers.merging import Add, Concatenate, Dot, Subtract, add
from kgraph.layers.regularization import Dropout, GaussianDropout, GaussianNoise, SpatialDropout2D
from kgraph.layers.reshaping import (
    Cropping1D,
    Cropping2D,
    Permute,
    RepeatVector,
    Reshape,
    UpSampling2D,
    ZeroPadding2D,
)


def here() -> int:
    """Returns the line that calls this."""
    return inspect.currentframe().f_back.f_lineno


def lines_of(error: pytest.ExceptionInfo) -> dict[str, list[str]]:
    """Returns a message by its labels: `what`, `at`, `made`, `expected`, `received`, `try`."""
    found: dict[str, list[str]] = {"what": []}
    label = "what"
    for row in str(error.value).split("\n"):
        if row.startswith("  ") and row[2] != " ":
            label, row = row[2:].split(maxsplit=1)
            found[label] = []
        found[label].append(row.strip())
    return found


def test_wrong_rank():
    vector = Input((), name="number")
    made = here() - 1
    with pytest.raises(GraphError) as error:
        Dense(4, name="head")(vector)
    text = lines_of(error)
    assert text["what"] == ["'head' (Dense) cannot take an input with 1 axes"]
    assert f"test_layer_errors.py:{here() - 3}" in text["at"][0]
    assert 'Dense(4, name="head")(vector)' in text["at"][0]
    assert text["made"] == [
        "'number' [batch] float32 at tests/layers/test_layer_errors.py:"
        f'{made}  vector = Input((), name="number")'
    ]
    assert text["expected"] == ["at least 2 axes, the batch axis among them"]
    assert text["received"] == ["[batch] from 'number'"]
    assert "Input" in text["try"][0]


def test_shared_layer_with_another_width():
    head = Dense(10, name="head")
    head(Input((64,)))
    pool = Input((32,), name="pool")
    with pytest.raises(GraphError) as error:
        head(pool)
    text = lines_of(error)
    assert text["what"] == [
        "'head' (Dense) already has parameters for 64 features and cannot be shared with 32"
    ]
    assert f"test_layer_errors.py:{here() - 5}  head(pool)" in text["at"][0]
    assert f"test_layer_errors.py:{here() - 8}" in text["made"][0]
    assert text["expected"] == ["[batch, 64]"]
    assert text["received"] == ["[batch, 32] from 'pool'"]
    assert text["try"] == ["give this call its own Dense, or bring 'pool' to 64 features"]


def test_wrong_width_on_arrays_says_the_same_without_lines():
    head = Dense(10, name="head")
    head(np.ones((2, 64), "float32"))
    with pytest.raises(GraphError, match=r"parameters for 64 features[\s\S]*received +\[2, 32\]"):
        head(np.ones((2, 32), "float32"))


def test_unknown_feature_size():
    with pytest.raises(GraphError) as error:
        Dense(4, name="head")(Input((None,)))
    text = lines_of(error)
    assert text["what"] == ["'head' (Dense) needs known sizes for its weight 'kernel'"]
    assert "Input(shape=...)" in text["try"][0]
    assert f"test_layer_errors.py:{here() - 4}" in text["at"][0]


def test_mismatched_merge():
    left, right = Input((4, 3), name="left"), Input((5, 3), name="right")
    with pytest.raises(GraphError) as error:
        Add(name="sum")([left, right])
    text = lines_of(error)
    assert text["what"] == ["'sum' (Add) cannot bring its inputs together: sizes differ on axis 1"]
    assert text["expected"] == ["equal sizes, or 1"]
    assert text["received"] == [
        "[batch, 4, 3] as input 0, from 'left'",
        "[batch, 5, 3] as input 1, from 'right'",
    ]
    assert f"test_layer_errors.py:{here() - 8}" in text["at"][0]
    assert [row.split()[0] for row in text["made"]] == ["'left'", "'right'"]
    assert "try" not in text


def test_merge_of_two_unknown_sizes():
    first, second = Input((None, 3)), Input(("steps", 3))
    with pytest.raises(GraphError) as error:
        add([first, second])
    text = lines_of(error)
    assert text["received"][0] == "[batch, ?, 3] as input 0, from 'input_layer'"
    assert text["try"] == [
        "if the two sizes are always equal, say so where they enter: "
        'give them one name, Input(("time", 64)) on both'
    ]
    assert add([Input(("time", 3)), Input(("time", 3))]).symbolic_shape == ("batch", "time", 3)


def test_merge_of_an_unknown_size_and_a_number():
    with pytest.raises(GraphError, match="give the number 5 to Input"):
        Add()([Input(("time", 3)), Input((5, 3))])


def test_merge_after_a_shift_of_one_size():
    time = Input(("time", 3))
    with pytest.raises(GraphError, match=r"\[batch, time - 2, 3\] as input 1"):
        Add()([time, Cropping1D(1)(time)])


def test_concatenate_of_other_sizes_and_ranks():
    with pytest.raises(GraphError, match=r"sizes differ on axis 1[\s\S]*expected +equal sizes\n"):
        Concatenate()([Input((4, 3)), Input((1, 3))])
    with pytest.raises(GraphError, match=r"on axis -1[\s\S]*received +3 axes, 2 axes"):
        Concatenate()([Input((4, 3)), Input((3,))])


def test_dot_of_other_sizes():
    with pytest.raises(GraphError, match="sizes differ on axis 1"):
        Dot(1)([Input((4,)), Input((5,))])
    with pytest.raises(GraphError, match="sums over axis 2 of input 1"):
        Dot(2)([Input((4, 3)), Input((3,))])


def test_number_of_merged_inputs():
    one = Input((3,))
    with pytest.raises(GraphError, match=r"takes exactly 2 tensors[\s\S]*received +3 tensors"):
        Subtract()([one, one, one])
    with pytest.raises(GraphError, match=r"takes a list of tensors[\s\S]*try +Add\(\)\(\[a, b\]\)"):
        Add()(one)
    with pytest.raises(GraphError, match=r"takes a list of tensors[\s\S]*received .*str"):
        Add()([one, "other"])


def test_argument_that_is_no_tensor():
    with pytest.raises(GraphError) as error:
        Dense(4, name="head")("words")
    text = lines_of(error)
    assert text["what"] == ["'head' (Dense) needs a tensor as its first argument"]
    assert text["received"] == ["'words' (str)"]


def test_argument_that_the_call_does_not_have():
    with pytest.raises(
        GraphError, match=r"'dense' \(Dense\) cannot be called like this[\s\S]*call"
    ):
        Dense(4)(Input((3,)), state=1)


def test_unknown_option():
    with pytest.raises(ConfigError) as error:
        Dense(4, activaton="relu")
    text = lines_of(error)
    assert text["what"] == ["Dense has no option 'activaton'"]
    assert text["try"] == ["did you mean 'activation'?"]
    with pytest.raises(ConfigError, match="no option 'quantization_config'"):
        Dense(4, **{"quantization_config": 2})


def test_unknown_name_of_an_option_value():
    with pytest.raises(ConfigError, match=r"'rleu'[\s\S]*did you mean 'relu"):
        Dense(4, activation="rleu")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Dense(0), r"Dense .*`units`[\s\S]*at least 1[\s\S]*received +0"),
        (lambda: Dense(2.5), r"Dense .*`units`[\s\S]*received +2.5"),
        (lambda: Dense(True), r"Dense .*`units`[\s\S]*received +True"),
        (lambda: Dense(4, name="a/b"), r"cannot be named 'a/b'"),
        (lambda: Dense(4, dtype="float31"), r"float31"),
        (lambda: Embedding(-1, 4), r"Embedding .*`input_dim`"),
        (lambda: Activation("nothing"), r"No activation is known as 'nothing'"),
        (lambda: ReLU(max_value=-1), r"ReLU .*`max_value`"),
        (lambda: LeakyReLU(None), r"LeakyReLU .*`negative_slope`[\s\S]*received +None"),
        (lambda: PReLU(shared_axes=[0]), r"PReLU .*`shared_axes`[\s\S]*received +0"),
        (lambda: Dropout(1.5), r"Dropout .*`rate`[\s\S]*from 0 to 1[\s\S]*received +1.5"),
        (lambda: Dropout(float("nan")), r"Dropout .*`rate`[\s\S]*received +nan"),
        (lambda: Dropout(0.5, noise_shape=(0, 1)), r"`noise_shape`[\s\S]*received +\(0, 1\)"),
        (lambda: SpatialDropout2D(0.5, data_format="last"), r"SpatialDropout2D .*`data_format`"),
        (lambda: GaussianDropout(1.0), r"GaussianDropout cannot drop everything"),
        (lambda: GaussianNoise(-1), r"GaussianNoise .*`stddev`"),
        (lambda: Reshape((-1, -1)), r"`target_shape`[\s\S]*one may be -1"),
        (lambda: Permute((0, 1)), r"Permute needs each axis once[\s\S]*counted from 1"),
        (lambda: RepeatVector(0), r"RepeatVector .*`n`"),
        (lambda: Cropping2D((1, 2, 3)), r"Cropping2D .*`cropping`[\s\S]*\(1, 2, 3\)"),
        (lambda: ZeroPadding2D(-1), r"ZeroPadding2D .*`padding`[\s\S]*at least 0"),
        (lambda: UpSampling2D(0), r"UpSampling2D .*`size`"),
        (lambda: UpSampling2D(interpolation="cubic"), r"`interpolation`[\s\S]*try.*'bicubic'"),
        (lambda: Concatenate("last"), r"Concatenate .*`axis`"),
        (lambda: Dot(0), r"Dot .*`axes`[\s\S]*not 0, the batch"),
    ],
)
def test_option_values(make: Callable[[], Any], text: str):
    with pytest.raises(ConfigError, match=text):
        make()


def test_reshape_to_another_number_of_values():
    with pytest.raises(
        GraphError, match=r"keep the number of values[\s\S]*8 values[\s\S]*6 values"
    ):
        Reshape((4, 2))(Input((2, 3)))
    with pytest.raises(GraphError, match=r"a multiple of 4 values[\s\S]*6 values"):
        Reshape((-1, 4))(Input((2, 3)))


def test_cropping_everything():
    with pytest.raises(GraphError, match=r"leave nothing of axis 1[\s\S]*more than 3 values"):
        Cropping1D((1, 2))(Input((3, 4)))


def test_noise_shape_that_does_not_fit():
    with pytest.raises(ConfigError, match=r"`noise_shape` that does not fit[\s\S]*\(None, 1\)"):
        Dropout(0.5, noise_shape=(None, 1))(Input((3, 4)))


def test_softmax_mask_that_does_not_fit():
    with pytest.raises(GraphError, match=r"mask that does not fit[\s\S]*pass mask="):
        Softmax()(Input((3, 4)), mask=np.ones((2, 3), bool))


def test_lambda_takes_functions():
    assert Lambda(jnp.tanh)(Input((3,))).shape == (None, 3)
    with pytest.raises(ConfigError, match=r"needs a function as `function`[\s\S]*'tanh'"):
        Lambda("tanh")


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        (
            [[1, 7]],
            r"no row for 1 of 2 ids[\s\S]*from 0 to 6[\s\S]*7 at \[0, 1\][\s\S]*input_dim=8",
        ),
        ([[-1, 3]], r"from 0 to 6[\s\S]*-1 at \[0, 0\]"),
        ([[0.5, 3.0]], r"a whole number[\s\S]*0.5 at \[0, 0\]"),
        ([[1.0, float("nan")]], r"a whole number[\s\S]*nan at \[0, 1\]"),
    ],
)
def test_embedding_ids_are_checked_on_the_host(ids: list[list[float]], text: str):
    table = Embedding(7, 2, name="words")
    with pytest.raises(DataError, match=r"'words' \(Embedding\)[\s\S]*" + text):
        table.check_ids(np.array(ids))
    with pytest.raises(DataError, match=text):
        table(np.array(ids, dtype="float32" if isinstance(ids[0][0], float) else "int32"))
    table.check_ids(np.array([[0, 6]]))
    table.check_ids(np.zeros((0, 3), "int32"))


def test_weights_of_another_shape():
    with pytest.raises(StateError, match=r"cannot take this array as 'embeddings'"):
        Embedding(7, 2, weights=np.ones((2, 7), "float32"))
    dense = Dense(2)
    dense.build((None, 3))
    with pytest.raises(StateError, match=r"has 2 weights[\s\S]*1 arrays"):
        dense.set_weights([np.ones((3, 2))])
    with pytest.raises(StateError, match=r"'kernel'[\s\S]*\(3, 2\)[\s\S]*\(2, 3\)"):
        dense.set_weights([np.ones((2, 3)), np.ones(2)])
