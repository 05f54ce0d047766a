"""fit with repeated blocks computed by one body: the same training, and nobody sees it."""

from __future__ import annotations

import jax
import numpy as np
import optax
import pytest

from kgraph import Input, Model, callbacks, optimizers
from kgraph.layers import Add, BatchNormalization, Dense, Dropout
from kgraph.optimizers.elementwise import is_elementwise

WIDTH = 4
X = np.random.default_rng(0).normal(size=(20, WIDTH)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 20)


def make(stack: bool, optimizer) -> Model:
    inputs = x = Input((WIDTH,))
    options = {"kernel_regularizer": "l2", "kernel_constraint": "max_norm"}
    for _ in range(3):
        h = Dense(WIDTH, "tanh", **options)(BatchNormalization()(x))
        x = Add()([x, Dropout(0.2)(h)])
    model = Model(inputs, Dense(3, "softmax")(x))
    loss = "sparse_categorical_crossentropy"
    model.compile(optimizer, loss, metrics=["accuracy"], stack=stack)
    return model


class Meddler(callbacks.Callback):
    """Reads weights during training, and sets some."""

    def on_epoch_end(self, epoch, logs=None):
        weights = self.model.get_weights()
        self.seen = [w.copy() for w in weights]
        self.model.layers[5].set_weights([w + 1 for w in self.model.layers[5].get_weights()])


def trained(stack: bool, make_optimizer):
    model, meddler = make(stack, make_optimizer()), Meddler()
    random = np.random.default_rng(2)
    model.set_weights([random.uniform(0.5, 1, w.shape) for w in model.get_weights()])
    options = {"batch_size": 8, "verbose": 0, "validation_data": (X, Y)}
    history = model.fit(X, Y, epochs=2, seed=3, callbacks=[meddler], **options)
    model.fit(X, Y, epochs=3, initial_epoch=2, **options)
    packed = model._kgraph.trainer.engine.packing.is_on
    return packed, (
        history.history,
        model.get_weights(),
        meddler.seen,
        model._kgraph.trainer.state(),
    )


def compare(make_optimizer, packs: bool) -> None:
    plain, stacked = trained(False, make_optimizer), trained(True, make_optimizer)
    assert [plain[0], stacked[0]] == [False, packs]
    assert jax.tree.structure(plain[1]) == jax.tree.structure(stacked[1])
    for one, other in zip(jax.tree.leaves(plain[1]), jax.tree.leaves(stacked[1])):
        assert np.shape(one) == np.shape(other)
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_weights_history_and_optimizer_state_are_those_of_a_plain_fit():
    compare(lambda: optimizers.Adam(0.01, amsgrad=True), packs=True)


def spared() -> optimizers.Optimizer:
    optimizer = optimizers.AdamW(0.01)
    optimizer.exclude_from_weight_decay(["bias"])
    return optimizer


class Signs(optimizers.Optimizer, elementwise=True):
    """A rule of one's own that treats each number by itself."""

    def transformation(self, learning_rate):
        return optax.chain(optax.trace(0.9), optax.scale_by_sign(), optax.scale(-learning_rate))


class NormedSigns(Signs):
    """Changes the rule, and says nothing."""

    def transformation(self, learning_rate):
        return optax.chain(super().transformation(learning_rate), optax.clip_by_block_rms(0.01))


class SlowSigns(Signs):
    def __init__(self, learning_rate=0.001, **options):
        super().__init__(learning_rate, **options)


OPTIMIZERS = {
    "of one's own": (lambda: Signs(0.01), True),
    "of one's own, changed": (lambda: NormedSigns(0.01), False),
    "averaged": (lambda: optimizers.SGD(0.1, momentum=0.9, use_ema=True), True),
    "global norm": (lambda: optimizers.RMSprop(0.01, global_clipnorm=0.1), True),
    "accumulating": (lambda: optimizers.Nadam(0.01, gradient_accumulation_steps=2), True),
    "scaled": (lambda: optimizers.LossScaleOptimizer(optimizers.Ftrl(0.1)), True),
    "norm of each": (lambda: optimizers.Adam(0.01, clipnorm=0.1), False),
    "spared": (spared, False),
    "lamb": (lambda: optimizers.Lamb(0.01), False),
    "muon": (lambda: optimizers.Muon(0.01), False),
    "adafactor": (lambda: optimizers.Adafactor(0.01), False),
    "optax": (lambda: optax.sgd(0.1, momentum=0.9), False),
}


@pytest.mark.parametrize(
    ("make_optimizer", "expected"),
    [*OPTIMIZERS.values(), (SlowSigns, True), (lambda: Signs(0.01, clipnorm=1.0), False)],
)
def test_a_class_says_whether_its_rule_works_element_by_element(make_optimizer, expected):
    assert is_elementwise(optimizers.get(make_optimizer())) is expected


QUICK = ("optax", "of one's own")
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in OPTIMIZERS if name not in QUICK]


@pytest.mark.parametrize("name", [*QUICK, *SLOW])
def test_every_optimizer_gives_the_same(name):
    compare(*OPTIMIZERS[name])
