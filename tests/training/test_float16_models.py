"""float16: which models get a loss scale, and attention on a CPU."""

from typing import Any

import numpy as np
import pytest

import kgraph
from kgraph import layers


class Two(kgraph.Model):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.dense = layers.Dense(2)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        return self.dense(inputs)


def functional(dtype: str) -> kgraph.Model:
    inputs = kgraph.Input((3,))
    return kgraph.Model(inputs, layers.Dense(2)(inputs), dtype=dtype)


@pytest.mark.parametrize("make", [functional, lambda dtype: Two(dtype=dtype)])
def test_a_models_own_dtype_decides_of_its_loss_scale(make: Any) -> None:
    for dtype, scaled in (("mixed_float16", True), ("mixed_bfloat16", False), ("float32", False)):
        model = make(dtype)
        model.compile("adam", "mse")
        assert isinstance(model.optimizer, kgraph.optimizers.LossScaleOptimizer) == scaled
        model.compile("adam", "mse", auto_scale_loss=False)
        assert not isinstance(model.optimizer, kgraph.optimizers.LossScaleOptimizer)


@pytest.mark.parametrize("make", [
    lambda x: layers.MultiHeadAttention(2, 4, dtype="mixed_float16")(x, x),
    lambda x: layers.GroupQueryAttention(4, 4, 2, dtype="mixed_float16")(
        x, x, use_causal_mask=True
    ),
])  # fmt: skip
def test_attention_trains_in_float16(make: Any) -> None:
    kgraph.utils.set_random_seed(8)
    inputs = kgraph.Input((3, 8))
    model = kgraph.Model(inputs, make(inputs))
    model.compile("sgd", "mse")
    x = np.random.default_rng(8).normal(size=(4, 3, 8)).astype(np.float32)
    before = model.get_weights()
    model.fit(x, x, verbose=0)
    assert all(np.isfinite(array).all() for array in model.get_weights())
    assert not np.array_equal(model.get_weights()[0], before[0])
    assert model.predict(x, verbose=0).dtype == np.float16
