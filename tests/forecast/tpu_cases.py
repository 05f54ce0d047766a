"""Twelve models for the TPU's compiler, each with its step by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import forecast_models as m
import jax
import optax
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec

import kgraph
from benchmarks import by_hand, networks
from benchmarks import large_by_hand as hand
from benchmarks.forecasts import gpt
from benchmarks.large_networks import SIZE, resnet50
from kgraph import distribution as dist
from kgraph import layers as L

ONE, EIGHT = "v5e:1x1", "v5e:2x4"
WORDS, WIDTH, HEADS, LENGTH, TIME = 512, 256, 2, 128, 16

ADAM = optax.adam(1e-3, eps=1e-7)

Moves = frozenset[tuple[str, str]]
"""Kinds of exchanges with the axis of the mesh that they go along."""

FSDP = partial(dist.FSDP, least_size=1000)
GATHERED: Moves = frozenset(
    (kind, "fsdp") for kind in ("all-gather", "reduce-scatter", "all-reduce", "collective-permute")
)
"""Weights, also part by part while they are multiplied, and gradients."""


@dataclass(frozen=True)
class Case:
    """A model and what is expected of it.

    Fields:
        build: the model, uncompiled unless `optimizer` is RMSprop.
        apply: the same model as a function of its weights.
        loss: of outputs and targets.
        batch: shapes and dtypes of one row of inputs and targets.
        rows: of a batch.
        where, mesh: the devices.
        options: for `compile`.
        moves: the exchanges of a training step, at most these.
        scan: whether the weights of blocks are stacked.
        sizes: that the model leaves open.
        optimizer: of the step by hand.
    """

    build: Callable[[], Any]
    apply: hand.Apply
    batch: Any
    loss: Callable[[Any, Any], Any] = hand.next_word
    rows: int = 256
    where: str = ONE
    mesh: Mapping[str, int] = field(default_factory=lambda: {"batch": 1})
    options: Callable[[], dict[str, Any]] = dict
    moves: Moves = frozenset()
    scan: bool = False
    sizes: Mapping[str, int] | None = None
    optimizer: optax.GradientTransformation = ADAM

    def model(self) -> Any:
        """Returns the model, compiled."""
        model = self.build()
        return model if model.compiled else m.compiled(model, **self.options())

    def arrays(self, rows: int) -> Any:
        """Returns shapes of inputs and targets."""
        return jax.tree.map(lambda one: row(rows, *one.shape, dtype=one.dtype), self.batch)


decoder = partial(
    gpt, kgraph, length=LENGTH, words=WORDS, width=WIDTH, heads=HEADS, blocks=2
)  # fmt: skip


def row(*shape: int, dtype: str = "float32") -> jax.ShapeDtypeStruct:
    """Returns the shape of one row of inputs or targets, floats unless said."""
    return jax.ShapeDtypeStruct(shape, dtype)


def lstm() -> Any:
    inputs = kgraph.Input((TIME, 128))
    return kgraph.Model(inputs, L.Dense(16)(L.LSTM(256)(inputs)))


def lstm_by_hand(p: hand.Weights, x: jax.Array, key: jax.Array) -> jax.Array:
    return by_hand._lstm(x, *p[:3]) @ p[3] + p[4]


def tensor_parallel() -> Any:
    mesh = dist.DeviceMesh((2, 4), ("batch", "model"), dist.list_devices(EIGHT))
    layouts = dist.LayoutMap(mesh)
    layouts["up.*/kernel"] = (None, "model")
    layouts["down.*/kernel"] = ("model", None)
    layouts["up.*/output"] = ("batch", "model")
    return dist.ModelParallel(layout_map=layouts)


def blocks_by_hand(p: hand.Weights, x: jax.Array, key: jax.Array) -> jax.Array:
    *inner, kernel, bias = p
    for n in range(0, len(inner), 4):
        up, up_bias, down, down_bias = inner[n : n + 4]
        x = x + jax.nn.relu(x @ up + up_bias) @ down + down_bias
    return x @ kernel + bias


def in_bfloat16(build: Callable[[], Any]) -> Any:
    """Returns a model whose layers compute in bfloat16."""
    kgraph.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        return build()
    finally:
        kgraph.mixed_precision.set_global_policy("float32")


def _guide(name: str, inputs: Any, targets: Any, rows: int) -> Case:
    """Returns the case of one of the guide's networks."""
    apply, loss = by_hand.APPLY[name]
    return Case(
        partial(networks.BUILDERS[name], kgraph), hand.constant(apply), (inputs, targets), loss,
        rows, optimizer=optax.rmsprop(1e-3, decay=0.9, eps=1e-7),
    )  # fmt: skip


def _decoder(
    dtype: str = "bfloat16", scan: bool = False, remat: bool = False, fsdp: bool = False
) -> Case:
    """Returns the case of a decoder of two blocks."""

    def options() -> dict[str, Any]:
        given: dict[str, Any] = {"stack": scan, "remat": "blocks" if remat else None}
        return {**given, "distribution": FSDP()} if fsdp else given

    mesh = AbstractMesh((8,), ("fsdp",), axis_types=(AxisType.Auto,))
    pinned = NamedSharding(mesh, PartitionSpec("fsdp")) if fsdp and scan else None
    policy = f"mixed_{dtype}" if dtype == "bfloat16" else None
    apply = hand.constant(partial(hand.decoder, scan=scan, remat=remat, dtype=dtype, rows=pinned))
    case = Case(
        partial(decoder, dtype=policy), apply, (TEXT, TEXT), rows=8, options=options, scan=scan
    )  # fmt: skip
    return replace(case, rows=256, where=EIGHT, mesh={"fsdp": 8}, moves=GATHERED) if fsdp else case


LABEL, TEXT = row(dtype="int32"), row(LENGTH, dtype="int32")
RESNET50 = Case(
    partial(resnet50, kgraph, last=None), hand.resnet50, (row(SIZE, SIZE, 3), LABEL), rows=64
)  # fmt: skip
"""In float32, where the model takes a second pass over its tensors for the variance."""
WIDE = 2048
"""Of 1,024 the compiler counts 5 MB more or less for tables of pointers, not for any array."""
MANY = 256
"""Of fewer rows the fast memory beside the chip takes a part of the activations, which varies."""
GRADIENTS: Moves = frozenset({("all-reduce", "batch")})
CASES: dict[str, Case] = {
    "mlp": _guide("guide_mlp", {"x": row(784)}, {"y": LABEL}, 1024),
    "resnet": _guide("resnet", {"x": row(32, 32, 3)}, {"y": LABEL}, 64),
    "ticket": replace(
        _guide(
            "ticket",
            {"title": row(TIME, dtype="int32"), "body": row(TIME, dtype="int32"), "tags": row(12)},
            {"priority": row(1), "department": row(4)}, 32,
        ),
        sizes={"title[1]": TIME, "body[1]": TIME},
    ),
    "resnet50": replace(
        RESNET50, build=partial(in_bfloat16, RESNET50.build),
        apply=partial(hand.resnet50, dtype="bfloat16"),
    ),
    "transformer": _decoder("float32"),
    "lstm": Case(
        lstm, hand.constant(lstm_by_hand), (row(TIME, 128), LABEL), rows=2048, where=EIGHT,
        mesh={"batch": 8}, moves=GRADIENTS,
    ),
    "mixed precision": _decoder(),
    "fsdp": _decoder(fsdp=True),
    "tensor parallel": Case(
        partial(m.blocks, width=WIDE), hand.constant(blocks_by_hand), (row(WIDE), LABEL),
        rows=WIDE, where=EIGHT, mesh={"batch": 2, "model": 4},
        options=lambda: {"distribution": tensor_parallel()},
        moves=GRADIENTS | {
            ("all-reduce", "model"),
            *(("all-gather", axis) for axis in ("batch", "model")),  # of biases
        },
    ),
    "stacked": replace(_decoder(scan=True), rows=MANY),
    "recomputed": replace(_decoder(scan=True, remat=True), rows=32),
    "stacked and recomputed": _decoder(scan=True, remat=True, fsdp=True),
}  # fmt: skip
