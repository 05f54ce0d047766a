"""Runs repeated blocks: one body in `jax.lax.scan`, over the stacked weights of the blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name

from kgraph.compiler.run import run_graph
from kgraph.errors import ConfigError, StateError
from kgraph.graph.graph import Graph
from kgraph.graph.node import LayerSpec
from kgraph.graph.stack import StackPlan
from kgraph.initializers import path_hash
from kgraph.layers.base import binding
from kgraph.layers.base.context import Context
from kgraph.layers.base.layer import Layer
from kgraph.layers.base.tree import named_weights
from kgraph.layers.base.variable import Variable
from kgraph.types import Array, Function

POLICIES = (
    "everything_saveable", "nothing_saveable", "dots_saveable", "checkpoint_dots",
    "dots_with_no_batch_dims_saveable", "checkpoint_dots_with_no_batch_dims",
)  # fmt: skip
"""Policies of `jax.checkpoint` that can be named: those without arguments."""

_ENTERS = "kgraph_enters_block"
"""What the policy "offload" knows the tensors by that a block reads."""


@dataclass(frozen=True)
class StackedWeight:
    """The weights of corresponding layers, one for each block.

    Fields:
        members: the weights in the order of the blocks; the body is bound to the first.
        whole: stands for all of them, with the blocks as first axis.
        path: where the whole stands in packed variables.
    """

    members: tuple[Variable, ...]
    whole: Variable
    path: tuple[str, ...]


class Stack:
    """Repeated blocks, joined with the live layers of each block.

    Args:
        name: of the node.
        spec: its description, a `StackPlan`.
        layers: the live layers by name.
    """

    def __init__(self, name: str, spec: LayerSpec, layers: Mapping[str, Layer]) -> None:
        assert spec.graph is not None
        self.name, self.plan = name, StackPlan.of(spec)
        self.body: Graph = spec.graph
        self._layers = layers
        self._policy = checkpoint_policy(self.plan.remat)

    @cached_property
    def layers(self) -> dict[str, Layer]:
        """The layers that the body is bound to: those of the first block."""
        specs = self.body.layers.items()
        return {name: self._layers[name] for name, s in specs if not s.is_input}

    @cached_property
    def weights(self) -> tuple[StackedWeight, ...]:
        """The weights that differ from block to block."""
        found: list[StackedWeight] = []
        for first, names in self.plan.layers.items():
            rows = zip(*(list(named_weights(self._layers[name])) for name in names))
            for row in rows:
                path, weight = row[0]
                members = tuple(member for _, member in row)
                if members[-1] is not weight:
                    place = (self.name, first, *path.split("/"))
                    found.append(StackedWeight(members, _whole(members), place))
        return tuple(found)

    @cached_property
    def _shared(self) -> tuple[Variable, ...]:
        """The weights that are the same in every block."""
        own = {id(stacked.members[0]) for stacked in self.weights}
        every = [w for layer in self.layers.values() for w in layer.weights]
        return tuple(w for w in every if id(w) not in own)

    def run(self, arrays: Sequence[Array], context: Context) -> list[Array]:
        """Returns the outputs of the node, and leaves new state and losses in the context."""
        if self.plan.count == 1:
            return self._run_once(arrays, context)
        plan = self.plan
        first, outer = list(arrays[: plan.carried]), list(arrays[plan.carried :])
        shared = {id(weight): context.value(weight) for weight in self._shared}
        updated: list[StackedWeight] = []

        def block(carry: list[Array], x: tuple[Array, list[Array]]) -> tuple[list[Array], Any]:
            number, values = x
            carry = self._entering(carry)
            own = {id(s.members[0]): value for s, value in zip(self.weights, values)}
            inner = BlockContext(context, {**shared, **own}, number, plan.nodes)
            bound = {name: binding.bind(layer, inner, name) for name, layer in self.layers.items()}
            outputs, _ = run_graph(self.body, bound, [*carry, *outer], inner)
            after = binding.updates(inner)
            updated[:] = [s for s in self.weights if id(s.members[0]) in after]
            context.effects |= inner.effects
            kept = [o.astype(c.dtype) for o, c in zip(outputs, carry)]
            state = [after[id(s.members[0])] for s in updated]
            return kept, (outputs[plan.carried :], inner.losses, state)

        if plan.remat is not None:
            block = jax.checkpoint(block, prevent_cse=False, policy=self._policy)
        numbers = jnp.arange(plan.count, dtype=jnp.int32)
        values = [self._value(stacked, context) for stacked in self.weights]
        final, (seen, losses, state) = jax.lax.scan(block, first, (numbers, values))
        context.losses += [jnp.sum(loss) for loss in losses]
        for stacked, value in zip(updated, state):
            self._keep(stacked, value, context)
        return [
            final[output] if output < plan.carried else seen[output - plan.carried][k]
            for output, k in plan.taken
        ]

    def _entering(self, arrays: list[Array]) -> list[Array]:
        """Returns what a block reads, under the name that lets it wait on the host."""
        if self.plan.remat != "offload":
            return arrays
        return [checkpoint_name(array, _ENTERS) for array in arrays]

    def _run_once(self, arrays: Sequence[Array], context: Context) -> list[Array]:
        """Runs a single block, which needs no loop: it is there to be computed again."""
        weights = {id(w): context.value(w) for layer in self.layers.values() for w in layer.weights}
        updated: list[int] = []

        def block(arrays: list[Array], values: list[Array]) -> Any:
            arrays = self._entering(arrays)
            inner = context.inside(dict(zip(weights, values)))
            bound = {name: binding.bind(layer, inner, name) for name, layer in self.layers.items()}
            outputs, _ = run_graph(self.body, bound, arrays, inner)
            after = binding.updates(inner)
            updated[:] = after
            context.effects |= inner.effects
            return outputs, inner.losses, list(after.values())

        again = jax.checkpoint(block, policy=self._policy)
        outputs, losses, state = again(list(arrays), list(weights.values()))
        self._check_owned(updated, context)
        context.losses += losses
        context.values.update(zip(updated, state))
        return [outputs[output] for output, _ in self.plan.taken]

    def _check_owned(self, updated: Sequence[int], context: Context) -> None:
        """Raises StateError if a layer that updates its state also runs outside of the block."""
        for name, layer in self.layers.items():
            if id(layer) in context.bound and any(id(w) in updated for w in layer.weights):
                raise StateError(
                    f"{name!r} updates its state, and is called both in {self.name!r} and outside",
                    hint="name it in remat itself, so that all of its calls are computed again",
                )

    def _value(self, stacked: StackedWeight, context: Context) -> Array:
        """Returns the weights of all blocks: packed already, or stacked now."""
        packed = context.values.get(id(stacked.whole))
        if packed is not None:
            return packed
        return jnp.stack([context.value(member) for member in stacked.members])

    def _keep(self, stacked: StackedWeight, value: Array, context: Context) -> None:
        if id(stacked.whole) in context.values:
            context.values[id(stacked.whole)] = value
        else:
            for k, member in enumerate(stacked.members):
                context.values[id(member)] = value[k]


class BlockContext(Context):
    """The context of one block: keys come from the paths that its layers have in this block.

    Args:
        outer: the context of the run.
        values: array of each weight of the body, by its identity.
        number: of the block, traced.
        names: name of each node of the body, and its names in the blocks.
    """

    def __init__(
        self,
        outer: Context,
        values: Mapping[int, Array],
        number: Array,
        names: Mapping[str, tuple[str, ...]],
    ) -> None:
        super().__init__(values, outer.training, outer.key)
        self._number, self._names = number, names
        self.lie_as(outer)

    def next_key(self, seed: int | None = None) -> Array:
        if seed is not None:
            raise StateError(f"{self.path!r} draws by a numbered seed inside repeated blocks")
        return super().next_key()

    def hash_of(self, place: str) -> Array:
        """Returns the number that stands for a path in this block: looked up in those of all."""
        node, inside = self._scope[0], place.removeprefix(self._scope[0])
        hashes = [path_hash(name + inside) for name in self._names[node]]
        return jnp.asarray(np.array(hashes, np.uint32))[self._number]


def checkpoint_policy(remat: str | None) -> Function | None:
    """Returns the policy that an option `remat` names.

    Raises:
        ConfigError: there is none of that name.
    """
    if remat is None or remat == "blocks":
        return None
    if remat == "offload":
        return jax.checkpoint_policies.save_and_offload_only_these_names(
            names_which_can_be_saved=[], names_which_can_be_offloaded=[_ENTERS],
            offload_src="device", offload_dst="pinned_host",
        )  # fmt: skip
    if not isinstance(remat, str) or remat not in POLICIES:
        raise ConfigError(
            "This is no way to rematerialise",
            expected=", ".join(map(repr, ("blocks", "offload", *POLICIES))),
            received=repr(remat),
        )
    return getattr(jax.checkpoint_policies, remat)


def _whole(members: Sequence[Variable]) -> Variable:
    first = members[0]
    regularizer, constraint = first.regularizer, first.constraint

    def total(whole: Array) -> Array:
        assert regularizer is not None
        return jnp.sum(jax.vmap(regularizer)(whole))

    return Variable(
        first.initializer,
        (len(members), *first.shape),
        first.dtype,
        first.trainable,
        first.autocast,
        name=first.name,
        regularizer=None if regularizer is None else total,
        constraint=None if constraint is None else jax.vmap(constraint),
    )
