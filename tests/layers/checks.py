"""How a case is run: on kgraph purely, and on Keras with the same weights."""

from __future__ import annotations

import contextlib
import importlib
import operator
import pkgutil
import re
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from cases import Case, Tensor
from keras.src import backend
from keras.src.backend.jax.core import JaxVariable

from kgraph import layers
from kgraph.graph import SymbolicTensor
from kgraph.graph.structure import leaves
from kgraph.layers.base import Context, Input, Layer, create_values
from kgraph.layers.base.binding import bind, updates
from kgraph.layers.base.symbolic import is_array
from kgraph.layers.base.tree import named_weights

BATCH = 3
KEY = jax.random.key(7)


@contextlib.contextmanager
def relaxed() -> Iterator[None]:
    """Runs Keras as its users do: with type promotion, and without its warnings."""
    with (
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


# --- inputs --------------------------------------------------------------------------------------


def real_sizes(case: Case, trial: int = 0) -> dict[str, int]:
    """Returns a number for each unknown size: another one in each trial, and for each name."""
    names = {d for tensor in case.inputs for d in tensor.shape if isinstance(d, str)}
    sizes = {name: case.sizes[(trial + i) % 3] for i, name in enumerate(sorted(names))}
    return {"batch": (BATCH, 1, 4)[trial], **sizes}


def real_shape(tensor: Tensor, sizes: dict[str, int]) -> tuple[int, ...]:
    return (sizes["batch"], *(sizes[d] if isinstance(d, str) else d for d in tensor.shape))


def arrays(case: Case, trial: int = 0) -> tuple[list[Any], list[Any]]:
    """Returns the same inputs and masks each time."""
    rng = np.random.default_rng(zlib.crc32(case.id.encode()))
    sizes = real_sizes(case, trial)
    values = [_values(tensor, real_shape(tensor, sizes), rng) for tensor in case.inputs]
    masks: list[Any] = []
    for tensor, value in zip(case.inputs, values):
        mask = rng.random(value.shape[:2]) > 0.4 if tensor.mask else None
        if mask is not None:
            mask[:, 0] = True
            mask[-1, -1] = False
        masks.append(None if mask is None else jnp.asarray(mask))
    return [jnp.asarray(value) for value in values], masks


def _values(tensor: Tensor, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    kind, _, limit = tensor.kind.partition(" ")
    if limit:
        return rng.integers(0, int(limit), shape).astype(kind)
    if kind == "positive":
        return rng.uniform(0.1, 1.0, shape).astype("float32")
    if kind == "bool":
        return rng.random(shape) > 0.4
    return rng.normal(size=shape).astype(kind)


class GiveMask(Layer):
    """Gives a tensor a mask, so that cases can start with masked symbols."""

    def call(self, inputs):
        return inputs[0]

    def compute_mask(self, inputs, previous_mask=None):
        return inputs[1]


def symbols(case: Case) -> list[SymbolicTensor]:
    """Returns a symbol for each input, with a mask where the case has one."""
    found = []
    for tensor in case.inputs:
        symbol = Input(tensor.shape, dtype=tensor.dtype)
        if tensor.mask:
            symbol = GiveMask()([symbol, Input(tensor.shape[:1], dtype="bool")])
        found.append(symbol)
    return found


# --- both layers ---------------------------------------------------------------------------------


class Library:
    """The layers of all families by name, also of one that `kgraph.layers` does not list yet."""

    def __init__(self) -> None:
        names = [name for _, name, _ in pkgutil.iter_modules(layers.__path__)]
        self.families = [importlib.import_module(f"kgraph.layers.{name}") for name in names]

    def __getattr__(self, name: str) -> Any:
        for module in (layers, *self.families):
            if hasattr(module, name):
                return getattr(module, name)
        raise AttributeError(f"no family of kgraph.layers has {name!r}")


LIBRARY = Library()


@dataclass
class Pair:
    """A case's layer, built on symbols, its twin in Keras, and the weights that both have."""

    ours: Layer
    symbolic: Any
    theirs: Any
    weights: list[np.ndarray]


@cache
def pair(case_id: str) -> Pair:
    """Returns both layers of a case, built, with the same weights."""
    case = CASES[case_id]
    ours = case.make(LIBRARY)
    args, kwargs = case.arrange(symbols(case))
    symbolic = ours(*args, **kwargs)
    if not case.keras:
        create_values(named_weights(ours))
        return Pair(ours, symbolic, None, ours.get_weights())
    theirs = _built_keras(case)
    with relaxed():
        weights = _random_weights(theirs)
        theirs.set_weights(weights)
    ours.set_weights(weights)
    return Pair(ours, symbolic, theirs, weights)


def _built_keras(case: Case) -> Any:
    """Returns the Keras layer, built without running it: what it draws is not used anyway."""
    inputs, masks = arrays(case)
    symbolic = [keras.KerasTensor(x.shape, str(x.dtype)) for x in inputs]
    with relaxed(), pytest.MonkeyPatch.context() as patch:
        start = JaxVariable._initialize_with_initializer
        patch.setattr(
            JaxVariable,
            "_initialize_with_initializer",
            lambda v, initializer: (
                v._initialize(jnp.asarray(np.zeros(v._shape, v._dtype)))
                if v.trainable
                else start(v, initializer)
            ),
        )
        theirs = case.make(keras.layers)
        try:
            _call_keras(case, theirs, symbolic, [None] * len(symbolic), training=False)
        except Exception:  # some Keras layers refuse symbols that they take as arrays
            theirs = case.make(keras.layers)
            _call_keras(case, theirs, inputs, masks, training=False)
    return theirs


CASES: dict[str, Case] = {}
"""Cases by id; filled by `test_table.py`."""


def _random_weights(theirs: Any) -> list[np.ndarray]:
    """Returns weights that no initializer gives: no zero hides a fault. State stays positive."""
    rng = np.random.default_rng(3)
    found = []
    trained = {id(w) for w in theirs.trainable_weights}
    for variable in theirs.weights:
        value = np.array(variable)
        if id(variable) in trained:
            value = rng.normal(scale=0.5, size=value.shape).astype(value.dtype)
        elif np.issubdtype(value.dtype, np.floating):
            value = value + rng.uniform(0, 0.5, value.shape).astype(value.dtype)
        found.append(value)
    return found


# --- running kgraph ------------------------------------------------------------------------------


@dataclass
class Result:
    """What a run gives, as flat lists."""

    outputs: list[Any]
    masks: list[Any]
    weights: list[Any]
    loss: Any


def run(
    layer: Layer,
    case: Case,
    weights: Sequence[Any],
    inputs: Sequence[Any],
    masks: Sequence[Any],
    training: bool | None = None,
    key: Any = KEY,
) -> Result:
    """Runs a layer purely: a function of these arrays alone."""
    own = layer.weights
    values = {id(w): jnp.asarray(array) for w, array in zip(own, weights, strict=True)}
    context = Context(values, case.training if training is None else training, key)
    for array, mask in zip(inputs, masks):
        context.set_mask(array, mask)
    args, kwargs = case.arrange(inputs)
    outputs = bind(layer, context, layer.name)(*args, **kwargs)
    flat = [item for item in leaves(outputs) if is_array(item)]
    changed = updates(context)
    after = [changed.get(id(w), values[id(w)]) for w in own]
    penalties = [w.regularizer(values[id(w)]) for w in layer.trainable_weights if w.regularizer]
    terms = [jnp.asarray(x) for x in (*context.losses, *penalties)]
    wide = (x if x.dtype == jnp.float64 else x.astype(jnp.float32) for x in terms)
    loss = sum(wide, jnp.zeros(()))
    return Result(flat, [context.mask_of(item) for item in flat], after, loss)


def program(layer: Layer, case: Case, weights: Any, inputs: Any, masks: Any) -> tuple[str, Any]:
    """Returns what a layer computes, as the text of its jaxpr, and the constants in it.

    Two layers with equal programs and equal weights give equal results, which need not be computed
    to know that.
    """

    def outputs(weights: Any, inputs: Any, masks: Any, key: Any) -> Any:
        result = run(layer, case, weights, inputs, masks, case.trains, key)
        return result.outputs, result.weights, result.loss

    closed = jax.make_jaxpr(outputs)(weights, inputs, masks, KEY)
    return re.sub(r" at 0x[0-9a-f]+", "", str(closed)), closed.consts


# --- running Keras -------------------------------------------------------------------------------


def run_keras(
    theirs: Any, case: Case, weights: Sequence[Any], inputs: Any, masks: Any, training: bool
) -> Result:
    """Runs the Keras layer purely, by its `__call__`.

    (Its stateless_call goes past `__call__`, and so past masks, dtypes and activity regularizers.)
    """
    given = [(v, jnp.asarray(w)) for v, w in zip(theirs.weights, weights, strict=True)]
    with relaxed(), backend.StatelessScope(state_mapping=given, collect_losses=True) as scope:
        outputs = _call_keras(case, theirs, inputs, masks, training)
        after = [scope.get_current_value(v) for v in theirs.weights]
        flat = [item for item in keras.tree.flatten(outputs) if item is not None]
        return Result(flat, [], after, sum(theirs.losses, jnp.zeros(())))


def keras_mask(theirs: Any, case: Case, inputs: Any, masks: Any) -> list[Any]:
    """Returns what the Keras layer's compute_mask says, one mask (or None) for each output."""
    with relaxed():
        args, kwargs = case.arrange(inputs)
        of_inputs, _ = case.arrange(masks)
        made = theirs.compute_mask(args[0], kwargs.get("mask", of_inputs[0]))
        return list(made) if isinstance(made, (list, tuple)) else [made]


def _call_keras(case: Case, theirs: Any, inputs: Any, masks: Any, training: bool) -> Any:
    for array, mask in zip(inputs, masks):
        if mask is not None:
            backend.set_keras_mask(array, mask)
    args, kwargs = case.arrange(inputs)
    return theirs(*args, **kwargs, **_mode(theirs, training))


def _mode(theirs: Any, training: bool) -> dict[str, bool]:
    return {"training": training} if theirs._call_has_training_arg else {}


# --- everything at once --------------------------------------------------------------------------


def ours(case_id: str, gradients: bool = False) -> tuple[Result, Any]:
    """Returns the result of our layer, and its gradients by weights and inputs (or None).

    Args:
        case_id: of the case.
        gradients: whether they are wanted. Of a case of which the quick suite compares them, they
            are there anyway: one function computes both.
    """
    return _ours(case_id, _differentiated(case_id, gradients))


@cache
def _ours(case_id: str, gradients: bool) -> tuple[Result, Any]:
    both = pair(case_id)
    return _evaluate(CASES[case_id], both, both.ours, run, True, gradients)


def theirs(case_id: str, gradients: bool = False) -> tuple[Result, Any]:
    """Returns the same of the Keras layer.

    Where there are no gradients it is not compiled: some Keras layers work on the host.
    """
    return _theirs(case_id, _differentiated(case_id, gradients))


@cache
def _theirs(case_id: str, gradients: bool) -> tuple[Result, Any]:
    case, both = CASES[case_id], pair(case_id)
    return _evaluate(case, both, both.theirs, run_keras, case.gradients, gradients)


def _differentiated(case_id: str, gradients: bool) -> bool:
    case = CASES[case_id]
    return case.gradients and (gradients or case.chosen)


def _evaluate(
    case: Case, both: Pair, layer: Any, runner: Any, compiled: bool, differentiated: bool
) -> Any:
    inputs, masks = arrays(case)
    trained = {id(w) for w in both.ours.trainable_weights}
    by_weight = [i for i, w in enumerate(both.ours.weights) if id(w) in trained]
    by_input = [i for i, tensor in enumerate(case.inputs) if tensor.differentiable]

    def total(chosen: Any, weights: Any, inputs: Any, masks: Any) -> Any:
        weights, inputs = list(weights), list(inputs)
        for i, w in zip(by_weight, chosen[0]):
            weights[i] = w
        for i, x in zip(by_input, chosen[1]):
            inputs[i] = x
        result = runner(layer, case, weights, inputs, masks, case.trains)
        found = result.outputs, result.masks, result.weights, result.loss
        return result.loss + sum(_weighted_sum(y) for y in result.outputs), found

    weights = [jnp.asarray(w) for w in both.weights]
    chosen = [weights[i] for i in by_weight], [inputs[i] for i in by_input]
    gradients = None
    if differentiated:
        function = jax.jit(jax.grad(total, has_aux=True))
        gradients, found = function(chosen, weights, inputs, masks)
    else:
        function = jax.jit(total) if compiled else total
        _, found = function(chosen, weights, inputs, masks)
    return Result(*found), gradients


def _weighted_sum(output: Any) -> Any:
    """Returns a sum that no symmetry of the output leaves equal."""
    if not jnp.issubdtype(output.dtype, jnp.floating):
        return jnp.zeros(())
    weights = np.cos(np.arange(output.size, dtype=np.float32)).reshape(output.shape)
    return jnp.sum(output * jnp.asarray(weights))


# --- comparing -----------------------------------------------------------------------------------


def assert_near(ours: Any, theirs: Any, tolerance: float, what: str = "") -> None:
    """Fails unless two arrays differ by at most `tolerance` times their largest finite value."""
    one, two = np.asarray(ours), np.asarray(theirs)
    assert one.shape == two.shape, f"{what}: shape {one.shape}, expected {two.shape}"
    if not np.issubdtype(two.dtype, np.floating) and two.dtype != jnp.bfloat16:
        np.testing.assert_array_equal(one, two, err_msg=what)
        return
    one, two = one.astype(np.float64), two.astype(np.float64)
    finite = np.abs(two[np.isfinite(two)])
    scale = max(float(finite.max(initial=0.0)), 1e-3)
    np.testing.assert_allclose(one, two, rtol=0, atol=tolerance * scale, err_msg=what)


def evaluate_dims(dims: Sequence[int | str], sizes: dict[str, int]) -> tuple[int, ...]:
    """Returns a symbolic shape for these sizes."""
    names = {"floordiv": operator.floordiv, "mod": operator.mod, "max": max, "min": min, **sizes}
    return tuple(d if isinstance(d, int) else eval(d, {}, names) for d in dims)
