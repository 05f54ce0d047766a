"""How a case is run: on kgraph purely, and on Keras with the same weights."""

from __future__ import annotations

import contextlib
import operator
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
from cases import Case, Tensor
from keras.src import backend

from kgraph import layers
from kgraph.graph import SymbolicTensor
from kgraph.graph.structure import leaves
from kgraph.layers.base import Context, Input, Layer, create_values
from kgraph.layers.base.binding import bind, updates
from kgraph.layers.base.symbolic import is_array

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
    ours = case.make(layers)
    args, kwargs = case.arrange(symbols(case))
    symbolic = ours(*args, **kwargs)
    if not case.keras:
        create_values(ours.named_weights())
        return Pair(ours, symbolic, None, ours.get_weights())
    with relaxed():
        theirs = case.make(keras.layers)
        inputs, masks = arrays(case)
        _call_keras(case, theirs, inputs, masks, training=False)
        weights = _random_weights(theirs)
        theirs.set_weights(weights)
    ours.set_weights(weights)
    return Pair(ours, symbolic, theirs, weights)


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
    loss = sum((jnp.asarray(x, jnp.float32) for x in (*context.losses, *penalties)), jnp.zeros(()))
    return Result(flat, [context.mask_of(item) for item in flat], after, loss)


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
