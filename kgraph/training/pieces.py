"""Which losses are computed in pieces of the last product, and the loss of a batch so computed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp

from kgraph.compiler import Pass
from kgraph.compiler.passes import expose_factors
from kgraph.compiler.passes.expose_factors import factors_of, whole_because
from kgraph.declared import speaker
from kgraph.errors import ConfigError
from kgraph.graph.graph import Graph
from kgraph.layers.base.remarks import remark
from kgraph.losses import reduction as reducing
from kgraph.losses.alignment import wide_dtype
from kgraph.losses.crossentropy import class_targets
from kgraph.losses.in_pieces import Classes, Pieces, Scores, cross_entropy
from kgraph.losses.reduction import combine_masks
from kgraph.metrics import Metric
from kgraph.metrics.of_scores import is_ranking, on_values, reader_of
from kgraph.types import Array

LossInPieces: TypeAlias = bool | int | Literal["auto"]
"""Whether losses are computed in pieces: where that pays, always, never; or in how many rows."""

_ROWS, _LEAST_PIECES = 2048, 4
"""Fewer pieces take as much memory as the whole (v5e, 32,768 classes, 4,096 rows; 8 % faster).

Of 32,768 rows, pieces of 4,096 are 2.6 % faster and take 9 % more memory of the whole step.
"""

_LEAST_CLASSES = 1024
_LEAST_LOGITS = 1 << 24
"""For "auto", on each device: fewer logits are no burden."""


def check_loss_in_pieces(given: object) -> None:
    """Raises ConfigError for values that the option cannot have."""
    if given != "auto" and (not isinstance(given, int) or (given < 1 and given is not False)):
        raise ConfigError(
            'loss_in_pieces is "auto", True, False, or how many rows a piece has',
            received=repr(given),
        )


@dataclass(frozen=True)
class InPieces:
    """What is computed in pieces.

    Fields:
        given: the option.
        classes: what the targets of such an output are, by its number.
        factors: which outputs of the program are factors, by the number of the output.
        refused: why others are computed as a whole, by number.
        ranked: numbers of outputs with a metric that asks how many classes are above the target's.
        replicas: into how many parts a batch is cut, on several devices.
    """

    given: LossInPieces = False
    classes: Mapping[int, Classes] = field(default_factory=dict)
    factors: Mapping[int, slice] = field(default_factory=dict)
    refused: Mapping[int, str] = field(default_factory=dict)
    ranked: frozenset[int] = frozenset()
    replicas: int = 1

    def passes(self, logits: Sequence[int]) -> tuple[Pass, ...]:
        """Returns what a graph has to go through, given which output has the logits of each."""
        wanted = {i: logits[i] for i in self.classes if i not in self.refused}
        return (expose_factors(wanted),) if wanted else ()

    def bound(self, graph: Graph, logits: Sequence[int], replicas: int) -> InPieces:
        """Returns what can be computed in pieces of a graph that has gone through `passes`.

        Raises:
            ConfigError: nothing can, and it was asked for.
        """
        refused, factors = dict(self.refused), {}
        for i in self.classes.keys() - refused.keys():
            if (found := factors_of(graph, logits[i])) is not None:
                factors[i] = found
            else:
                refused[i] = whole_because(graph, i, logits[i]) or "its factors are gone"
        if not factors and self.given not in ("auto", False):
            raise ConfigError(
                "No loss of this model can be computed in pieces",
                expected="a cross-entropy of classes, by class numbers or one-hot, from logits",
                received="; ".join(refused.values())
                or "other losses, or passes or steps of your own",
                hint='loss_in_pieces="auto" does so where it can be',
            )
        return replace(self, factors=factors, refused=refused, replicas=replicas)

    def loss(
        self, i: int, name: str, loss: Any, outputs: Sequence[Array], given: Mapping[str, Any]
    ) -> tuple[Array, Scores] | None:
        """Returns the loss of an output and its scores; None if it is to be computed as a whole.

        Args:
            i, name: number and name of the output.
            loss: of logits.
            outputs: of the program.
            given: `y_true`, `sample_weight`, `mask` and `rows`, as of `Loss._kgraph_terms`.
        """
        if i in self.refused:
            remark(f"loss of {name!r} not in pieces: {self.refused[i]}")
        if i not in self.factors:
            return None
        inputs, kernel, *bias = outputs[self.factors[i]]
        lead, number = inputs.shape[:-1], kernel.shape[1]
        rows = math.prod(lead) // self.replicas
        if self.given == "auto" and rows * number < _LEAST_LOGITS:
            remark(f"loss of {name!r} not in pieces: {rows} rows of {number} logits are few")
            return None
        usual = self.given == "auto" or self.given is True
        count = max(_LEAST_PIECES, _over(rows, _ROWS)) if usual else _over(rows, int(self.given))
        pieces = Pieces(self.classes[i], max(1, count), i in self.ranked, self.replicas)
        remark(f"loss of {name!r} in {pieces.count} pieces of {_over(rows, pieces.count)} rows")
        targets = class_targets(given["y_true"], (*lead, number), pieces.classes.sparse)
        values = jnp.zeros(lead, wide_dtype(inputs.dtype))
        mask = combine_masks(given["mask"], loss._kgraph_value_mask(given["y_true"], values))

        def terms(values: Array) -> reducing.Terms:
            weight, rows = given["sample_weight"], given["rows"]
            return reducing.terms(values, weight, mask, rows, loss.reduction)

        # Of a weighted sum the derivative are the weights, whatever shape they came in.
        weights = jax.grad(lambda values: terms(values).total)(values)
        factors = inputs, kernel, bias[0] if bias else None
        total, scores = cross_entropy(factors, targets, weights, pieces)
        return loss._kgraph_finish(reducing.Terms(total, terms(values).count)), scores

    def read(self, i: int, metric: Metric, scores: Scores) -> tuple[Metric, Array]:
        """Returns a metric that can be given the values of rows as its output, and the values."""
        reader = reader_of(metric, self.classes[i], of_logits=True)
        assert reader is not None
        return on_values(metric), reader(scores)


def _over(a: int, b: int) -> int:
    """Returns `a / b`, rounded up."""
    return -(-a // b)


def wanted_in_pieces(
    given: LossInPieces, losses: Mapping[int, Any], graph: Graph, metrics: Sequence[Any],
    logits: Sequence[int],
) -> InPieces:  # fmt: skip
    """Returns what is wanted in pieces of a model, as far as losses and metrics let it.

    Args:
        given: the option.
        losses: the loss of each output, or None; of logits, if it is computed from those.
        graph: of the model.
        metrics: the tracked ones.
        logits: numbers of the outputs that end in a softmax.
    """
    classes: dict[int, Classes] = {}
    refused: dict[int, str] = {}
    for i, loss in losses.items():
        found = None if loss is None else loss._kgraph_classes()
        dims = graph.spec(graph.outputs[i]).dims
        large = dims and isinstance(dims[-1], int) and dims[-1] >= _LEAST_CLASSES
        if loss is None or found is None or given is False or (given == "auto" and not large):
            continue
        classes[i], rank = found, len(dims)
        read = [t for t in metrics if t.output == i]
        unread = [t.key for t in read if reader_of(t.metric, found, i not in logits) is None]
        if speaker(type(loss)) is None:
            refused[i] = f"{type(loss).__name__} computes something of its own"
        elif loss.axis not in (-1, rank - 1):
            refused[i] = f"the classes lie along axis {loss.axis}"
        elif loss._dtype not in (None, jnp.float32) or loss.reduction in (None, "none"):
            refused[i] = f"it has the dtype {loss.dtype} and the reduction {loss.reduction!r}"
        elif unread:
            refused[i] = f"the metric {unread[0]!r} reads all logits"
    ranked = {t.output for t in metrics if is_ranking(t.metric, classes.get(t.output))}
    return InPieces(given, classes, refused=refused, ranked=frozenset(ranked))
