"""Models with repeated blocks, for the tests of stacking: builders by number of blocks."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from kgraph import Input, Layer, Model, SymbolicTensor
from kgraph.compiler import Program
from kgraph.layers import (
    Add,
    BatchNormalization,
    Dense,
    Dropout,
    Embedding,
    LayerNormalization,
    Masking,
    MultiHeadAttention,
)

KEY = jax.random.key(3)
WIDTH = 4
TIME = 3


class Noisy(Layer):
    """A user's layer with a weight, random numbers, an added loss and an attribute of its own."""

    def __init__(self, factor: float = 1.0, **options):
        super().__init__(**options)
        self.factor = factor

    def build(self, input_shape):
        self.scale = self.add_weight((input_shape[-1],), "random_normal", name="scale")

    def call(self, inputs, training=None):
        self.add_loss(jnp.mean(inputs**2))
        if not training:
            return inputs * self.scale[None]
        noise = jax.random.normal(self.next_key(), inputs.shape)
        return inputs * self.scale[None] + self.factor * noise


def attention_block(x: SymbolicTensor, memory: SymbolicTensor | None = None) -> SymbolicTensor:
    h = LayerNormalization()(x)
    h = MultiHeadAttention(2, 2)(h, h)
    x = Add()([x, Dropout(0.5)(h)])
    if memory is not None:
        x = x + MultiHeadAttention(1, 2)(LayerNormalization()(x), memory)
    h = Dense(6, "relu")(LayerNormalization()(x))
    return Add()([x, Dense(WIDTH)(h)])


def encoder(count: int) -> Model:
    words = Input((TIME,), dtype="int32")
    x = Embedding(7, WIDTH, mask_zero=True)(words)
    for _ in range(count):
        x = attention_block(x)
    return Model(words, Dense(2)(LayerNormalization()(x)))


def decoder(count: int) -> Model:
    memory, x = Input((2, WIDTH)), Input((TIME, WIDTH))
    inputs = [memory, x]
    memory = Dense(WIDTH)(memory)
    for _ in range(count):
        x = attention_block(x, memory)
    return Model(inputs, x)


def residual_block(x: SymbolicTensor, **options) -> SymbolicTensor:
    h = Dense(WIDTH, "tanh", **options)(x)
    return x + 0.5 * Dropout(0.5)(h)


def residual(count: int) -> Model:
    inputs = x = Input((WIDTH,))
    options = {"activity_regularizer": "l2", "kernel_regularizer": "l1", "use_bias": False}
    for _ in range(count):
        x = Noisy()(residual_block(x, **options))
    return Model(inputs, x)


def normalized(count: int) -> Model:
    inputs = x = Input((WIDTH,))
    for _ in range(count):
        x = x + Dense(WIDTH, "relu")(BatchNormalization(momentum=0.5)(x))
    return Model(inputs, x)


def shared(count: int) -> Model:
    inputs = x = Input((WIDTH,))
    layer, drop = Dense(WIDTH, "tanh"), Dropout(0.5)
    for _ in range(count):
        x = drop(layer(x))
    return Model(inputs, x)


def pyramid(count: int) -> Model:
    inputs = x = Input((WIDTH,))
    found = []
    for _ in range(count):
        x = residual_block(x)
        found.append(x)
    top = found[-1]
    heads = [top]
    for level, lateral in enumerate(found[-2::-1]):
        top = Dense(WIDTH, "tanh" if level % 2 else "relu")(top) * lateral
        heads.append(top)
    return Model(inputs, [*heads, found[1]])


def two_kinds(count: int) -> Model:
    inputs = x = Input((WIDTH,))
    for _ in range(count):
        x = residual_block(x)
    x = Dense(2 * WIDTH)(x)
    for _ in range(count):
        x = LayerNormalization()(Dense(2 * WIDTH, "relu")(x))
    return Model(inputs, x)


def nested(count: int) -> Model:
    inputs = x = Input((WIDTH,))
    for _ in range(count):
        inner = Input((WIDTH,))
        h = Dense(WIDTH, "relu")(Dropout(0.5)(inner))
        x = Model(inner, [Dense(WIDTH)(h), h])(x)[0]
    return Model(inputs, x)


def masked_nested(count: int) -> Model:
    inputs = Input((TIME, WIDTH))
    x = Masking(0.0)(inputs)
    for _ in range(count):
        inner = Input((TIME, WIDTH))
        x = Model(inner, Dropout(0.5)(Dense(WIDTH, "tanh")(inner)))(x)
    return Model(inputs, x)


def remasked(count: int) -> Model:
    inputs = x = Input((TIME, WIDTH))
    for _ in range(count):
        x = Masking(0.0)(Dense(WIDTH, "relu", use_bias=False)(x))
        x = Add()([x, MultiHeadAttention(1, 2)(x, x)])
    return Model(inputs, x)


def two_carried(count: int) -> Model:
    a, b = Input((WIDTH,)), Input((WIDTH,))
    inputs = [a, b]
    for _ in range(count):
        a, b = Add()([Dense(WIDTH, "tanh")(b), a]), a * b
    return Model(inputs, [a, b])


BUILDERS = {
    builder.__name__: builder
    for builder in (
        encoder, decoder, residual, normalized, shared, pyramid, two_kinds, nested, masked_nested,
        remasked, two_carried,
    )
}  # fmt: skip


def batch_for(model: Model) -> list[np.ndarray]:
    """Returns 2 rows for a model; some words, and some steps, are 0."""
    random = np.random.default_rng(0)
    found = []
    for tensor in model.inputs:
        shape = (2, *tensor.shape[1:])
        if tensor.dtype == "int32":
            found.append(random.integers(0, 3, shape).astype(np.int32))
        else:
            array = random.normal(size=shape).astype(np.float32)
            if len(shape) == 3:
                array[0, -1] = 0
            found.append(array)
    return found


def observed(program: Program, variables, batch):
    """Returns loss and gradients; outputs, masks, added losses and state of one training run."""

    def loss(params):
        run = program.run({**variables, "params": params}, batch, training=True, key=KEY)
        added = sum(run.losses, start=jnp.zeros(()))
        total = sum(jnp.mean(o**2) for o in run.outputs) + added + program.penalties(params)
        return total, (run.outputs, run.masks, added, run.state)

    return jax.jit(jax.value_and_grad(loss, has_aux=True))(variables["params"])


def assert_close(found, wanted) -> None:
    """Fails unless two trees agree to the rounding of a few float32 operations."""
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted)):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)
