"""Which form of attention is taken, that each gives the same numbers, and what it cannot do."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh

from kgraph import Input, Model, config, ops
from kgraph.errors import ConfigError, GraphError
from kgraph.layers.attention import GroupQueryAttention, MultiHeadAttention, fused
from kgraph.layers.attention.fused import Seen, _scaled, attention, choose, in_chunks, splash
from kgraph.layers.base.context import Context
from kgraph.layers.base.platform import lowering_for
from kgraph.layers.base.remarks import remarks
from kgraph.layers.base.stateless_scope import scoped

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(2, 4, 6)).astype("float32")
SHORT = ("float16", "bfloat16")


def like(steps: int = 1024, size: int = 64, dtype: str = "bfloat16", heads: int = 2) -> Any:
    return jax.ShapeDtypeStruct((2, steps, heads, size), dtype)


MASK = Seen(jnp.ones((1, 1, 1024, 1024), bool), is_simple=False)


@pytest.mark.parametrize(
    ("platform", "flash", "query", "seen", "form", "why"),
    [
        ("gpu", None, like(), Seen(), "cudnn", "cuDNN"),
        ("gpu", None, like(dtype="float16"), MASK, "cudnn", "cuDNN"),
        ("gpu", None, like(dtype="float32"), Seen(), "plain", "floats of 16 bits"),
        ("gpu", None, like(1023), Seen(), "plain", "even lengths"),
        ("gpu", None, like(size=136), Seen(), "plain", "not 136"),
        ("gpu", True, like(dtype="float32"), Seen(), "cudnn", "cuDNN"),
        ("gpu", False, like(), Seen(), "plain", ""),
        ("tpu", None, like(), Seen(causal=True), "splash", "for TPUs"),
        ("tpu", None, like(512), Seen(), "plain", "512 steps are few"),
        ("tpu", True, like(512, dtype="float32"), Seen(), "splash", "for TPUs"),
        ("tpu", None, like(1025), Seen(), "plain", "divided by 128"),
        ("tpu", None, like(size=80), Seen(), "plain", "not 80"),
        ("tpu", None, like(), MASK, "plain", "none of pairs"),
        ("tpu", None, like(dtype="float32"), Seen(), "plain", "floats of 16 bits"),
        ("tpu", None, like(1 << 14, 80), Seen(), "chunks", "not 80"),
        ("cpu", None, like(), Seen(), "plain", ""),
        ("cpu", None, like(1 << 14, dtype="float32"), Seen(), "chunks", "are many"),
        ("cpu", False, like(1 << 14), Seen(), "plain", ""),
    ],
)  # fmt: skip
def test_the_form_that_serves_best_is_taken(monkeypatch, platform, flash, query, seen, form, why):
    class Ampere:
        compute_capability = "8.0"

    monkeypatch.setattr(fused.jax, "devices", lambda: [Ampere()])
    with lowering_for(platform):
        found, said = choose(query, query, seen, flash)
    assert found == form
    assert why in said
    assert bool(why) == bool(said)


def test_older_gpus_have_no_such_kernel():
    with lowering_for("gpu"):  # there is none here
        assert choose(like(), like(), Seen(), None)[0] == "plain"


def test_the_switch_leaves_it_to_xla():
    assert config.is_flash_attention_enabled() is False
    before = MultiHeadAttention(2, 64)
    config.disable_flash_attention()
    off, asked = MultiHeadAttention(2, 64), MultiHeadAttention(2, 64, flash_attention=True)
    config._settings.flash_attention = None
    assert [layer.never_flash for layer in (before, off, asked)] == [False, True, False]


def arrays(steps: int, size: int, dtype: str = "float32", batch: int = 2, heads: int = 4) -> Any:
    shapes = [(batch, steps, n, size) for n in (heads, heads // 2, heads // 2)]
    return [jnp.asarray(RANDOM.normal(size=shape), dtype) for shape in shapes]


def compare(one: Any, other: Any, given: Any, tolerance: float) -> None:
    """Asserts that two forms agree, and their gradients."""

    def loss(form: Any, given: Any) -> Any:
        picked = form(*given)
        return jnp.sum(jnp.cos(picked.astype(jnp.float32))), picked

    @jax.jit
    def both(given: Any) -> Any:
        made = (jax.value_and_grad(partial(loss, form), has_aux=True) for form in (one, other))
        return [(found[0][1], *found[1]) for found in (make(given) for make in made)]

    for a, b in zip(*both(given)):
        wide = np.asarray(a, np.float32)
        scale = tolerance * np.abs(wide).max()
        np.testing.assert_allclose(np.asarray(b, np.float32), wide, atol=scale, rtol=0)


def plain(seen: Seen, query: Any, key: Any, value: Any) -> Any:
    return attention(query, key, value, seen, 0.1, False, "it")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "seen",
    [
        Seen(),
        Seen(causal=True),
        Seen(jnp.asarray(RANDOM.random((2, 1, 12, 12)) < 0.8).at[..., 0].set(True), causal=True),
        Seen(jnp.arange(12)[None, None, None] < jnp.array([5, 12])[:, None, None, None]),
    ],
    ids=["all", "causal", "mask", "keys"],
)
@pytest.mark.usefixtures("relaxed")  # JAX's gradients of short floats need it
def test_chunks_give_the_numbers_of_the_whole(seen, dtype):
    form = partial(in_chunks, seen=seen, scale=0.1, count=3)
    exact = 1e-6 if dtype == "float32" else 2**-7
    compare(partial(plain, seen), form, arrays(12, 8, dtype=dtype), exact)


@pytest.mark.parametrize(("scale", "widened"), [(0.125, False), (1.0, False), (0.1, True)])
def test_a_scale_that_is_exact_needs_no_wider_floats(scale, widened):
    query = jnp.asarray(RANDOM.normal(size=(1, 4, 2, 8)), jnp.bfloat16)
    scaled = partial(_scaled, scale=scale)
    assert ("f32" in str(jax.make_jaxpr(scaled)(query))) == widened
    exact = (query.astype(jnp.float32) * scale).astype(jnp.bfloat16)
    np.testing.assert_array_equal(scaled(query), exact)


KEYS = np.arange(256)[None] < np.array([[100], [256]])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seen", "size", "dtype"),
    [
        (Seen(), 64, "float32"),
        (Seen(causal=True), 128, "bfloat16"),
        (Seen(causal=True, window=50), 64, "float32"),
        (Seen(keys=jnp.asarray(KEYS)), 64, "float32"),
    ],
    ids=["all", "causal", "window", "keys"],
)
@pytest.mark.usefixtures("relaxed")
def test_the_kernel_for_tpus_gives_the_numbers_of_the_whole(seen, size, dtype):
    rows, columns = np.arange(256)[:, None], np.arange(256)[None]
    mask = (
        None
        if seen.window is None
        else jnp.asarray(np.abs(rows - columns) < seen.window)[None, None]
    )
    mask = jnp.asarray(KEYS)[:, None, None] if seen.keys is not None else mask
    whole = partial(plain, Seen(mask, seen.causal))
    form = partial(splash, seen=seen, scale=0.1, interpret=True)
    given = arrays(256, size, dtype, len(KEYS) if seen.keys is not None else 1, heads=2)
    compare(whole, form, given, 1e-5 if dtype == "float32" else 2**-6)


@pytest.mark.slow
@pytest.mark.parametrize("batch_axes", [("a",), ("a", "b")])
def test_on_several_devices_each_computes_its_rows_and_heads(monkeypatch, batch_axes):
    monkeypatch.setattr(fused, "splash", partial(splash, interpret=True))
    context = Context()
    context.mesh = Mesh(np.array(jax.devices()[:4]).reshape(2, 2), ("a", "b"))
    context.batch_axes = batch_axes
    seen = Seen(causal=True)

    def form(*given: Any) -> Any:
        with scoped(context), lowering_for("tpu"):
            query, key, value = given
            return attention(query, key, value, seen, 0.1, True, "it")

    compare(partial(plain, seen), form, arrays(128, 64, batch=4), 1e-5)


def test_a_layer_says_what_it_takes_and_passes_the_masks_on(monkeypatch):
    taken: list[Seen] = []

    def noted(query, key, value, seen, scale):
        taken.append(seen)
        return query

    monkeypatch.setattr(fused, "_over_devices", noted)
    layer = MultiHeadAttention(2, 64, sliding_window=9, dtype="mixed_bfloat16", name="look")
    x, keys = jnp.zeros((2, 1024, 8)), jnp.ones((2, 1024), bool)
    layer.build(x.shape, x.shape)
    with lowering_for("tpu"), remarks() as said:
        jax.eval_shape(lambda x: layer(x, x, value_mask=keys, use_causal_mask=True), x)
        pairs = jnp.ones((2, 1024, 1024), bool)
        jax.eval_shape(lambda x: layer(x, x, attention_mask=pairs), x)
        dropping = MultiHeadAttention(2, 64, dropout=0.1, name="drops")
        jax.eval_shape(lambda x: dropping(x, x), x[:, :8])
    (seen,) = taken
    assert (seen.causal, seen.window, seen.keys is not None) == (True, 9, True)
    assert said == [
        "attention of 'look' is splash: JAX's kernel for TPUs",
        "attention of 'look' is plain: the kernel takes masks of keys, and none of pairs",
        "attention of 'drops' is plain: it drops weights",
    ]


def test_elsewhere_the_numbers_are_those_of_xla():
    flash = GroupQueryAttention(3, 4, 2, flash_attention=True)
    plain = GroupQueryAttention(3, 4, 2)
    one = flash(X, X)
    plain(X, X)
    plain.set_weights(flash.get_weights())
    np.testing.assert_array_equal(plain(X, X), one)
    q = X[:, :, None]
    wanted = jax.nn.dot_product_attention(q, q, q, is_causal=True)
    for option in (True, False, None):
        found = ops.dot_product_attention(q, q, q, is_causal=True, flash_attention=option)
        np.testing.assert_array_equal(found, wanted)


def test_sizes_that_are_not_known_leave_it_to_xla():
    inputs = Input((None, 6))
    assert Model(inputs, MultiHeadAttention(2, 3)(inputs, inputs)).output_shape == (None, None, 6)


def test_what_the_fused_kernel_cannot_do_is_refused():
    with pytest.raises(ConfigError, match=r"drop attention weights[\s\S]*dropout=0.1"):
        MultiHeadAttention(2, 3, dropout=0.1, flash_attention=True)
    with pytest.raises(GraphError, match=r"flash attention for this call[\s\S]*scores=True"):
        MultiHeadAttention(2, 3, flash_attention=True)(X, X, return_attention_scores=True)
    with pytest.raises(GraphError, match=r"value_dim equal to key_dim"):
        MultiHeadAttention(2, 3, value_dim=5, flash_attention=True)(X, X)


def test_devices_of_amd_have_other_capabilities(monkeypatch):
    class Instinct:
        compute_capability = "gfx942"

    monkeypatch.setattr(fused.jax, "devices", lambda: [Instinct()])
    with lowering_for("gpu"):
        assert choose(like(), like(), Seen(), None)[0] == "plain"
