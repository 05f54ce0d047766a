"""Training steps by the TPU's compiler, without a TPU: kgraph's beside steps by hand and Keras'.

Bytes, FLOPs and cycles are the compiler's, so one round is enough. It needs libtpu.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest import mock

import jax
import optax
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec

from benchmarks import large_by_hand as hand
from benchmarks.large_networks import resnet50
from benchmarks.measure import Result, amounts
from benchmarks.on_tpu import Figures, compiled, figures

WORDS, WIDTH, HEADS, BLOCKS = 32768, 768, 12, 2
POLICY = "mixed_bfloat16"
TOPOLOGIES = {"v5e:1x1": 1, "v5e:2x4": 8}


@dataclass(frozen=True)
class Network:
    """A network for every contender.

    Fields:
        build: the model, by kgraph or Keras.
        optimizer: the same for both.
        by_hand: what computes its weights in plain JAX, by the contender's name and for so many
            chips.
        optax: the optimizer by hand.
        inputs: shape and dtype of one row.
        labels: shape of its labels.
        rows: for each chip.
        has_forms: whether attention and loss have several.
    """

    build: Callable[[Any], Any]
    optimizer: Callable[[Any], Any]
    by_hand: dict[str, Callable[[int], hand.Apply]]
    optax: optax.GradientTransformation
    inputs: jax.ShapeDtypeStruct
    labels: tuple[int, ...]
    rows: int
    has_forms: bool = False


def gpt(
    api: Any, length: int, words: int = WORDS, width: int = WIDTH, heads: int = HEADS,
    blocks: int = BLOCKS, dtype: str | None = None, flash: bool | None = None,
) -> Any:  # fmt: skip
    """Returns pre-norm blocks with causal attention, and logits of the next word."""
    layers = api.layers
    inputs = api.Input((length,), dtype="int32")
    x = layers.Embedding(words, width, dtype=dtype)(inputs)
    for _ in range(blocks):
        h = layers.LayerNormalization(dtype=dtype)(x)
        attention = layers.MultiHeadAttention(
            heads, width // heads, flash_attention=flash, dtype=dtype
        )
        x = layers.Add(dtype=dtype)([x, attention(h, h, use_causal_mask=True)])
        h = layers.LayerNormalization(dtype=dtype)(x)
        h = layers.Dense(4 * width, activation="gelu", dtype=dtype)(h)
        x = layers.Add(dtype=dtype)([x, layers.Dense(width, dtype=dtype)(h)])
    x = layers.LayerNormalization(dtype=dtype)(x)
    return api.Model(inputs, layers.Dense(words, dtype=dtype)(x))


def _gpt(length: int, rows: int) -> Network:
    def by_hand(chips: int, scan: bool = False, fused: bool = False) -> hand.Apply:
        mesh = AbstractMesh((chips,), ("batch",), axis_types=(AxisType.Auto,))
        spread = partial(hand.splash, rows=NamedSharding(mesh, PartitionSpec("batch")))
        attention = spread if fused else hand.by_xla
        return hand.constant(
            partial(hand.decoder, dtype="bfloat16", scan=scan, attention=attention)
        )

    return Network(
        partial(gpt, length=length),
        lambda api: api.optimizers.AdamW(3e-4),
        {
            "by hand": by_hand,
            "by hand, scanned": partial(by_hand, scan=True),
            "by hand, splash attention": partial(by_hand, fused=True),
        },
        optax.adamw(3e-4, weight_decay=0.004, eps=1e-7),
        jax.ShapeDtypeStruct((length,), "int32"), (length,), rows, has_forms=True,
    )  # fmt: skip


NETWORKS = {
    "GPT-like, T 512": _gpt(512, 8),
    "ResNet50": Network(
        partial(resnet50, size=224, last=None),
        lambda api: api.optimizers.SGD(0.1, momentum=0.9),
        {"by hand": lambda chips: partial(hand.resnet50, dtype="bfloat16")},
        optax.sgd(0.1, momentum=0.9),
        jax.ShapeDtypeStruct((224, 224, 3), "float32"), (), 32,
    ),
    "GPT-like, T 4,096": _gpt(4096, 8),
    "GPT-like, T 16,384": _gpt(16384, 2),
}  # fmt: skip


def run(rounds: int = 1) -> Iterator[list[Result]]:
    """Yields a table for each network and slice."""
    if importlib.util.find_spec("libtpu") is None:
        print("without forecasts, which need libtpu", file=sys.stderr)
        return
    for name, network in NETWORKS.items():
        for topology, chips in TOPOLOGIES.items():
            found = {who: make() for who, make in contenders(network, topology, chips).items()}
            fitting = {who: one for who, one in found.items() if one.fits}
            for unit, part in _PARTS.items():
                of = found if unit == "B of memory" else fitting
                sizes = {who: part(one) for who, one in of.items()}
                yield amounts(f"{name}, {topology}", sizes, unit)


_PARTS: dict[str, Callable[[Figures], float]] = {
    "B of memory": lambda found: found.total,
    "B temporary": lambda found: found.temporary,
    "B moved": lambda found: found.moved,
    "FLOP": lambda found: found.flops,
    "cycles": lambda found: found.cycles,
    "s to compile": lambda found: found.seconds,
}


def contenders(network: Network, topology: str, chips: int) -> dict[str, Callable[[], Figures]]:
    """Returns what compiles the step of each contender."""
    rows = network.rows * chips
    shape, dtype = network.inputs.shape, network.inputs.dtype
    batch = [
        jax.ShapeDtypeStruct((rows, *shape), dtype),
        jax.ShapeDtypeStruct((rows, *network.labels), "int32"),
    ]
    steps: dict[str, Callable[[], Made]] = {
        who: partial(_by_hand, network, apply(chips), "scanned" in who, batch)
        for who, apply in network.by_hand.items()
    }
    steps["Keras"] = partial(_keras, network, batch)
    if network.has_forms:
        steps["Keras, flash attention"] = partial(_keras, network, batch, flash=True)
    found = {who: partial(_compiled, make, topology, chips) for who, make in steps.items()}
    found["kgraph"] = partial(_kgraph, network, topology, rows)
    if network.has_forms:
        found["kgraph, plain"] = partial(_kgraph, network, topology, rows, plain=True)
    return found


Made = tuple[Callable[..., Any], Any, Sequence[Any]]
"""A step, the shapes of its state, and those of its batch."""


def _compiled(make: Callable[[], Made], topology: str, chips: int) -> Figures:
    step, state, batch = make()
    return figures(compiled(topology, {"batch": chips}, step, state, batch), topology)


def _kgraph(network: Network, topology: str, rows: int, plain: bool = False) -> Figures:
    """Returns the figures of kgraph's step; in a plain one all logits and scores exist."""
    import kgraph

    forms = {"flash": False} if plain else {}
    model = _model(kgraph, network, forms, **({"loss_in_pieces": False} if plain else {}))
    return figures(model.forecast(topology, rows).compiled, topology)


def _model(api: Any, network: Network, forms: dict[str, Any], **options: Any) -> Any:
    api.mixed_precision.set_global_policy(POLICY)
    try:
        model = network.build(api, **forms)
    finally:
        api.mixed_precision.set_global_policy("float32")
    loss = api.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(network.optimizer(api), loss, **options)
    return model


def _by_hand(network: Network, apply: hand.Apply, scan: bool, batch: Sequence[Any]) -> Made:
    import kgraph

    weights = network.build(kgraph).weights
    shapes = [weight.shape for weight in weights]
    trained = [weight.trainable for weight in weights]
    if scan:
        shapes = hand.stacked(shapes)
        trained = [True] * len(shapes)
    specs = [jax.ShapeDtypeStruct(shape, "float32") for shape in shapes]
    step = hand.train_step(apply, hand.next_word, network.optax, trained)
    return step, hand.state_specs(specs, network.optax, trained), batch


def _keras(network: Network, batch: Sequence[Any], flash: bool = False) -> Made:
    import keras
    import numpy as np

    model = _model(keras, network, {"flash": True} if flash else {})
    model.optimizer.build(model.trainable_variables)
    with _as_on_tpus() if flash else contextlib.nullcontext():
        model._symbolic_build(data_batch=tuple(np.zeros((2, *s.shape[1:]), s.dtype) for s in batch))
    held = (
        model.trainable_variables, model.non_trainable_variables, model.optimizer.variables,
        model.metrics_variables,
    )  # fmt: skip
    state = tuple([jax.ShapeDtypeStruct(v.shape, v.value.dtype) for v in part] for part in held)

    def step(state: Any, x: Any, y: Any) -> Any:
        with _as_on_tpus() if flash else contextlib.nullcontext():
            return model.train_step(state, (x, y))[1]

    return step, state, batch


def _as_on_tpus() -> Any:
    """Has Keras take the first device for a TPU: it asks for the kind when it traces attention."""
    return mock.patch("jax.devices", return_value=[mock.Mock(platform="tpu")])
