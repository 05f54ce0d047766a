"""Objective: the losses and metrics of a model, bound to its outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from kgraph import metrics
from kgraph.compiler import Pass, Program, Run
from kgraph.compiler.passes import expose_logits
from kgraph.errors import ConfigError
from kgraph.graph.graph import Graph
from kgraph.losses.in_pieces import Scores
from kgraph.losses.reduction import combine_masks
from kgraph.metrics.running import keep
from kgraph.training.custom_loss import LossFn, call_loss_fn
from kgraph.training.held_metrics import HELD, OWN, HeldMetrics
from kgraph.training.own_loss import OwnLoss
from kgraph.training.pieces import InPieces, LossInPieces, wanted_in_pieces
from kgraph.types import Array, Shape

COMPILED = "compile_metrics"
"""The name of the metric that stands for all those of `compile`."""


class Scored(NamedTuple):
    """What one batch gives: the loss, its parts by log key, what metrics read, and new state.

    The last field are the states of the metrics that the model and its layers hold.
    """

    total: Array
    parts: dict[str, Array]
    outputs: list[Any]
    masks: list[Any]
    state: Any
    own: dict[str, Any]


@dataclass(frozen=True)
class Tracked:
    """A metric of one output under its key in logs."""

    key: str
    output: int
    metric: metrics.Metric
    weighted: bool


@dataclass
class Objective:
    """Losses and metrics by output.

    Fields:
        names: key of each output.
        losses: loss of each output, or None.
        weights: factor of each output's loss in the total.
        tracked: the metrics, in the order in which the user gave them.
        logits: outputs whose loss is computed from the numbers before their last softmax or
            sigmoid.
        loss_fn: what computes the loss in the place of all that; see `Model.compile`.
        extra: keys of the numbers that `loss_fn` returns beside the loss.
        own: what computes the loss if the model's class says how.
        held: metrics that layers update in their call.
        known: means of losses that there are already, by key.
        pieces: which losses are computed in pieces of the last product.
    """

    names: tuple[str, ...]
    losses: list[Any]
    weights: list[float]
    tracked: list[Tracked]
    logits: tuple[int, ...] = ()
    loss_fn: LossFn | None = None
    extra: tuple[str, ...] = ()
    own: OwnLoss | None = None
    held: HeldMetrics = field(default_factory=HeldMetrics)
    known: Mapping[str, metrics.Metric] = field(default_factory=dict)
    pieces: InPieces = field(default_factory=InPieces)
    _means: dict[str, metrics.Metric] = field(default_factory=dict)

    def __post_init__(self) -> None:
        keys = ["loss", *self.extra]
        parts = [f"{name}_loss" for name, loss in zip(self.names, self.losses) if loss is not None]
        if len(parts) > 1:  # a single loss is the total, as in Keras
            keys += parts
        self._means = {key: self.known.get(key) or metrics.Mean(name=key) for key in keys}
        self._losses_on_logits = {i: self.losses[i]._kgraph_on_logits() for i in self.logits}

    def in_pieces(self, given: LossInPieces, graph: Graph, usual: bool = True) -> Objective:
        """Returns the objective with what is wanted in pieces of a model of this graph.

        Without `usual` (losses of outputs, and the standard passes) nothing is.
        """
        losses = dict(enumerate(self.losses)) | self._losses_on_logits if usual else {}
        wanted = wanted_in_pieces(given, losses, graph, self.tracked, self.logits)
        return replace(self, pieces=wanted)

    @property
    def passes(self) -> tuple[Pass, ...]:
        """What the graph of a program has to go through, so that its outputs have what is read."""
        return (expose_logits(self.logits), *self.pieces.passes(self._places))

    def bound(self, graph: Graph, replicas: int) -> Objective:
        """Returns the objective of a program whose graph has gone through `passes`."""
        return replace(self, pieces=self.pieces.bound(graph, self._places, replicas))

    @property
    def _places(self) -> list[int]:
        """For each output the number of that which its loss reads."""
        own, n = self.logits, len(self.names)
        return [n + own.index(i) if i in own else i for i in range(n)]

    @property
    def is_of_outputs(self) -> bool:
        """Whether the loss is the sum of losses of outputs, and not computed by the user's code."""
        return self.loss_fn is None and self.own is None

    @property
    def means(self) -> Mapping[str, metrics.Metric]:
        """The means of the losses by key: of the total and, for several outputs, of each."""
        return self._means

    # --- pure functions --------------------------------------------------------------------------

    def score(
        self, program: Program, variables: Any, batch: Any, key: Array | None, kept: Array | None,
        training: bool = True, own: Mapping[str, Any] = MappingProxyType({}),
    ) -> Scored:  # fmt: skip
        """Returns the loss of a batch and what metrics need of it.

        Args:
            program: what to run.
            variables: its parameters and state.
            batch: a `Batch`.
            key: of random layers; None if none is random.
            kept: `[rows]` bool, False for rows that only pad the batch; None for all.
            training: False evaluates, without training's effects.
            own: what `own_states` returns.
        """
        variables = self.held.put(program, variables, own)
        if self.loss_fn is not None:
            given = key if training else None
            found = call_loss_fn(self.loss_fn, program, variables, batch, given)
            return Scored(*found, self.held.taken(program, variables, found[-1]))
        run = program.run(variables, batch.inputs, training=training, key=key, kept=kept)
        if self.own is not None:
            total, state, seen = self.own(program, variables, batch, run, key, training, own[OWN])
            after = {OWN: seen, **self.held.taken(program, variables, state)}
            return Scored(total, {}, run.outputs, run.masks, state, after)
        after = self.held.taken(program, variables, run.state)
        parts, scores = self._losses(run, batch.targets, batch.weights, kept)
        outputs = [scores.get(i, output) for i, output in enumerate(run.outputs)]
        terms = [*run.losses, program.penalties(variables["params"])]
        return Scored(self._total(parts, terms), parts, outputs, run.masks, run.state, after)

    def loss_of(
        self, run: Run, batch: Any, terms: Sequence[Array]
    ) -> tuple[Array, dict[str, Array]]:
        """Returns the loss of a run's outputs, with terms that come from elsewhere, and its parts.

        A single part is the whole and has no key, as in Keras.
        """
        parts, _ = self._losses(run, batch.targets, batch.weights, None)
        return self._total(parts, terms), parts if len(parts) > 1 else {}

    def _total(self, parts: Mapping[str, Array], terms: Sequence[Array]) -> Array:
        named = zip(self.names, self.weights, self.losses)
        weighted = [w * parts[f"{name}_loss"] for name, w, loss in named if loss is not None]
        return _sum([*weighted, *terms])

    def _losses(
        self, run: Run, targets: Sequence[object], weights: Sequence[Any], kept: Array | None
    ) -> tuple[dict[str, Array], dict[int, Scores]]:
        """Returns the loss of each output, without its factor; and scores, if it has no logits."""
        parts: dict[str, Array] = {}
        scores: dict[int, Scores] = {}
        for i, (name, loss) in enumerate(zip(self.names, self.losses)):
            if loss is None:
                continue
            if targets[i] is None:
                raise ConfigError(
                    f"The output {name!r} has a loss and no targets",
                    expected="targets for it: (x, y)",
                    received="x alone, or no target of this name",
                    hint="fit(x, y), validation_data=(x, y), a dataset or generator of (x, y); "
                    "a loss that needs none: add_loss in a layer, and compile without a loss",
                )
            loss, output = self._losses_on_logits.get(i, loss), run.outputs[self._places[i]]
            given = {"sample_weight": weights[i], "mask": run.masks[i]}
            whole = given | {"y_true": targets[i], "rows": kept}
            if found := self.pieces.loss(i, name, loss, run.outputs, whole):
                parts[f"{name}_loss"], scores[i] = found
                continue
            if kept is None:
                value = loss._kgraph_value(targets[i], output, **given)
            else:
                value = loss._kgraph_finish(
                    loss._kgraph_terms(targets[i], output, **given, rows=kept)
                )
            parts[f"{name}_loss"] = value
        return parts, scores

    def init(self) -> dict[str, Any]:
        """Returns fresh accumulators."""
        means = {key: mean.init() for key, mean in self._means.items()}
        tracked = {t.key: t.metric._kgraph_init() for t in self.tracked}
        own = {} if self.own is None else {OWN: self.own.init()}
        return means | tracked | own | self.held.init()

    def own_states(self, accumulators: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the states of the metrics that the model and its layers hold."""
        return {key: accumulators[key] for key in (OWN, HELD) if key in accumulators}

    def update(
        self, accumulators: Mapping[str, Any], batch: Any, scored: Scored, kept: Array | None
    ) -> dict[str, Any]:
        """Returns the accumulators after one batch."""
        # The sum that losses divide by, written as there: XLA then brings one together for both.
        rows = jnp.float32(batch.rows) if kept is None else jnp.sum(kept.astype(jnp.float32))
        values = {"loss": scored.total, **scored.parts}
        updated = {
            key: mean.update(accumulators[key], values[key], sample_weight=rows)
            for key, mean in self._means.items()
        }
        updated |= scored.own
        for t in self.tracked:
            if not scored.outputs:
                raise ConfigError(
                    f"The metric {t.key!r} needs outputs, and loss_fn returned none",
                    hint='return loss, {"outputs": outputs}',
                )
            mask, output = scored.masks[t.output], scored.outputs[t.output]
            metric = t.metric
            if isinstance(output, Scores):  # its logits were never there
                metric, output = self.pieces.read(t.output, metric, output)
            updated[t.key] = metric._kgraph_update(
                accumulators[t.key], batch.targets[t.output], output,
                sample_weight=batch.weights[t.output] if t.weighted else None,
                mask=mask if kept is None else combine_masks(mask, kept),
            )  # fmt: skip
        return updated

    def results(self, accumulators: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the value of each loss and metric: scalars, or what a metric returns."""
        found = {key: mean.compute(accumulators[key]) for key, mean in self._means.items()}
        for t in self.tracked:
            value = t.metric._kgraph_compute(accumulators[t.key])
            if isinstance(value, Mapping):
                found.update({str(key): item for key, item in value.items()})
            else:
                found[t.key] = value
        held = self.held.results(accumulators)
        if self.own is None:
            return found | held
        own = held | self.own.results(accumulators[OWN])
        listed = self.own.listed
        if listed is None:
            return found | own
        kept = {key for key, mean in self._means.items() if any(mean is one for one in listed)}
        if any(one.name == COMPILED for one in listed):
            kept |= found.keys() - self._means.keys()
        return {key: found[key] for key in found if key in kept} | own

    # --- on the host -----------------------------------------------------------------------------

    def in_order(self, logs: Mapping[str, object]) -> list[Any]:
        """Returns logged values in the order of `evaluate`: loss, metrics, losses of outputs."""
        keys = ["loss", *(t.key for t in self.tracked if len(self.names) == 1)]
        keys += [key for key in self._means if key not in keys]
        keys += sorted(key for key in logs if key not in keys)
        return [logs[key] for key in keys if key in logs]

    def keep(self, accumulators: Mapping[str, Any]) -> None:
        """Leaves the metrics with what they have seen, for who asks them afterwards."""
        for key, mean in self._means.items():
            keep(mean, accumulators[key])
        for t in self.tracked:
            keep(t.metric, accumulators[t.key])

    def check_labels(self, targets: Sequence[object], shapes: Sequence[Shape]) -> None:
        """Raises DataError for targets (arrays on the host) that cannot be learned from."""
        for loss, target, shape in zip(self.losses, targets, shapes):
            if loss is not None and target is not None:
                loss._kgraph_check_labels(np.asarray(target), shape)


def _sum(terms: Sequence[Array]) -> Array:
    """Returns the sum of scalars in the widest of their dtypes, at least float32."""
    wide = jnp.result_type(jnp.float32, *(term.dtype for term in terms))
    return sum((term.astype(wide) for term in terms), start=jnp.zeros((), wide))
