"""Which rule counts a layer: its own `count_flops`, the table of its class, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kgraph.checks import is_number
from kgraph.compiler.costs import elementwise, products, sequences
from kgraph.compiler.costs.work import Rule, Specs, Work, sizes
from kgraph.errors import ConfigError
from kgraph.graph.node import TensorSpec
from kgraph.layers import Bidirectional, TimeDistributed
from kgraph.layers.base.core import label_of

if TYPE_CHECKING:
    from kgraph.layers.base.layer import Layer


def work_by_rule(layer: Layer, inputs: Specs, outputs: Specs) -> Work | None:
    """Returns the work of a call, or None if it has to be traced."""
    own = getattr(layer, "count_flops", None)
    if own is not None:
        return _checked(layer, own(inputs, outputs))
    rule = _rule_of(type(layer))
    return None if rule is None else rule(layer, inputs, outputs)


def _rule_of(cls: type) -> Rule | None:
    """Returns the rule of a class; one that brings a `call` of its own is not what its base is."""
    for base in cls.__mro__:
        if base in RULES:
            return RULES[base] if getattr(cls, "call", None) is base.call else None  # type: ignore
    return None


def _checked(layer: Any, found: Any) -> Work:
    if isinstance(found, Work):
        return found
    if not is_number(found) or found < 0:
        raise ConfigError(
            f"count_flops of {label_of(layer)} returns a number",
            expected="FLOPs of one call, or a kgraph.compiler.costs.Work",
            received=repr(found),
        )
    count = int(found)
    return Work(count, to_inputs=count, to_weights=count, needs_inputs="always")


def _bidirectional(layer: Any, inputs: Specs, outputs: Specs) -> Work | None:
    """Two recurrent layers."""
    both = [work_by_rule(x, inputs, outputs) for x in (layer.forward_layer, layer.backward_layer)]
    return None if None in both else sum(filter(None, both), Work())


def _time_distributed(layer: Any, inputs: Specs, outputs: Specs) -> Work | None:
    """The layer on steps that have joined the samples."""

    def joined(spec: TensorSpec) -> TensorSpec:
        batch, time, *rest = sizes(spec)
        return TensorSpec((batch * time, *rest), spec.dtype)

    return work_by_rule(layer.layer, [*map(joined, inputs)], [*map(joined, outputs)])


RULES: dict[type, Rule] = {
    **products.RULES,
    **sequences.RULES,
    **elementwise.RULES,
    Bidirectional: _bidirectional,
    TimeDistributed: _time_distributed,
}
"""The rule of each class of kgraph's that has one; the others are traced."""
