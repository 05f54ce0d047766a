"""Weights that replace a None of `__init__` when `build` runs inside another layer's call."""

from __future__ import annotations

import numpy as np

from kgraph.layers.base import Input, Layer


class Offset(Layer):
    def __init__(self):
        super().__init__()
        self.offset = None

    def build(self, input_shape):
        self.offset = self.add_weight((input_shape[-1],), "ones", name="offset")

    def call(self, inputs):
        return inputs if self.offset is None else inputs + self.offset.reshape(1, -1)


class Outer(Layer):
    def __init__(self):
        super().__init__()
        self.inner = Offset()

    def call(self, inputs):
        return self.inner(inputs)


def test_the_first_call_uses_the_weight():
    assert Outer()(np.zeros((1, 2), "float32")).tolist() == [[1.0, 1.0]]


def test_a_call_after_one_on_symbols_uses_the_weight():
    outer = Outer()
    outer(Input((2,)))
    assert outer(np.zeros((1, 2), "float32")).tolist() == [[1.0, 1.0]]
