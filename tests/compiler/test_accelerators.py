"""Training step and inference, written for accelerators by a machine that has none.

`jax.export` lowers for TPU and CUDA; the text says what would run there.
"""

from __future__ import annotations

import re
from typing import Any

import jax
import pytest
from accelerator_models import FIXED_BATCH, MODELS
from jax import export

from kgraph.graph.node import TensorSpec
from kgraph.training.abstract_step import abstract_state
from kgraph.training.step import Batch, Given, make_predict, make_train_step

PLATFORMS = ("tpu", "cuda")
QUICK = {("batch_norm", "tpu"), ("mixed_bfloat16", "cuda")}
CASES = [
    pytest.param(name, platform, marks=() if (name, platform) in QUICK else pytest.mark.slow)
    for name in MODELS
    for platform in PLATFORMS
]
KNOWN_CALLS = {"shape_assertion", "cu_threefry2x32_ffi", "Sharding", "ApproxTopK"}
"""Custom calls that are part of the compilers, or of the contract of exported functions."""


def struct(spec: TensorSpec, rows):
    return jax.ShapeDtypeStruct((rows, *spec.dims[1:]), spec.dtype)


def functions(name):
    """Returns the donated step and the prediction with abstract arguments, batch symbolic."""
    model = MODELS[name]()
    (rows,) = (2,) if name in FIXED_BATCH else export.symbolic_shape("rows")
    graph: Any = model.graph
    inputs = [struct(graph.spec(ref), rows) for ref in graph.inputs]
    targets = [struct(graph.spec(ref), rows) for ref in graph.outputs]
    batch = Batch(inputs, targets, [None] * len(targets))
    engine = model._kgraph.trainer.engine_for(batch)
    assert engine.optimizer is not None
    step = make_train_step(engine.program, engine.objective, engine.optimizer)
    state = abstract_state(engine, engine.program.weights.layout)
    variables = {"params": state.params, "state": state.state}
    train = jax.jit(lambda state, batch: step(state, batch, None), donate_argnums=0)
    predict = jax.jit(lambda *given: make_predict(engine.program)(*given, 0))
    return (train, (state, batch)), (predict, (Given(variables), inputs))


def check_text(text):
    """Raises unless the text is free of wide floats and of the host."""
    assert "stablehlo" in text
    assert not re.search(r"\bf64\b|xf64>|complex<f64>", text), "float64 somewhere"
    for word in ("callback", "host_transfer", "infeed", "outfeed", "stablehlo.send"):
        assert word not in text, word
    calls = set(re.findall(r"custom_call @(\w+)", text))
    assert calls <= KNOWN_CALLS, calls - KNOWN_CALLS


@pytest.mark.parametrize(("name", "platform"), CASES)
def test_step_and_inference_lower_for_accelerators(name, platform):
    (train, given), (predict, read) = functions(name)
    exported = export.export(train, platforms=[platform])(*given)
    assert exported.platforms == (platform,)
    text = exported.mlir_module()
    check_text(text)
    leaves = jax.tree.leaves(given[0])
    lowered = train.trace(*_with_rows(given)).lower(lowering_platforms=(platform,)).as_text()
    donated = lowered.count("tf.aliasing_output")
    assert donated == len(leaves), "each part of the state takes the place of the one before"
    inference = export.export(predict, platforms=[platform])(*read).mlir_module()
    check_text(inference)
    assert "threefry" not in inference
    for each in (text, inference):
        products = re.findall(r"stablehlo\.dot_general .*-> tensor<([\w?x]+)>", each)
        short = [p for p in products if p.endswith("bf16")]
        assert bool(short) == (name == "mixed_bfloat16"), products
    if name in ("ticket", "stateful_rnn"):
        assert "stablehlo.while" in text, "the recurrence is a loop"
    if name not in FIXED_BATCH:
        assert "?x" in text, "one program for every batch"


def _with_rows(args):
    """Returns abstract arguments with 2 rows in the place of any number."""

    def fixed(x):
        sizes = tuple(n if isinstance(n, int) else 2 for n in x.shape)
        return jax.ShapeDtypeStruct(sizes, x.dtype)

    return jax.tree.map(fixed, args)


def test_the_check_sees_what_it_should():
    with pytest.raises(AssertionError, match="float64"):
        check_text("stablehlo.add tensor<4xf64>")

    def calls_back(x):
        return jax.pure_callback(lambda y: y, jax.ShapeDtypeStruct((2,), "float32"), x)

    spec = jax.ShapeDtypeStruct((2,), "float32")
    text = jax.jit(calls_back).lower(spec).as_text()
    with pytest.raises(AssertionError, match="callback"):
        check_text(text)
