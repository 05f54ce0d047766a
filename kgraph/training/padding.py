"""Whether a smaller last batch may be padded: only where the padding can leave no trace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax

from kgraph.compiler import Program
from kgraph.compiler.primitives import equations
from kgraph.declared import word_of
from kgraph.graph.node import Node
from kgraph.training.objective import Objective
from kgraph.types import Array


def padding_is_exact(
    program: Program, objective: Objective | None, training: bool, told: bool = False
) -> bool:
    """Tells whether rows that only pad a batch change nothing for the other rows.

    So it is if no layer mixes rows or adds to the loss, and losses and metrics can leave rows out.
    The user's own code counts as code that cannot, unless its class says so (`Traits`).

    Args:
        program: what runs.
        objective: what is computed from its outputs; None for predictions.
        training: whether layers run as in training.
        told: whether layers that are independent "by mask" are told of these rows.
    """
    graph = program.flat_graph
    if any("loss" in node.effects for node in graph.nodes):
        return False
    for node in graph.calls:
        apart = graph.layers[node.layer].traits.rows_independent
        trains = training or node.kwargs.get("training") is True
        if apart == "by mask" and trains:
            apart = told and training and not _has_mask_of_its_own(node)
        if not apart or (trains and apart == "at inference"):
            return False
    return objective is None or _leaves_rows_out(objective)


def _has_mask_of_its_own(node: Node) -> bool:
    """Tells whether a call is given another mask than that of its first argument."""
    return len(node.args) > 1 or node.kwargs.get("mask") is not None


def _leaves_rows_out(objective: Objective) -> bool:
    losses = [loss for loss in objective.losses if loss is not None]
    metrics = [tracked.metric for tracked in objective.tracked]
    return (
        objective.is_of_outputs
        and all(map(word_of, (*losses, *metrics)))  # what they say of rows
        and all(metric._kgraph_takes_sample_weight for metric in metrics)
    )


def loops_well(program: Program, inputs: Sequence[object], size: int, backend: str) -> bool:
    """Tells whether steps of this program may run in a loop on the device.

    On a CPU, XLA runs the gradients of a convolution inside a loop 10 to 45 times slower than
    outside of one (jax 0.7 to 0.10), so a program with convolutions runs there step by step, unless
    the pass `use_cpu_forms` has marked all of them.

    Args:
        program: what is to run.
        inputs: arrays like those that it is to run on.
        size: how many rows at a time.
        backend: name of the platform.
    """
    if backend != "cpu":
        return True
    marked = {node.name: node.layer for node in program.flat_graph.nodes if node.lowering}
    for name in set(program.flat_graph.layers).difference(marked.values()):
        if program.flat_graph.layers[name].traits.convolution is not None:
            return False  # without a look at the whole program, which takes time

    # Observed, repeated blocks are written out, so that each node can be told by its name.
    observe = (lambda *_: None) if marked else None
    specs = program.specs() if marked else program.weights.packed.specs

    def forward(variables: Any, inputs: Sequence[object]) -> list[Array]:
        key = jax.random.key(0) if program.draws_always else None
        return program.run(variables, inputs, key=key, observe=observe).outputs

    rows = jax.tree.map(lambda a: jax.ShapeDtypeStruct((size, *a.shape[1:]), a.dtype), inputs)
    others = (
        equation
        for equation in jax.make_jaxpr(forward)(specs, rows).eqns
        if str(equation.source_info.name_stack) not in marked
    )
    return not any(e.primitive.name == "conv_general_dilated" for e in equations(others))
