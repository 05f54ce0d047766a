"""Dynamic loss scaling: gradients of float16 computations that neither vanish nor overflow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.errors import ConfigError, check_keys
from kgraph.optimizers.elementwise import is_elementwise
from kgraph.optimizers.lookup import get, serialize
from kgraph.optimizers.optimizer import Optimizer
from kgraph.optimizers.options import Options, check_whole
from kgraph.optimizers.state import one_more
from kgraph.registry import Recorded
from kgraph.types import Array, Tree

_LEAST = float(np.finfo(np.float32).tiny)
_MOST = 2.0**126


class LossScaleState(NamedTuple):
    """The state of a `LossScaleOptimizer`.

    Args:
        scale: float32 scalar; what the next loss is multiplied by.
        finite_steps: int32 scalar; the updates since the scale last changed.
        inner: the state of the optimizer that makes the updates.
    """

    scale: Array
    finite_steps: Array
    inner: Any

    @property
    def step(self) -> Array:
        """The number of updates made; skipped ones do not count."""
        return self.inner.step


class LossScaleOptimizer(
    Optimizer, elementwise=lambda scaling: is_elementwise(scaling.inner_optimizer)
):
    """Multiplies the loss by a scale that follows the gradients, and hands these on divided by it.

    A step with a gradient that is not finite is skipped: parameters and the inner optimizer's state
    stay, and the scale is halved. After `dynamic_growth_steps` finite steps it is doubled. All
    other options, the learning rate included, are those of the inner optimizer.

    Args:
        inner_optimizer: the optimizer that makes the updates: an object, a name or a config.
        initial_scale: the first scale; too high costs a few skipped steps, too low many to rise.
        dynamic_growth_steps: the finite steps before the scale is doubled.
        name: how the optimizer is called in files.

    Raises:
        ConfigError: if an option has a value that it cannot have, if the inner optimizer scales the
            loss itself, or if there is an option that belongs to the inner one.

    Source: Micikevicius et al., "Mixed precision training", arXiv:1710.03740, section 3.2; checked
    against Keras 3.15. Unlike there the scale stays a normal number (from 2**-126 to 2**126), so
    neither a long run in float32 nor a long row of bad batches leaves it at infinity or 0.
    """

    def __init__(
        self,
        inner_optimizer: Any,
        initial_scale: float = 2.0**15,
        dynamic_growth_steps: int = 2000,
        name: str | None = None,
        **unknown: Any,
    ) -> None:
        owner = type(self).__name__
        _check_options(owner, unknown)
        check_whole(owner, "dynamic_growth_steps", dynamic_growth_steps, least=1)
        if not _LEAST <= initial_scale <= _MOST:
            raise ConfigError(
                f"{owner} cannot use this `initial_scale`",
                expected="a positive number, best a power of 2",
                received=repr(initial_scale),
            )
        inner = get(inner_optimizer)
        if isinstance(inner, LossScaleOptimizer) or inner.loss_scale_factor is not None:
            raise ConfigError(
                f"{owner} cannot wrap an optimizer that scales the loss itself",
                received=f"{type(inner).__name__} with loss_scale_factor={inner.loss_scale_factor}",
            )
        self.inner_optimizer = inner
        super().__init__(learning_rate=0.0, name=name)
        self.use_ema = inner.use_ema
        self.initial_scale, self.dynamic_growth_steps = initial_scale, dynamic_growth_steps

    # The pure part

    def init(self, params: Tree) -> Any:
        """Returns the state before the first update of `params`."""
        scale = jnp.asarray(self.initial_scale, jnp.float32)
        return LossScaleState(
            scale, jnp.zeros([], jnp.int32), self.inner_optimizer._kgraph_init(params)
        )

    def _kgraph_updated(
        self, grads: Tree, state: Any, params: Tree, **extra: Any
    ) -> tuple[Any, Any]:
        """Returns the inner optimizer's updates and the next state; zeros for a skipped step."""
        finite = jnp.asarray(True)
        for gradient in jax.tree.leaves(grads):
            finite &= jnp.all(jnp.isfinite(gradient))

        def apply() -> tuple[Any, Any]:
            unscaled = jax.tree.map(lambda g: g / state.scale.astype(g.dtype), grads)
            return self.inner_optimizer._kgraph_update(unscaled, state.inner, params, **extra)

        def skip() -> tuple[Any, Any]:
            shapes, _ = jax.eval_shape(apply)
            return jax.tree.map(lambda u: jnp.zeros(u.shape, u.dtype), shapes), state.inner

        updates, inner = jax.lax.cond(finite, apply, skip)
        steps = jnp.where(finite, one_more(state.finite_steps), 0)
        grows = steps == self.dynamic_growth_steps
        factor = jnp.where(finite, jnp.where(grows, 2.0, 1.0), 0.5).astype(jnp.float32)
        scale = jnp.clip(state.scale * factor, _LEAST, _MOST)
        return updates, LossScaleState(scale, jnp.where(grows, 0, steps), inner)

    def scale_loss(self, loss: Array, state: Any = None) -> Array:
        """Returns the loss to differentiate: times the scale in `state`.

        Raises:
            ConfigError: without the state, which alone knows the scale.
        """
        if state is None:
            raise ConfigError(
                f"{type(self).__name__} keeps its scale in its state",
                hint="scale_loss(loss, state), with the state that `update` is given next",
            )
        return loss * state.scale.astype(loss.dtype)

    def _kgraph_averaged(self, state: Any) -> Any:
        """Returns the moving average of the parameters that the inner optimizer keeps."""
        return self.inner_optimizer._kgraph_averaged(state.inner)

    def finalize(self, params: Tree, state: Any) -> Any:
        """Returns the parameters that training ends with, as the inner optimizer says."""
        return self.inner_optimizer._kgraph_finalize(params, state.inner)

    # The learning rate is the inner optimizer's.

    @property
    def learning_rate(self) -> Any:
        """The learning rate of the inner optimizer."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self.inner_optimizer.learning_rate = value

    @property
    def _kgraph_schedule(self) -> Any:
        """The schedule that the inner optimizer follows, if it does."""
        return self.inner_optimizer._kgraph_schedule

    def _kgraph_watch(self, steps: Callable[[], int]) -> None:
        """Is told how to find out the number of updates that a training has made."""
        self.inner_optimizer._kgraph_watch(steps)

    @property
    def _kgraph_host_rate(self) -> float | None:
        """The rate that the inner optimizer was given, if it is a number."""
        return self.inner_optimizer._kgraph_host_rate

    def _kgraph_current_rate(self, state: Any) -> Array:
        """Returns the rate of the next update."""
        return self.inner_optimizer._kgraph_current_rate(state.inner)

    def _kgraph_sync_rate(self, state: Any) -> Any:
        """Returns `state` with the rate that was set last, or `state` itself if nothing changed."""
        inner = self.inner_optimizer._kgraph_sync_rate(state.inner)
        return state if inner is state.inner else state._replace(inner=inner)

    def _kgraph_adopt_rate(self, state: Any) -> None:
        """Takes the rate of `state` as the inner optimizer's own."""
        self.inner_optimizer._kgraph_adopt_rate(state.inner)

    def exclude_from_weight_decay(self, var_list: Any = None, var_names: Any = None) -> None:
        """Spares parameters from the inner optimizer's weight decay."""
        self.inner_optimizer.exclude_from_weight_decay(var_list, var_names)

    def get_config(self) -> dict[str, Any]:
        """Returns the options as plain data, those of the inner optimizer as they are now."""
        config = Recorded.get_config(self)
        return {**config, "inner_optimizer": serialize(self.inner_optimizer)}


def _check_options(owner: str, given: dict[str, Any]) -> None:
    """Raises ConfigError for options of the inner optimizer, and for those that nobody has."""
    for name in given:
        if name in Options.__annotations__:
            raise ConfigError(
                f"{owner} has no option {name!r} of its own",
                hint=f"set it on the inner optimizer: {owner}(Adam({name}=...))",
            )
    check_keys(owner, given, ("initial_scale", "dynamic_growth_steps", "name"))
