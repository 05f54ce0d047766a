"""The forms that a CPU computes fastest equal XLA's own, and so do their derivatives."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kgraph.layers.convolution.choice import Choice, choose
from kgraph.layers.convolution.forms import FORMS
from kgraph.layers.convolution.on_cpu import convolve_on_cpu
from kgraph.layers.convolution.window import Window, convolve
from kgraph.layers.pooling.max_on_cpu import max_on_cpu

enable_x64 = (jax if hasattr(jax, "enable_x64") else jax.experimental).enable_x64  # jax 0.7

RANDOM = np.random.default_rng(0)

CASES: dict[str, tuple[tuple[int, ...], tuple[int, ...], Window]] = {
    "few channels": ((2, 6, 7, 3), (3, 3, 3, 5), Window((1, 1), "SAME", (1, 1), (1, 1))),
    "strides": ((2, 6, 7, 5), (3, 2, 5, 6), Window((2, 1), "SAME", (1, 1), (1, 1))),
    "one tap": ((2, 6, 7, 5), (1, 1, 5, 6), Window((2, 2), "VALID", (1, 1), (1, 1))),
    "depthwise": ((2, 6, 7, 4), (3, 3, 1, 4), Window((1, 1), "VALID", (2, 1), (1, 1), 4)),
    "multiplier": ((2, 6, 7, 4), (3, 3, 1, 8), Window((2, 2), "SAME", (1, 1), (1, 1), 4)),
    "groups": ((2, 6, 7, 6), (3, 3, 3, 4), Window((1, 2), "SAME", (1, 1), (1, 1), 2)),
    "causal": ((2, 7, 6), (3, 6, 5), Window((1,), ((4, 0),), (2,), (1,))),
    "stretched": ((2, 4, 3, 6), (4, 3, 6, 5), Window((1, 1), ((2, 3), (3, 1)), (1, 1), (2, 3))),
    "enlarging": ((2, 4, 3, 6), (3, 2, 6, 5), Window((1, 1), ((2, 2), (1, 1)), (1, 1), (1, 1))),
    "volume": ((2, 5, 4, 5, 2), (3, 2, 1, 2, 3), Window((1, 1, 2), "SAME", (1,) * 3, (1,) * 3)),
    "first": ((2, 3, 6, 7), (3, 3, 3, 5), Window((1, 1), "SAME", (1, 1), (1, 1), 1, False)),
}


def draw(*shape: int, dtype: Any = "float32") -> jax.Array:
    return jnp.asarray(RANDOM.normal(size=shape), dtype)


def assert_close(own: Any, wanted: Any, rounding: float = 2e-6) -> None:
    """Compares trees; each number is a sum of up to 200 products, each rounded once."""
    for a, b in zip(jax.tree.leaves(own), jax.tree.leaves(wanted), strict=True):
        assert a.dtype == b.dtype
        scale = float(jnp.abs(b.astype("float32")).max())
        np.testing.assert_allclose(
            np.asarray(a, "float64"), np.asarray(b, "float64"), rtol=0, atol=rounding * scale
        )


QUICK = ("few channels", "depthwise", "stretched")
NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES]


@pytest.mark.parametrize("name", NAMES)
def test_values_and_derivatives_are_those_of_xlas_convolution(name: str) -> None:
    shape, kernel_shape, window = CASES[name]
    x, w = draw(*shape), draw(*kernel_shape)
    along = draw(*shape), draw(*kernel_shape)
    weights = draw(*jax.eval_shape(partial(convolve, window=window), x, w).shape)

    @partial(jax.jit, static_argnums=0)
    def everything(convolution: Any, x: Any, w: Any) -> Any:
        def function(x: Any, w: Any) -> Any:
            return convolution(x, w, window)

        def loss(x: Any, w: Any) -> Any:
            return (jnp.sin(function(x, w)) * weights).sum()

        gradient = jax.grad(loss, (0, 1))
        return (
            function(x, w),
            gradient(x, w),
            jax.grad(loss, 1)(x, w),
            jax.jvp(function, (x, w), along),
            jax.jvp(gradient, (x, w), along),  # the second derivative
            jax.vmap(gradient, (0, None))(jnp.stack([x, 2 * x]), w),
        )

    assert_close(everything(convolve_on_cpu, x, w), everything(convolve, x, w), 1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_dtypes_stay_what_they_are(dtype: str) -> None:
    shape, kernel_shape, window = CASES["strides"]
    rounding = {"float16": 2e-3, "bfloat16": 2e-2, "float64": 1e-14}[dtype]
    with enable_x64(dtype == "float64"):
        x, w = draw(*shape, dtype=dtype), draw(*kernel_shape, dtype=dtype)

        def gradients(convolution: Any) -> Any:
            return jax.value_and_grad(lambda x, w: convolution(x, w, window).sum(), (0, 1))(x, w)

        assert_close(gradients(convolve_on_cpu), gradients(convolve), rounding)


@pytest.mark.parametrize("name", ["few channels", "depthwise", "first"])
def test_sizes_may_be_unknown(name: str) -> None:
    _, kernel_shape, window = CASES[name]
    scope = jax.export.SymbolicScope(["rows >= 4", "columns >= 6"])
    sizes = list(jax.export.symbolic_shape("batch, 2*rows, columns", scope=scope))
    sizes.insert(3 if window.channels_last else 1, kernel_shape[-2] * window.groups)
    x, w = (jax.ShapeDtypeStruct(tuple(s), jnp.float32) for s in (sizes, kernel_shape))

    def gradients(convolution: Any) -> Any:
        def loss(x: Any, w: Any) -> Any:
            return convolution(x, w, window).sum()

        return jax.eval_shape(jax.value_and_grad(loss, (0, 1)), x, w)

    assert gradients(convolve_on_cpu) == gradients(convolve)


def test_each_form_is_chosen_where_it_is_faster() -> None:
    choices = {name: choose(w, kernel, "float32") for name, (_, kernel, w) in CASES.items()}
    assert choices["few channels"].inputs == "patches"
    assert choices["strides"] == Choice()
    assert str(choices["one tap"]) == "product"
    assert str(choices["multiplier"]) == "shifts"
    assert choices["groups"].kernel == "patches"
    assert choices["stretched"].kernel == choices["enlarging"].kernel == "spreading"
    assert choose(CASES["causal"][2], (3, 16, 16), "float32") == Choice()
    assert choose(CASES["depthwise"][2], CASES["depthwise"][1], "bfloat16") == Choice()
    used = {form for c in choices.values() for form in vars(c).values()}
    assert used == set(FORMS)


def test_forms_that_cost_more_than_they_gain_are_not_chosen() -> None:
    plain = CASES["few channels"][2]
    assert choose(plain, (3, 3, 64, 3), "float32") == Choice()  # few filters of many channels
    assert choose(plain, (3, 3, 16, 1), "float32").inputs == "patches"
    depthwise = replace(plain, groups=8)
    assert str(choose(depthwise, (7, 7, 1, 8), "float32")) == "shifts"
    assert choose(depthwise, (12, 12, 1, 8), "float32") == Choice()  # minutes to compile
    kernel, window = CASES["volume"][1:]
    assert str(choose(window, kernel, "float32", 10**6)) == "patches"
    assert choose(window, kernel, "float32", 10**8) == Choice()  # the patches are 5 GB


def test_an_empty_batch_is_possible_in_every_form() -> None:
    for shape, kernel_shape, window in CASES.values():
        x, w = jnp.zeros((0, *shape[1:])), draw(*kernel_shape)
        wanted = jax.eval_shape(partial(convolve, window=window), x, w)
        choice = choose(window, kernel_shape, x.dtype)
        if window.channels_last:
            for form in vars(choice).values():
                assert FORMS[form](x, w, window).shape == wanted.shape


POOLS = {
    "side by side": ((2, 9, 8, 3), (1, 3, 3, 1), (1, 3, 3, 1), "VALID"),
    "side by side, same": ((2, 8, 7, 3), (1, 3, 2, 1), (1, 3, 2, 1), "SAME"),
    "overlapping": ((2, 8, 7, 3), (1, 3, 2, 1), (1, 2, 1, 1), "SAME"),
    "gaps": ((2, 3, 9), (1, 1, 2), (1, 1, 3), "VALID"),
}

SLOW_POOLS = [pytest.param(n, marks=pytest.mark.slow) for n in ("side by side", "gaps")]


@pytest.mark.parametrize("name", ["side by side, same", "overlapping", *SLOW_POOLS])
def test_the_gradient_of_a_maximum_goes_to_the_first_of_equal_cells(name: str) -> None:
    shape, window, strides, padding = POOLS[name]
    x = jnp.asarray(RANDOM.integers(-3, 1, shape), jnp.float32)  # many cells are equal

    def xlas(x: Any) -> Any:
        return jax.lax.reduce_window(x, -np.inf, jax.lax.max, window, strides, padding)

    def own(x: Any) -> Any:
        return max_on_cpu(x, window, strides, padding)

    weights = draw(*xlas(x).shape)

    @partial(jax.jit, static_argnums=0)
    def gradient(f: Any, x: Any) -> Any:
        return f(x), jax.grad(lambda x: (f(x) * weights).sum())(x)

    assert_close(gradient(own, x), gradient(xlas, x))
    along, apart = draw(*shape), draw(*shape)  # XLA's forward mode takes another of equal cells
    assert_close(jax.jvp(own, (apart,), (along,)), jax.jvp(xlas, (apart,), (along,)))
