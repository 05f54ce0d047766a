"""Nothing in a graph is computed again and again without need of the inputs."""

from __future__ import annotations

import numpy as np

import kgraph
from kgraph import Input, Model
from kgraph.layers import Add, Dense, Embedding


def test_what_depends_on_no_input_is_a_constant_of_the_graph():
    """A layer or function that is called on arrays runs then, so there is no node for it."""
    table = Embedding(4, 3)
    places = kgraph.ops.tanh(table(np.arange(2)) * 2.0)[None]
    x = Input((2, 3))
    model = Model(x, Dense(1)(Add()([x, x + places])))
    specs = [model.graph.layers[node.layer] for node in model.graph.calls]
    assert [spec.class_name for spec in specs][-2:] == ["Add", "Dense"]
    assert len(specs) == 3
    constants = [a for node in model.graph.calls for a in node.args if hasattr(a, "shape")]
    assert len(constants) == 1
    np.testing.assert_array_equal(constants[0], places)
    for node in model.graph.calls:
        assert node.inputs, "every node reads a tensor, and every chain of them ends in an input"
