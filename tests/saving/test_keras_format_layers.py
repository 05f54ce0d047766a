"""Every row of the table of layers goes to kgraph and back, many layers in one file."""

from __future__ import annotations

import sys
import zlib
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import pytest
from keras_models import OLDER, relaxed

import kgraph

sys.path.insert(0, str(Path(__file__).parents[1] / "layers"))
from cases import Case, all_cases

SKIPPED = {
    "group_query_attention",  # Keras refuses symbols of these sizes: model `grouped_attention`
    "reversible_embedding reverse",  # needs its other call before: model `tied_embedding`
}
"""Beginnings of the names of cases that are left out."""
OTHER_BEFORE = {
    "conv1d_transpose", "conv2d_transpose", "conv3d_transpose",  # other padding in some of them
    "layer_normalization two axes",  # other order of the axes of its weights
}  # fmt: skip
"""Beginnings of the names of cases in which Keras 3.12 computes something else."""


def is_known(case: Case) -> bool:
    """Tells whether this Keras has the layer, which an older one may not."""
    if OLDER and case.id.startswith(tuple(OTHER_BEFORE)):
        return False
    try:
        case.make(keras.layers)
    except (AttributeError, ValueError):
        if OLDER:
            return False
        raise
    return True


EXCHANGED = [
    case
    for case in all_cases()
    if case.keras and is_known(case) and not any(case.id.startswith(s) for s in SKIPPED)
]
SAMPLE = [case for case in EXCHANGED if case.id in {
    "dense relu", "conv2d same strides", "conv1d causal", "lstm masked", "gru reset before",
    "bidirectional gru", "time_distributed dense", "stacked cells", "multi_head_attention",
    "embedding mask", "prelu", "separable_conv2d valid", "masking", "conv_lstm1d",
}]  # fmt: skip
CHUNKS = {f"rows {i}": EXCHANGED[i : i + 25] for i in range(0, len(EXCHANGED), 25)}


def tensors(case: Case) -> tuple[list[Any], list[np.ndarray]]:
    """Returns Keras' inputs for a case, and arrays for them."""
    rng = np.random.default_rng(zlib.crc32(case.id.encode()))
    inputs, arrays = [], []
    for tensor in case.inputs:
        shape = tuple(None if isinstance(n, str) else n for n in tensor.shape)
        inputs.append(keras.Input(shape, dtype=tensor.dtype))
        sizes = (3, *(5 if n is None else n for n in shape))
        kind, _, limit = tensor.kind.partition(" ")
        if limit:
            arrays.append(rng.integers(0, int(limit), sizes).astype(kind))
        elif kind == "bool":
            arrays.append(rng.random(sizes) > 0.4)
        else:
            arrays.append(rng.uniform(0.1, 1, sizes).astype("float32"))
            if tensor.mask:
                arrays[-1][0, -1] = 0
    return inputs, arrays


def masked(case: Case, inputs: list[Any]) -> list[Any]:
    maskable = [t.mask and len(t.shape) == 2 and t.dtype == "float32" for t in case.inputs]
    return [keras.layers.Masking()(x) if m else x for x, m in zip(inputs, maskable, strict=True)]


def build(cases: list[Case]) -> tuple[Any, list[np.ndarray], list[str]]:
    inputs, arrays, outputs, names = [], [], [], []
    for case in cases:
        own, values = tensors(case)
        args, kwargs = case.arrange(masked(case, own))
        made = keras.tree.flatten(case.make(keras.layers)(*args, **kwargs))
        inputs, arrays, outputs = inputs + own, arrays + values, outputs + made
        names += [case.id] * len(made)
    return keras.Model(inputs, outputs), arrays, names


@pytest.mark.parametrize(
    "cases",
    [
        pytest.param(SAMPLE, id="sample"),
        *(pytest.param(c, id=i, marks=pytest.mark.slow) for i, c in CHUNKS.items()),
    ],
)
def test_rows_keep_their_numbers(cases: list[Case], tmp_path: Path):
    first, second = tmp_path / "first.keras", tmp_path / "second.keras"
    rng = np.random.default_rng(2)
    with relaxed():
        theirs, arrays, names = build(cases)
        theirs.set_weights(
            [rng.uniform(0.1, 0.5, w.shape).astype(w.dtype) for w in theirs.get_weights()]
        )
        for layer in theirs.layers:
            if isinstance(layer, keras.layers.Normalization):
                layer.finalize_state()  # else it has not noticed the new weights
        theirs.save(first)
        expected = keras.tree.flatten(theirs.predict(arrays, verbose=0))
    ours = kgraph.models.load_model(first)
    with relaxed():
        found = ours.predict(arrays, verbose=0)
    ours.save(second)
    with relaxed():
        again = keras.saving.load_model(second)
    for one, two in zip(again.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert again.count_params() == theirs.count_params()
    for name, one, two in zip(names, jax.tree.leaves(found), expected, strict=True):
        scale = max(1.0, float(np.abs(two).max(initial=0)))
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=2e-6 * scale, err_msg=name)
