"""The same gradients through an optimizer of kgraph and one of Keras."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax

from kgraph import optimizers
from kgraph.optimizers import Optimizer, OptimizerState

SHAPES = {
    "dense": {"bias": (5,), "kernel": (6, 5)},
    "embedding": {"table": (4, 3)},
    "scan": {"stack": (2, 3, 4)},
}
STEPS = 30
RULE_NAMES = [
    name
    for name in optimizers.__all__
    if hasattr(getattr(optimizers, name), "transformation")
    and name not in ("Optimizer", "OptaxOptimizer", "LossScaleOptimizer", "MultiOptimizer")
]


def random_tree(rng: np.random.Generator, size: float = 1.0):
    """Returns nested arrays of SHAPES, float32."""
    return jax.tree.map(
        lambda shape: jnp.asarray(size * rng.normal(size=shape), jnp.float32),
        SHAPES,
        is_leaf=lambda x: isinstance(x, tuple),
    )


def path_names() -> list[str]:
    flat, _ = jax.tree_util.tree_flatten_with_path(random_tree(np.random.default_rng(0)))
    return [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in flat]


def gradients(size: float, steps: int, seed: int = 1):
    rng = np.random.default_rng(seed)
    return [random_tree(rng, size) for _ in range(steps)]


def run_kgraph(optimizer: Optimizer, grads: list) -> tuple[dict, OptimizerState]:
    """Returns the parameters and the state after one jitted update for each gradient."""
    params = random_tree(np.random.default_rng(0))
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    for gradient in grads:
        updates, state = update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def run_keras(optimizer, grads: list, finalize: bool = False, each: Callable | None = None) -> dict:
    """Returns the parameters after the same gradients went through a Keras optimizer."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        leaves, structure = jax.tree.flatten(random_tree(np.random.default_rng(0)))
        variables = []
        for path, leaf in zip(path_names(), leaves, strict=True):
            scope, name = path.split("/")
            with keras.name_scope(scope):
                variables.append(keras.Variable(leaf, name=name))
        optimizer.build(variables)
        for i, gradient in enumerate(grads):
            if each is not None:
                each(i, optimizer)
            optimizer.apply(jax.tree.leaves(gradient))
        if finalize:
            optimizer.finalize_variable_values(variables)
        return structure.unflatten([v.value for v in variables])


def keras_config(optimizer) -> dict:
    with warnings.catch_warnings():  # Keras converts to NumPy in a way NumPy 2 warns about
        warnings.simplefilter("ignore", DeprecationWarning)
        return optimizer.get_config()


def assert_same_weights(ours: dict, theirs: dict, tolerance: float = 1e-5) -> None:
    """Asserts that each weight differs by at most `tolerance` of how far its tensor has moved.

    1e-5 is 30 steps of float32 rounding (6e-8 of the weight each, weights of size 1) over the
    displacements here (at least 0.05).
    """
    start = random_tree(np.random.default_rng(0))
    for path, old, a, b in zip(
        path_names(), *(jax.tree.leaves(tree) for tree in (start, ours, theirs)), strict=True
    ):
        moved = np.abs(np.asarray(b) - np.asarray(old)).max()
        assert moved > 0, f"{path} did not move"
        error = np.abs(np.asarray(a) - np.asarray(b)).max() / moved
        assert error < tolerance, f"{path}: {error:.2e} of the displacement {moved:.2e}"
